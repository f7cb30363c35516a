"""Where rows come from: what reports need of a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from bench.records import Record

Evidence = Callable[[Record], Mapping[str, NDArray[Any]]]
"""The per-image arrays of a record, by name."""


class Store(Protocol):
    """What reports need of a store."""

    def records(self) -> list[Record]: ...
    def evidence(self, record: Record) -> Mapping[str, NDArray[Any]]: ...
