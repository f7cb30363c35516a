"""Coverage of the suite's 95 % intervals, by simulation: ``python -m tools.coverage``."""
