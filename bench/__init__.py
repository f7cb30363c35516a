"""LockBench: the benchmark suite that decides whether a model lock holds."""

__version__ = "0.1.0"
