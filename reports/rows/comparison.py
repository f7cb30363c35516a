"""Ours beside print: for each published number of a recipe our row, and whether the two agree."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench import datasets
from bench.plan import Planned
from bench.plan.recipe import Printed, Recipe
from bench.plan.wording import name_text
from bench.records import Cell
from reports.rows.controls import expected_flags
from reports.rows.intervals import IMAGES, Value
from reports.rows.published import UNATTACKED, Line, is_named, load, provenance_of, reading_error
from reports.rows.row import Row

Word = Literal["inside", "outside", "not comparable"]
SIDES = {"authorised": ("UP", "authorised_after"), "unauthorised": ("LP", "RP")}
"""Our number of each side: without an attack, and after one."""
UNMEASURED = "not measured"
ONE_SEED = "of one seed, over whose images the interval is"


@dataclass(frozen=True)
class Verdict:
    """Whether a number of ours agrees with a published one.

    Args:
        word: ``inside``, ``outside`` or ``not comparable``.
        why: why it is not comparable, or what an ``outside`` leaves open; else empty.
    """

    word: Word
    why: str = ""

    def __str__(self) -> str:
        return f"{self.word}: {self.why}" if self.why else self.word


def verdict(theirs: float, error: float, ours: Value | None, against: Sequence[str] = ()) -> Verdict:
    """``inside`` where ``theirs`` lies within our 95 % interval, widened at both ends by ``error``; else ``outside``.

    It is not comparable where something speaks against it, where ours was not measured, or has no interval. The first
    reason of these stands. ``inside`` says that ours does not contradict print; a wide interval contradicts little.

    Args:
        theirs: the published number.
        error: how far it may lie from what its authors measured, as `published.reading_error` has it.
        ours: our number over seeds.
        against: why the two cannot be compared: other data, another model, fewer seeds, missing controls, red flags.
    """
    if ours is None:
        return Verdict("not comparable", " and ".join(against) or UNMEASURED)
    if against:
        return Verdict("not comparable", " and ".join(against))
    if ours.bounds is None:
        return Verdict("not comparable", "no interval")
    low, high = ours.bounds
    if low - error <= theirs <= high + error:
        return Verdict("inside")
    return Verdict("outside", ONE_SEED if ours.kind == IMAGES else "")


@dataclass(frozen=True)
class Beside:
    """One published number and ours.

    Args:
        file: of ``reports/published``.
        task, lock, attack: ours, in words.
        what: the column of the file, and the name of our number.
        number: the name of our number.
        theirs: as printed.
        error: as in `verdict`.
        provenance: where it stands.
        ours: over seeds; None where not measured.
        seeds: how many of the recipe's seeds ours has, and how many the recipe has.
        verdict: whether they agree.
    """

    file: str
    task: str
    lock: str
    attack: str
    what: str
    number: str
    theirs: str
    error: float
    provenance: str
    ours: Value | None
    seeds: tuple[int, int]
    verdict: Verdict


def beside(recipe: Recipe, planned: Sequence[Planned], rows: Iterable[Row]) -> list[Beside]:
    """Every published number of ``recipe`` with ours, in the files' order.

    Args:
        recipe: what was published.
        planned: the cells of the whole recipe, as its file has them.
        rows: of the store.
    """
    own = [row for row in rows if row.ensemble is None and row.status == "ok"]
    keys = {item.cell.row_key() for item in planned}
    out: list[Beside] = []
    for printed in recipe.printed:
        for line in load(printed.file):
            if _is_meant(line, printed):
                out += _of_line(line, printed, planned, own, keys)
    return out


def published(recipe: Recipe) -> list[tuple[Printed, int]]:
    """How many numbers each part of ``recipe`` has beside it."""
    return [
        (printed, len(printed.columns) * sum(_is_meant(line, printed) for line in load(printed.file)))
        for printed in recipe.printed
    ]


def _of_line(
    line: Line, printed: Printed, planned: Sequence[Planned], rows: Sequence[Row], keys: Collection[str]
) -> list[Beside]:
    cells = cells_of(line, printed, [item.cell for item in planned])
    row, against = _nearest(cells, rows, keys)
    against = [*([printed.differs] if printed.differs else []), *against, *([] if row is None else _doubts(row))]
    first = cells[0] if cells else None
    attacked = first is not None and first.attack.purpose != "no-attack"
    here = 0 if row is None else len({cell.replicate for cell in cells} & set(row.seeds))
    out = []
    for column, side in printed.columns.items():
        number = SIDES[side][attacked] if side in SIDES else side
        text, provenance = line[column], provenance_of(line, column)
        error = reading_error(text, provenance)
        ours = None if row is None else _number(row, number)
        out.append(
            Beside(
                file=printed.file,
                task=printed.task,
                lock=_lock_of(line, printed, first),
                attack=_attack_of(line, printed, first),
                what=column,
                number=number,
                theirs=text,
                error=error,
                provenance=provenance,
                ours=ours,
                seeds=(here, len({cell.replicate for cell in cells})),
                verdict=verdict(float(text), error, ours, against),
            )
        )
    return out


def cells_of(line: Line, printed: Printed, cells: Iterable[Cell]) -> list[Cell]:
    """The cells of a recipe that a published line is about, one for each seed; empty where the recipe has none."""
    found = [cell for cell in cells if _is_cell(line, printed, cell)]
    least = min((_settings(cell) for cell in found), default=0)
    keys = [cell.row_key() for cell in found if _settings(cell) == least]
    return [cell for cell in found if cell.row_key() == keys[0]]


def _settings(cell: Cell) -> int:
    return len(cell.lock.explicit) + len(cell.attack.explicit)


def _is_meant(line: Line, printed: Printed) -> bool:
    return all(line[column] in (v if isinstance(v, list) else [v]) for column, v in printed.lines.items())


def _is_cell(line: Line, printed: Printed, cell: Cell) -> bool:
    if cell.scenario != datasets.located(printed.task) or cell.lock.purpose:
        return False
    if cell.lock.name != printed.lock if printed.lock else not is_named("lock", cell.lock.name, line["lock"]):
        return False
    wanted = {name: value.format_map(line) for name, value in printed.params.items()}
    named = line.get("attack", UNATTACKED)
    if named in printed.attacks:
        name, *settings = printed.attacks[named].split()
        wanted |= {f"attack.{setting.partition('=')[0]}": setting.partition("=")[2] for setting in settings}
        is_attack = cell.attack.name == name
    elif named == UNATTACKED:
        is_attack = cell.attack.purpose == "no-attack"
    else:
        is_attack = is_named("attack", cell.attack.name, named)
    return is_attack and all(_is_printed_as(_setting(cell, name), value) for name, value in wanted.items())


def _is_printed_as(ours: Any, printed: str) -> bool:
    """Whether a setting is what is printed, in whatever case, with lines or spaces between words."""
    return str(ours).lower() == printed.lower().replace("_", " ")


def _setting(cell: Cell, name: str) -> Any:
    group, _, own = name.partition(".")
    if group == "task":
        return cell.task_settings.get(name)
    if group in ("threat", "budget"):
        return getattr(cell, group).values().get(own)
    return {"lock": cell.lock, "key": cell.key, "attack": cell.attack}[group].params.get(own)


def _lock_of(line: Line, printed: Printed, cell: Cell | None) -> str:
    """The lock in words, with what tells this line from the others of its file."""
    name = cell.lock.name if cell is not None else printed.lock or line.get("lock", "")
    return " ".join([name, *(value.format_map(line) for value in printed.params.values())])


def _attack_of(line: Line, printed: Printed, cell: Cell | None) -> str:
    """The attack in words, with its settings where two printed ones are one of ours."""
    named = line.get("attack", UNATTACKED)
    return printed.attacks.get(named) or (cell.attack.name if cell is not None else named)


def _number(row: Row, name: str) -> Value | None:
    return row.values[name] if name in row.values else (row.drops or {}).get(name)


def _nearest(cells: Sequence[Cell], rows: Sequence[Row], keys: Collection[str]) -> tuple[Row | None, list[str]]:
    """Our row in the setting of ``cells``, else the one nearest to it, and what speaks against comparing it.

    Rows with one of ``keys``, those of the recipe, stand for their own lines alone.
    """
    if not cells:
        return None, ["the recipe does not run it"]
    cell, seeds = cells[0], {c.replicate for c in cells}
    found: list[tuple[list[str], Row]] = []
    for row in rows:
        other = row.row_key != cell.row_key() and row.row_key in keys
        if not other and row.lock_name == cell.lock.name and row.attack_name == cell.attack.name:
            against = _against(cell, row)
            here = len(seeds & set(row.seeds))
            if here < len(seeds):
                against.append(f"fewer seeds: {here} of {len(seeds)}")
            found.append((against, row))
    if not found:
        return None, [UNMEASURED]
    against, row = min(found, key=lambda pair: (len(pair[0]), -len(pair[1].seeds)))
    return row, against


def _doubts(row: Row) -> list[str]:
    """Why no number of ``row`` can be compared, wherever it was measured: controls that it lacks, and red flags."""
    lacking = [missing.control for missing in row.missing]
    flags = sorted(set(row.flags) - expected_flags(row.lock_purpose))
    return [
        *([f"without the controls {', '.join(lacking)}"] if lacking else []),
        *([f"red flags: {', '.join(flags)}"] if flags else []),
    ]


def _against(cell: Cell, row: Row) -> list[str]:
    if row.row_key == cell.row_key():
        return []
    out = []
    if row.task != cell.scenario:
        out.append(f"other data: {name_text(row.task)}")
    if row.architecture != cell.model:
        out.append(f"another model: {name_text(row.architecture)}")
    return out or ["other settings"]


def words(comparisons: Iterable[Beside]) -> dict[str, int]:
    """How many numbers are inside, outside and not comparable, in this order."""
    found = [each.verdict.word for each in comparisons]
    return {word: found.count(word) for word in ("inside", "outside", "not comparable")}
