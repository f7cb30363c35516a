"""The matrix of locks against attacks as the page prints it: what a spot shows, and in words what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reports.rows import matrix as logic
from reports.rows.matrix import STEPS, Line, Matrix, Spot
from reports.rows.row import MARGIN, Row
from reports.text import findings
from reports.text.formatting import DASH, number, with_interval
from reports.text.groups import Group, lock_name

SAYS = {
    "broken": "broken",
    "not broken": "not broken by this attack",
    "undecided": "undecided",
    "control": "a control",
    "no result": "no result",
}
MARKS = {"undecided": "?"}
"""What stands behind a number, beside the shape of its cell."""


@dataclass(frozen=True)
class View:
    """A matrix, with the sentence that it comes to and the notes under it."""

    matrix: Matrix
    title: str
    notes: tuple[str, ...]

    @property
    def blocks(self) -> list[tuple[str, tuple[Line, ...]]]:
        """Lines under their heading: locks, then controls."""
        blocks = [("Locks", self.matrix.methods), ("Controls and calibration locks", self.matrix.controls)]
        return [(heading, lines) for heading, lines in blocks if lines]


def view(group: Group, validation: Mapping[str, float | None]) -> View | None:
    """The matrix of a group; None where no attack was run."""
    table = logic.matrix(group.rows, validation)
    if not table.attacks:
        return None
    return View(table, findings.of_matrix(table), _notes(table))


def shades() -> list[tuple[int, str]]:
    """Every shade with the recovered share that it stands for."""
    return [(i, f"{100 * i // STEPS} to {100 * (i + 1) // STEPS} %") for i in range(STEPS)]


def text(spot: Spot) -> str:
    """The number in a cell: RP, or why there is none."""
    rp = spot.row.mean("RP")
    if rp is None or spot.kind == "no result":
        return spot.row.status if spot.row.status != "ok" else "no control" if spot.row.missing else DASH
    return number(rp)


def share(spot: Spot) -> str:
    """The recovered share under the number; empty where it is not defined."""
    recovery = spot.row.mean("recovery")
    return "" if recovery is None else f"{number(100 * recovery, 0)} % back".replace("-", "−")


def mark(spot: Spot) -> str:
    """The mark behind the number of a cell whose shape alone would not say it."""
    return MARKS.get(spot.kind, "")


def words(group: Group, spot: Spot) -> str:
    """All that a cell says, in words, for a pointer and for a reader of the screen."""
    row = spot.row
    phrases = [f"{lock_name(row)} × {row.attack}, threat model {group.threat(row)}: {SAYS[spot.kind]}"]
    if spot.kind == "no result":
        phrases[0] += f" ({row.status if row.status != 'ok' else _lack(row)})"
        return phrases[0]
    phrases.append(f"RP {with_interval(row.values['RP'])} %")
    for name, words in (("LP", "without attack"), ("public_baseline", "without the model"), ("oracle", "the victim")):
        if (mean := row.mean(name)) is not None:
            phrases.append(f"{words} {number(mean)} %")
    if (recovery := row.mean("recovery")) is not None:
        phrases.append(f"recovered share {number(100 * recovery, 0)} %")
    if spot.settings > 1:
        phrases.append(f"of {spot.settings} settings the furthest above its baseline, by {spot.by} images")
    return "; ".join(phrases)


def _lack(row: Row) -> str:
    return f"missing: {row.missing[0].control}" if row.missing else "no RP"


def _notes(table: Matrix) -> tuple[str, ...]:
    """What the cells mean beyond the legend; only what occurs."""
    notes = [
        f"A lock counts as broken where RP is above LP and the advantage's 95 % interval lies above {MARGIN:g} points."
        " The advantage is RP less what the same data reach without the locked model (the public baseline).",
        "Recovered share: (RP − b) / (victim − b), b the larger of LP and the floor.",
    ]
    chosen = {
        spot.by for line in (*table.methods, *table.controls) for spot in line.spots if spot and spot.settings > 1
    }
    if chosen:
        by = " or ".join(sorted(f"{name} images" for name in chosen))
        notes.append(
            f"Where an attack ran with several settings, the one furthest above its baseline is shown, chosen on {by}."
        )
    notes.append("A cell leads to its row, with the command that makes it again.")
    return tuple(notes)
