"""Which editing engine this process uses: its device, precision and cache, set once by whoever runs things."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.editors.engine import Engine


@dataclass
class _Session:
    device: str = "cpu"
    dtype: str = "float32"
    cache: Path | None = None


_session = _Session()


def use(device: str = "cpu", dtype: str = "float32", cache: Path | None = None) -> None:
    """From now on, edit on ``device`` in ``dtype``, through the edit cache at ``cache`` (None: no cache)."""
    _session.device, _session.dtype, _session.cache = device, dtype, cache


def engine(editor: str) -> Engine:
    """The engine of ``editor`` under the present session."""
    from bench.editors.engine import get_engine

    return get_engine(editor, _session.device, _session.dtype, _session.cache)
