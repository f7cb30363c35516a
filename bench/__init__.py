"""LockBench: the benchmark suite that decides whether a model lock holds."""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # On first use, so that `import bench` does not wait for pandas.
    if name == "load_records":
        from reports.rows.dataframe import load_records

        return load_records
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
