"""What `make docs` generates from the sources."""
