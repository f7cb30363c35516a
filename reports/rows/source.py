"""Where rows come from: what reports need of a store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bench.records import Record


class Store(Protocol):
    """What reports need of a store."""

    def records(self) -> list[Record]: ...
    def evidence(self, record: Record) -> Mapping[str, NDArray[Any]]: ...
