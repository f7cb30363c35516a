"""Rows of some locks, attacks, tasks and models; the controls that their numbers stand on stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from bench import datasets
from bench.checkpoints import weights
from bench.errors import UserError
from bench.legible import visible
from bench.records import Cell
from reports.rows.row import Row

LISTED = 12
"""Names that a remedy lists."""


@dataclass(frozen=True)
class Filters:
    """Names that a report is narrowed to, as the command line takes them; an empty list is all."""

    lock: Sequence[str] = ()
    attack: Sequence[str] = ()
    task: Sequence[str] = ()
    model: Sequence[str] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, f.name) for f in fields(self))

    def narrow(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that have one of the names of each kind, in their order, and the controls of the same places.

        Raises:
            UserError: no row has; the remedy lists what there is.
        """
        own = {id(row) for row in rows if self._match(_names(row))}
        if self and not own:
            raise self._nothing([_names(row) for row in rows])
        places = {(row.scenario, row.model) for row in rows if id(row) in own}
        # A control speaks for every row of its place, so a filter never parts them.
        return [row for row in rows if id(row) in own or (_pinned(row) and (row.scenario, row.model) in places)]

    def cells(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells that have one of the names of each kind, without controls.

        Raises:
            UserError: no cell has; the remedy lists what there is.
        """
        named = [dict(zip(_KINDS, (c.lock.name, c.attack.name, c.scenario, c.model), strict=True)) for c in cells]
        own = [cell for cell, names in zip(cells, named, strict=True) if self._match(names)]
        if self and not own:
            raise self._nothing(named)
        return own

    def _match(self, names: dict[str, str]) -> bool:
        return all(
            not getattr(self, kind) or any(_is(kind, name, wanted) for wanted in getattr(self, kind))
            for kind, name in names.items()
        )

    def _nothing(self, there: Sequence[dict[str, str]]) -> UserError:
        options = " ".join(f"--{kind} {name}" for kind in _KINDS for name in getattr(self, kind))
        has = []
        for kind in _KINDS:
            if getattr(self, kind):
                names = sorted({visible(names[kind]) for names in there})
                more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
                has.append(f"{kind}: {', '.join(names[:LISTED]) or 'none'}{more}")
        return UserError(f"nothing here has {options}.", f"There is {'; '.join(has)}.")


_KINDS = tuple(f.name for f in fields(Filters))


def _is(kind: str, name: str, wanted: str) -> bool:
    """Whether ``wanted``, as the command line takes it, is what a cell calls ``name``.

    A cell has the whole path of a folder. The name of a model without weights stands for it with any.
    """
    if kind == "task" and name != wanted:
        return name == datasets.located(wanted)
    if kind == "model" and name != wanted:
        return name.partition("?")[0] == wanted or ("?" in wanted and name == weights.located(wanted))
    return name == wanted


def _names(row: Row) -> dict[str, str]:
    return {"lock": row.lock_name, "attack": row.attack_name, "task": row.task, "model": row.architecture}


def _pinned(row: Row) -> bool:
    return bool(row.role == "control" and (row.lock_purpose or row.attack_purpose == "public-baseline"))
