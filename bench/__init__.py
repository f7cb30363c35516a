"""LockBench: the benchmark suite that decides whether a model lock holds."""

import os
from typing import Any

# Threads that wait for work must not spin: one busy neighbour would then halt a run. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # On first use, so that `import bench` does not wait for pandas.
    if name == "load_records":
        from reports.rows.dataframe import load_records

        return load_records
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
