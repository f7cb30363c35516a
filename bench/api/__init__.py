"""What `bench.run`, `bench.audit` and the command line share. Light to import: no torch before cells have to be run."""
