"""Where rows come from: what reports need of a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from bench.records import Record

Evidence = Callable[[Record], Mapping[str, NDArray[Any]]]
"""The per-image arrays of a record, by name."""


class Store(Protocol):
    """What reports need of a store; `bench.store.Store` is one."""

    def records(self) -> list[Record]:
        """Every record, any order."""
        ...

    def evidence(self, record: Record) -> Mapping[str, NDArray[Any]]:
        """The per-image arrays of ``record``, by name; none where they were not stored."""
        ...
