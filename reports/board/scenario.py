"""One scenario of the leaderboard: a task, a model and a kind of key; its matrix, ranks, baselines and controls."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from bench import datasets, registry
from bench.records import Cell
from reports.board.checks import FULL_SEEDS
from reports.files import name_of
from reports.rows import calibration, ranking
from reports.rows import matrix as logic
from reports.rows.controls import CALIBRATION, DATA_BUDGET
from reports.rows.intervals import Value
from reports.rows.matrix import Line, Matrix
from reports.rows.row import Row
from reports.text import captions, cells
from reports.text.escaping import csv_cell
from reports.text.formatting import DASH, number, threat_terms
from reports.text.groups import Group, grouped
from reports.text.latex import NEEDS, latex_table

KINDS = {
    "keyed": "the key changes the images",
    "domain": "the right to one domain is the key",
    "weights": "withheld weights are the key",
}
"""Kinds of scenario, in words."""


@dataclass(frozen=True)
class Control:
    """A control of a scenario, and whether it holds.

    Args:
        row: what was measured.
        what: what the control is for.
        ok: whether it holds.
        why: what is wrong, or what was missed in a single seed; empty where nothing is.
    """

    row: Row
    what: str
    ok: bool
    why: str = ""


@dataclass(frozen=True)
class Baseline:
    """What public data alone reach under one data budget."""

    words: str
    value: Value
    seeds: int


@dataclass(frozen=True)
class Scenario:
    """A group of rows with one kind of key.

    Args:
        kind: one of `KINDS`.
        group: the rows.
        matrix: locks against attacks; None where no attack was run.
        ranks: by lock and key, its (best, worst) rank by the worst-case advantage.
        rank_notes: what to know of them, one sentence each.
    """

    kind: str
    group: Group
    matrix: Matrix | None
    ranks: Mapping[tuple[str, str], tuple[int, int]]
    rank_notes: Sequence[str]

    @property
    def title(self) -> str:
        """The heading."""
        return f"{self.group.scenario} · {self.group.model} · {self.kind}"

    @property
    def stem(self) -> str:
        """The name of its files, without the ending."""
        return name_of("scenario", self.group.scenario, self.group.model, self.kind)

    def rank(self, line: Line) -> str:
        """The rank of a lock in words; ties share a range."""
        if (line.lock, line.key) not in self.ranks:
            return DASH
        best, worst = self.ranks[line.lock, line.key]
        return str(best) if best == worst else f"{best}–{worst}"

    def ordered(self) -> list[Line]:
        """The lines of locks, the best rank first."""
        lines = [] if self.matrix is None else list(self.matrix.methods)
        last = (len(lines) + 1, len(lines) + 1)
        return sorted(lines, key=lambda line: self.ranks.get((line.lock, line.key), last))

    def oracle(self, line: Line) -> Value | None:
        """The victim on unauthorised images, beside a lock: from the row with the most seeds."""
        rows = [spot.row for spot in line.spots if spot is not None and spot.row.values["oracle"] is not None]
        return max(rows, key=lambda row: len(row.seeds)).values["oracle"] if rows else None

    def baselines(self) -> list[Baseline]:
        """The public baselines, one for each data budget of the rows."""
        best: dict[str, Row] = {}
        for row in self.group.methods:
            if row.values["public_baseline"] is None:
                continue
            budget = {name: row.threat[name] for name in DATA_BUDGET}
            words = ", ".join(term for term in threat_terms(budget) if not term.startswith("budget"))
            if len(row.seeds) > len(best[words].seeds if words in best else ()):
                best[words] = row
        found = [(words, row.values["public_baseline"], len(row.seeds)) for words, row in best.items()]
        return [Baseline(words, value, seeds) for words, value, seeds in found if value is not None]

    def controls(self) -> list[Control]:
        """The victim and the calibration locks, each with whether it holds."""
        rows = [row for row in self.group.controls if row.status == "ok"]
        out = []
        victims = [row for row in rows if row.lock_purpose == "victim" and row.values["oracle"] is not None]
        if victims:
            most = max(victims, key=lambda row: len(row.seeds))
            low = calibration.at_floor(most)
            out.append(Control(most, "the victim has learnt something", low is None, "" if low is None else low.what))
        for row in rows:
            if row.lock_purpose not in CALIBRATION or row.attack_purpose or row.values["RP"] is None:
                continue
            if row.lock_purpose == "must-open" and not calibration.opens(row):
                continue
            failed = calibration.must_open(row) or calibration.must_not_open(row)
            missed = "; ".join(f.what for f in calibration.missed(row))
            what = "must open" if row.lock_purpose == "must-open" else "must not open"
            out.append(Control(row, what, failed is None, missed if failed is None else failed.what))
        return out


def scenarios(
    rows: Sequence[Row], cell_of: Callable[[Row], Cell], validation: Mapping[str, float | None]
) -> list[Scenario]:
    """The scenarios of a table.

    A control stands beside the locks of its own kind of key, and beside others of its task and model where they have
    none of theirs.

    Args:
        rows: in table order.
        cell_of: a cell that a row was measured in.
        validation: mean RP on judge-validation images by row key, by which a spot with several rows shows one.
    """
    out = []
    for group in grouped(rows):
        kinds = {id(row): kind_of(cell_of(row)) for row in group.rows}
        for kind in KINDS:
            methods = [row for row in group.methods if kinds[id(row)] == kind]
            controls = [row for row in group.controls if kinds[id(row)] == kind]
            if methods:
                own = replace(group, methods=methods, controls=controls or group.controls)
                table = logic.matrix(own.rows, validation)
                places = ranking.places(own.rankable())
                ranks = {(row.lock, row.key): rank for row, rank in places}
                notes = captions.rank_notes(own, [row for row, _ in places])
                out.append(Scenario(kind, own, table if table.attacks else None, ranks, notes))
    return out


def kind_of(cell: Cell) -> str:
    """The kind of scenario of a cell, by its task and its key."""
    if datasets.pair(cell.scenario) is not None:
        return "domain"
    key = registry.current().get("key", cell.key.name)
    return "weights" if key is not None and key.in_weights else "keyed"


def few(row: Row) -> bool:
    """Whether a row has fewer seeds than a place in the table asks for."""
    return len(row.seeds) < FULL_SEEDS


def _table(scenario: Scenario) -> list[list[str]]:
    """The matrix as text: one line a lock, RP with its interval and public baseline for each attack."""
    attacks = () if scenario.matrix is None else scenario.matrix.attacks
    controls = () if scenario.matrix is None else scenario.matrix.controls
    out = [["rank", "lock", "key", "UP", "LP", "oracle", *attacks]]
    for line in [*scenario.ordered(), *controls]:
        means = [number(None if v is None else v.mean) for v in (line.UP, line.LP, scenario.oracle(line))]
        out.append([scenario.rank(line), line.lock, line.key, *means, *(_spot(spot) for spot in line.spots)])
    return out


def _spot(spot: logic.Spot | None) -> str:
    if spot is None:
        return ""
    rp, public = spot.row.values["RP"], spot.row.mean("public_baseline")
    if rp is None:
        return "no result"
    ends = "" if rp.low is None else f" [{number(rp.low)}, {number(rp.high)}]"
    seeds = f", {len(spot.row.seeds)} seeds" if few(spot.row) else ""
    return f"{number(rp.mean)}{ends} (public {number(public)}, {spot.kind}{seeds})"


def as_csv(scenario: Scenario) -> str:
    """The matrix as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([csv_cell(cell) for cell in line] for line in _table(scenario))
    return out.getvalue()


def as_latex(scenario: Scenario) -> str:
    """The matrix as LaTeX with booktabs."""
    heading, *lines = _table(scenario)
    body = [[cells.Cell(text) for text in line] for line in lines]
    caption = "RP of each attack on each lock, percent."
    table = cells.Table(scenario.title, heading, "lll" + "r" * (len(heading) - 3), [("", body)], [caption])
    return "\n".join([NEEDS, latex_table(table, scenario.title)])
