"""The cells of a plan as a graph of stages, each once by its hash, in the order in which they are best run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from bench.plan.build import ASKED, Planned
from bench.plan.durations import Durations, gigabytes
from bench.records import Cell, Record
from bench.store import identity
from bench.store.settings import Settings

KINDS = ("key", "victim", "protected", "judged", "unlocked", "conditions", "scored")
"""Of a cell, each after those that it reads. The last is the record; the others are artefacts of the store."""


@dataclass(frozen=True)
class Stage:
    """One piece of work.

    Args:
        kind: one of `KINDS`.
        hash: of the artefact, or of the record.
        cell: the first cell of the plan that needs it.
        parents: positions in the graph of the stages that it reads, as far as they are to do.
        inputs: every artefact that it reads, as kind and hash, whether it is to do or not.
        seconds: an estimate.
        gigabytes: an estimate, 10^9 bytes on its device.
    """

    kind: str
    hash: str
    cell: Cell
    parents: tuple[int, ...]
    inputs: tuple[tuple[str, str], ...]
    seconds: float
    gigabytes: float


class Graph:
    """Stages, parents before those that read them.

    Args:
        stages: in that order.
        ranks: for each, what decides before the length of its path: the least over what comes of it.
    """

    def __init__(self, stages: Sequence[Stage], ranks: Sequence[tuple[int, ...]]) -> None:
        self.stages = tuple(stages)
        self._ranks = tuple(ranks)

    @classmethod
    def of(
        cls,
        planned: Sequence[Planned],
        settings: Settings,
        has: Callable[[str, str], bool] = lambda kind, hash: False,
        records: Sequence[Record] = (),
        reads_victim: Callable[[Cell], bool] = lambda cell: True,
    ) -> Graph:
        """The graph of what is to do.

        Args:
            planned: the cells that the store has no complete record of.
            settings: how they are computed.
            has: whether the store has the artefact of that kind and hash.
            records: of the store, to estimate times by.
            reads_victim: whether the lock of a cell, or the judge beside it, needs the unprotected model.
        """
        estimates = Durations(records)
        stages: list[Stage] = []
        ranks: list[tuple[int, ...]] = []
        at: dict[tuple[str, str], int] = {}
        locks: dict[str, int] = {}
        for item in planned:
            cell = item.cell
            hashes = {**(own := identity.of(cell, settings)).hashes, "scored": own.record}
            lock = locks.setdefault(hashes["protected"], len(locks))
            rank = (not item.required, cell.replicate, item.reason != ASKED, lock)
            for kind, reads in reads_of(cell, reads_victim(cell)).items():
                hash = hashes[kind]
                if kind != "scored" and has(kind, hash):
                    continue
                inputs = tuple((parent, hashes[parent]) for parent in reads)
                if (kind, hash) not in at:
                    at[kind, hash] = len(stages)
                    parents = tuple(at[parent] for parent in inputs if parent in at)
                    size = gigabytes(cell)
                    stages.append(Stage(kind, hash, cell, parents, inputs, estimates.seconds(kind, cell), size))
                    ranks.append(rank)
                else:
                    ranks[at[kind, hash]] = min(ranks[at[kind, hash]], rank)
        return cls(*_needed(stages, ranks))

    @cached_property
    def cells(self) -> list[Cell]:
        """The cells whose records are to be made."""
        return [stage.cell for stage in self.stages if stage.kind == "scored"]

    def __len__(self) -> int:
        return len(self.stages)

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """For each stage, the positions of those that read it."""
        out: list[list[int]] = [[] for _ in self.stages]
        for i, stage in enumerate(self.stages):
            for parent in stage.parents:
                out[parent].append(i)
        return tuple(map(tuple, out))

    @cached_property
    def remaining(self) -> tuple[float, ...]:
        """For each stage, the seconds of the longest path from its start to a record."""
        out = [0.0] * len(self.stages)
        for i in reversed(range(len(self.stages))):
            out[i] = self.stages[i].seconds + max((out[child] for child in self.children[i]), default=0.0)
        return tuple(out)

    def order(self, i: int) -> tuple[object, ...]:
        """What stages that are ready are sorted by.

        Required, seed, asked for, the place of its lock in the plan, ends a cell, longest path, position. One locked
        model is attacked before the next is made, so that records come early and a killed run leaves whole rows.
        """
        return (*self._ranks[i], self.stages[i].kind != "scored", -self.remaining[i], i)

    def folded(self, kind: str) -> Graph:
        """The graph without the stages of ``kind``: the most urgent of those that read one makes it.

        The other readers wait for that one, so that nobody waits in a process. A reader has to be a record, which
        nobody else reads.
        """
        folded = [i for i, stage in enumerate(self.stages) if stage.kind == kind]
        stages, last = list(self.stages), set[int]()
        for i in folded:
            own, readers = self.stages[i], sorted(self.children[i], key=lambda j: (self._ranks[j], j))
            makes = readers[0]
            for reader in readers:
                rest = tuple(parent for parent in stages[reader].parents if parent != i)
                if reader == makes:
                    longer = stages[reader].seconds + own.seconds
                    stages[reader] = replace(stages[reader], parents=_union(rest, own.parents), seconds=longer)
                else:
                    stages[reader] = replace(stages[reader], parents=_union(rest, (makes,)))
                    last.add(reader)
        first = [i for i in range(len(stages)) if i not in last]
        keep = [i for i in (*first, *sorted(last)) if self.stages[i].kind != kind]
        return Graph(*_subset(stages, self._ranks, keep))

    def seconds(self, jobs: int = 1, left: Iterable[int] | None = None) -> float:
        """How long the stages may take with ``jobs`` at once: by their sum, or by the longest path through them.

        Args:
            jobs: at once.
            left: positions of those that are not done; None: all.
        """
        some = range(len(self.stages)) if left is None else list(left)
        total = sum(self.stages[i].seconds for i in some)
        return max(total / max(1, jobs), max((self.remaining[i] for i in some), default=0.0))

    def seconds_of(self, cells: Sequence[Cell]) -> list[float]:
        """For each of ``cells``, the seconds of the stages that are made for it first; 0 where there is none."""
        spent: dict[str, float] = {}
        for stage in self.stages:
            at = _name(stage.cell)
            spent[at] = spent.get(at, 0.0) + stage.seconds
        return [spent.get(_name(cell), 0.0) for cell in cells]


def reads_of(cell: Cell, reads_victim: bool = True) -> dict[str, tuple[str, ...]]:
    """The stages of ``cell`` by kind, each with the kinds that it reads.

    An attack that sees no model reads none.
    """
    victim = ("victim",) if reads_victim else ()
    blind = cell.threat.access == "none"
    conditions = ("conditions",) if cell.has_conditions else ()
    out: dict[str, tuple[str, ...]] = {
        "key": (),
        **dict.fromkeys(victim, ()),
        "protected": ("key", *victim),
        "judged": ("key", *victim, "protected"),
        "unlocked": ("key",) if blind else ("key", "protected"),
        **dict.fromkeys(conditions, ("key", "protected")),
    }
    out["scored"] = tuple(kind for kind in KINDS if kind in out and kind != "victim")
    return out


def _name(cell: Cell) -> str:
    return f"{cell.row_key()}/{cell.replicate}/{cell.scenario}"


def _union(some: tuple[int, ...], others: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(dict.fromkeys((*some, *others)))


Ranks = Sequence[tuple[int, ...]]


def _needed(stages: Sequence[Stage], ranks: Ranks) -> tuple[list[Stage], list[tuple[int, ...]]]:
    """Those of ``stages`` that a record still needs: not the victim of a lock that is there and judged."""
    keep = [False] * len(stages)
    for i in reversed(range(len(stages))):
        if stages[i].kind == "scored" or keep[i]:
            keep[i] = True
            for parent in stages[i].parents:
                keep[parent] = True
    return _subset(stages, ranks, [i for i, k in enumerate(keep) if k])


def _subset(stages: Sequence[Stage], ranks: Ranks, keep: Sequence[int]) -> tuple[list[Stage], list[tuple[int, ...]]]:
    place = {old: new for new, old in enumerate(keep)}
    own = [stages[i] for i in keep]
    out = [replace(stage, parents=tuple(place[p] for p in stage.parents if p in place)) for stage in own]
    return out, [ranks[i] for i in keep]
