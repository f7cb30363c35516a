"""LockBench: the benchmark suite that decides whether a model lock holds."""

import importlib
import os
from typing import Any

# Threads that wait for work must not spin: one busy neighbour would then halt a run. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
__all__ = ["Locked", "Results", "Where", "audit", "load_locked", "load_records", "run"]  # found on first use, below

_WHERE = {
    "run": "bench.api.run",
    "audit": "bench.api.audit",
    "Results": "bench.api.results",
    "Where": "bench.api.execution",
    "Locked": "bench.api.zoo",
    "load_locked": "bench.api.zoo",
    "load_records": "reports.rows.dataframe",
}
"""Where each name of the Python API is, so that `import bench` waits for nothing."""


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'bench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
