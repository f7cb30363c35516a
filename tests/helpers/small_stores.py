"""Stores of made-up records whose hashes add up, without a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench import plan
from bench.hashing import digest
from bench.records import Measured, Provenance, Record
from bench.store import Store

LABELS = np.arange(8) % 3


def small_record(replicate: int = 0, value: float = 50.0, **more: object) -> Record:
    """A record of one cell; the replicate and the value decide its hash."""
    cell = plan.make_cell("modellock", "none", "digits", "vit", {}, replicate=replicate)
    base = {"replicate": replicate}
    result = {"value": value, "parents": {"base": digest(base)}}
    provenance = Provenance(
        hash=digest(result), parents={"base": digest(base)}, inputs={"base": base, "record": result},
        created=f"2026-01-{replicate % 28 + 1:02d}T00:00:00.000", machine="x86_64 cpu", threads=1,
    )  # fmt: skip
    fields = {"UP": Measured(value=value, n=8), **more}
    return Record(cell=cell, row_key=cell.row_key(), provenance=provenance, **fields)  # type: ignore[arg-type]


def filled(root: Path, n: int = 2) -> Store:
    """A store with ``n`` records, replicates 0, 1, …, and evidence of 8 images each."""
    store = Store(root)
    for i in range(n):
        evidence = {"test_index": np.arange(8), "test_labels": LABELS, "pred/UP": (LABELS + i) % 3}
        store.put(small_record(i), {**evidence, "samples/raw": np.zeros((1, 3, 4, 4), np.uint8)})
    return store
