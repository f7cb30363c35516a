"""The numbers a gate compares: one *line* is one number of one lock or one row, by seed.

| of | line | worse |
|---|---|---|
| each lock | UP, UP_shipped | lower |
| each lock | LP, LP_shipped, worst-case RP, the highest accuracy under a near or wrong key | higher |
| each attack on each lock | RP | lower |
| the lock that must not open | worst-case RP | higher |
| the lock that must open | RP of each attack | lower |
| the victim | oracle, RP of the public baseline | lower |

What a key does to a control that never saw it is no number of a lock, so controls have no UP and no LP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.legible import visible
from bench.metrics import SOME
from reports.gate.snapshot import Seed, SnapshotRow
from reports.rows.statistics import Right

Worse = Literal["lower", "higher"]

TOLERANCE = {
    "oracle": 2.0, "UP": 2.0, "LP": 3.0, "worst-case RP": 3.0, "RP": 3.0,
    "UP_shipped": 2.0, "LP_shipped": 3.0, "wrong_key": 5.0,
}  # fmt: skip
"""By metric, points that do not matter in practice, whatever their significance."""


@dataclass(frozen=True)
class Line:
    """One number by seed.

    Args:
        metric: a name of `TOLERANCE`.
        name: the lock or the row, in words.
        worse: the direction that is a regression.
        values: percent by seed.
        right: by seed, (n,) whether each test image was right; None without that evidence.
        n: test images.
    """

    metric: str
    name: str
    worse: Worse
    values: dict[int, float]
    right: dict[int, Right | None]
    n: int

    @property
    def sign(self) -> float:
        """1 or -1: times a value, larger is worse."""
        return 1.0 if self.worse == "higher" else -1.0


def lines(rows: Sequence[SnapshotRow]) -> dict[tuple[str, str], Line]:
    """The lines of ``rows``, by metric and by lock group or row key."""
    groups: dict[str, list[SnapshotRow]] = {}
    for row in rows:
        groups.setdefault(row.lock_group, []).append(row)
    table: dict[tuple[str, str], Line] = {}
    for group, members in groups.items():
        first, purpose = members[0], members[0].lock_purpose
        place = visible(f"{first.scenario} · {first.model} · {first.lock} ({first.key})")
        attacked = [row for row in members if row.attack_purpose != "no-attack"]
        own: list[Line | None] = []
        if purpose == "victim":
            own.append(_of_row("oracle", place, "lower", first))
        elif purpose not in ("must-open", "must-not-open"):
            own += [_of_row(name, place, "lower", first) for name in ("UP", "UP_shipped")]
            own += [_of_row(name, place, "higher", first) for name in ("LP", "LP_shipped", "wrong_key")]
        if attacked and purpose not in ("victim", "must-open"):
            own.append(_worst_case(place, attacked))
        for line in own:
            if line is not None:
                table[line.metric, group] = line
        for row in attacked if purpose != "must-not-open" else ():
            line = _of_row("RP", visible(f"{place} × {row.attack} [{row.row_key[:6]}]"), "lower", row)
            if line is not None:
                table["RP", row.row_key] = line
    return table


def _of_row(metric: str, name: str, worse: Worse, row: SnapshotRow) -> Line | None:
    if not row.seeds or any(metric not in seed.values for seed in row.seeds.values()):
        return None
    return _of_seeds(metric, name, worse, metric, row.seeds)


def _worst_case(place: str, attacked: Sequence[SnapshotRow]) -> Line | None:
    """RP of the strongest attack of each seed, chosen on judge-validation images where all have them."""
    numbers = set.intersection(*(set(row.seeds) for row in attacked))
    candidates = {number: [row.seeds[number] for row in attacked] for number in sorted(numbers)}
    if not candidates or any("RP" not in seed.values for seeds in candidates.values() for seed in seeds):
        return None
    strongest: dict[int, Seed] = {}
    for number, seeds in candidates.items():
        validated = all(seed.validation is not None for seed in seeds)
        strongest[number] = max(seeds, key=lambda s: (s.validation or 0.0) if validated else s.values["RP"])
    return _of_seeds("worst-case RP", place, "higher", "RP", strongest)


def _of_seeds(metric: str, name: str, worse: Worse, field: str, seeds: Mapping[int, Seed]) -> Line:
    values = {number: seed.values[field] for number, seed in seeds.items()}
    right = {number: seed.correct(field) for number, seed in seeds.items()}
    n = min(seed.size(field) for seed in seeds.values())
    return Line(metric, name, worse, values, right, min(n, SOME) if field == "wrong_key" else n)
