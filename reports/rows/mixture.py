"""Whether the seeds of one row were measured alike: with one code, one set of libraries, one precision."""

from __future__ import annotations

from collections.abc import Sequence

from bench.records import Record

MIXED = "mixed-seeds"
"""Name of the flag."""


def others(group: Sequence[Record]) -> list[str]:
    """What differs from the first seed, a text for each seed that does. What a record does not say is not compared."""
    first = group[0]
    out = []
    for record in group[1:]:
        differs = [*_versions(first, record), *_code(first, record)]
        if first.provenance.dtype != record.provenance.dtype:
            differs.append(f"precision {first.provenance.dtype} and {record.provenance.dtype}")
        if differs:
            seeds = f"seeds {first.cell.replicate} and {record.cell.replicate}"
            out.append(f"{seeds}: {', '.join(differs)}")
    return out


def _versions(first: Record, other: Record) -> list[str]:
    a, b = first.provenance.versions, other.provenance.versions
    return [f"{name} {a[name]} and {b[name]}" for name in sorted(a.keys() & b.keys()) if a[name] != b[name]]


def _code(first: Record, other: Record) -> list[str]:
    a, b = first.provenance.code, other.provenance.code
    return ["code of two versions"] if a and b and a != b else []
