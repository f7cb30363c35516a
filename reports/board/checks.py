"""Checks of a submission as a whole: its seeds, its controls, its code. One function a check; all are in `CHECKS`.

| check | what it guards against |
|---|---|
| `own` | records that were imported from somebody else |
| `duplicates` | two results of one row and seed, of which the better would be shown |
| `seeds` | seeds of tuning, seeds left out, rows with other seeds than their controls |
| `controls` | numbers without the controls that say whether they can be believed |
| `calibration` | controls that fail their condition |
| `baselines` | an attack that public data alone would do as well |
| `settings` | a label that is not what was run: `reports.board.settings` |
| `evidence` | numbers that their own predictions deny: `reports.board.evidence` |
| `completeness` | numbers left out, images counted twice, a weak baseline: `reports.board.completeness` |
| `consistency` | records that contradict themselves, or lack a flag that is due: `reports.board.consistency` |
| `versions` | rows made by different code or libraries, or by code that is not known: `reports.board.code` |
| `plugins` | locks and attacks whose source nobody can read: `reports.board.code` |
| `flags` | nothing; it shows the red flags |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from bench import seeds as axes
from bench.plan.wording import in_short
from reports.board import code, completeness, consistency, evidence, settings
from reports.board.finding import Finding, Submission, of_problems
from reports.gate.sound import DISTRUSTED
from reports.rows import calibration
from reports.rows.reasons import outcome
from reports.rows.row import Row
from reports.text.formatting import seeds_list, seeds_words
from reports.text.groups import lock_name

LEAST_SEEDS = 3
"""Seeds of every row."""
FULL_SEEDS = 5
"""Seeds under which the leaderboard marks a cell."""
BASELINE = "public baseline"
"""The name of that control among what a row lacks."""


def own(s: Submission) -> Finding:
    """Whether its authors measured every record."""
    foreign = [f"{in_short(r.cell)} was imported from {r.third_party}" for r in s.records if r.third_party is not None]
    return of_problems(
        "own", f"{len(s.records)} records, none imported from elsewhere", foreign,
        "Export a store that holds your own runs alone.",
    )  # fmt: skip


def duplicates(s: Submission) -> Finding:
    """Whether each row has one result for each seed."""
    counts = Counter((r.row_key, r.cell.replicate) for r in s.records)
    twice = [r for r in s.records if counts[r.row_key, r.cell.replicate] > 1]
    named = dict.fromkeys(f"{in_short(r.cell)} has {counts[r.row_key, r.cell.replicate]} records" for r in twice)
    return of_problems(
        "duplicates", "no row has two results for one seed", list(named),
        "Run the suite into a new store and export that: results cannot be chosen among.",
    )  # fmt: skip


def seeds(s: Submission) -> Finding:
    """Whether every row has the reporting seeds 0, 1, …, without a gap, and all rows have the same."""
    tuning = sorted({r.cell.replicate for r in s.records if axes.is_tuning(r.cell.replicate)})
    problems = [f"seed {n} is for tuning; reporting seeds are below {axes.TUNING_FROM}" for n in tuning]
    problems += [f"{in_short(r.cell)} is judged on {r.split} images" for r in s.records if r.split != r.cell.split]
    every = {r.cell.replicate for r in s.records if not axes.is_tuning(r.cell.replicate)}
    wanted = set(range(max(every, default=-1) + 1))
    if gaps := wanted - every:
        problems.append(f"there are seeds {seeds_list(tuple(every))}, so seed {seeds_list(tuple(gaps))} is left out")
    if len(every) < LEAST_SEEDS:
        problems.append(f"there are {len(every)} seeds; at least {LEAST_SEEDS} are needed")
    by_row: dict[str, list[int]] = {}
    for record in s.records:
        by_row.setdefault(record.row_key, []).append(record.cell.replicate)
    first = {r.row_key: r for r in s.records}
    for key, there in by_row.items():
        if absent := every - set(there):
            problems.append(f"{_row_name(first[key].cell)} lacks seed {seeds_list(tuple(absent))}")
    problems += [f"{in_short(r.cell)} {outcome(r)}" for r in s.records if r.status == "failed"]
    for key, count in Counter(r.row_key for r in s.measured).items():
        if count < len(by_row[key]):  # which seeds have none may have been chosen
            problems.append(f"{_row_name(first[key].cell)} has a result in {count} of {len(by_row[key])} seeds")
    few = f"; fewer than {FULL_SEEDS}, so the leaderboard marks its cells" if len(every) < FULL_SEEDS else ""
    return of_problems(
        "seeds", f"every row has {seeds_words(tuple(every))}{few}", problems,
        f"Run every row with the same seeds from 0 on: bench run … --seeds {FULL_SEEDS}",
    )  # fmt: skip


def controls(s: Submission) -> Finding:
    """Whether every row stands beside its controls, the public baseline apart."""
    problems = [] if _methods(s) else ["it has no row of a lock under an attack"]
    problems += [
        f"{_name(row)} lacks {lack.control}" for row in _methods(s) for lack in row.missing if lack.control != BASELINE
    ]
    closed = {_attacked(row) for row in s.rows if row.lock_purpose == "must-not-open" and row.status == "ok"}
    problems += [
        f"{_name(row)} lacks the lock that must not open under this attack"
        for row in _methods(s) if row.ensemble is None and closed and _attacked(row) not in closed
    ]  # fmt: skip
    places = {(row.scenario, row.model) for row in _methods(s)}
    return of_problems(
        "controls", f"every row of {len(places)} scenario{_s(len(places))} has its controls", problems, _command(s)
    )


def calibrated(s: Submission) -> Finding:
    """Whether the controls hold: one lock opens, one does not, the victim has learnt something."""
    failed = [f"{_name(f.row)}: {f.what}: {f.meaning}" for f in calibration.failed(s.rows)]
    missed = [f"noted: {_name(f.row)}: {f.what}" for row in s.rows for f in calibration.missed(row)]
    found = of_problems(
        "calibration", "the lock that must open opens, the one that must not open does not", failed,
        "Find out why before any number beside it is believed (docs/explanation/controls.md).",
    )  # fmt: skip
    return Finding(found.check, found.ok, found.what, found.remedy, (*found.lines, *missed))


def baselines(s: Submission) -> Finding:
    """Whether every row has the public baseline of its data."""
    problems = [f"{_name(row)} lacks it" for row in _methods(s) for lack in row.missing if lack.control == BASELINE]
    command = next(
        (lack.command for row in _methods(s) for lack in row.missing if lack.control == BASELINE), "bench run"
    )
    return of_problems(
        "baselines", f"{len(_methods(s))} rows have their public baseline", problems, f"Make it: {command}"
    )


def flags(s: Submission) -> Finding:
    """The red flags and the results that do not count. They are shown, and refuse nothing."""
    invalid = [f"{in_short(r.cell)} {outcome(r)}" for r in s.records if r.status == "invalid"]
    raised = [
        f"{name}: {_name(row)} in {count} of {len(row.seeds)} seeds"
        for row in s.rows if row.role != "control" for name, count in row.flags.items()
    ]  # fmt: skip
    raised.sort(key=lambda line: line.partition(":")[0] not in DISTRUSTED)
    lines = (*(f"no result: {line}" for line in invalid), *raised)
    words = f"{len(raised)} red flag{_s(len(raised))} to read (docs/reference/flags.md)" if raised else "no red flags"
    return Finding("flags", True, f"{words}, {len(invalid)} invalid results", lines=lines)


CHECKS: tuple[Callable[[Submission], Finding], ...] = (
    own, duplicates, seeds, settings.check, evidence.check, completeness.check, consistency.check, controls,
    calibrated, baselines, code.versions, code.plugins, flags,
)  # fmt: skip


def run(s: Submission) -> Iterator[Finding]:
    """What every check finds, one after another."""
    for check in CHECKS:
        yield check(s)


def _methods(s: Submission) -> list[Row]:
    return [row for row in s.rows if row.role != "control" and row.status == "ok" and not row.attack_purpose]


def _name(row: Row) -> str:
    return f"{row.scenario} · {row.model} · {lock_name(row)} × {row.attack}"


def _attacked(row: Row) -> tuple[str, ...]:
    """Where and by what a lock is attacked."""
    return row.scenario, row.model, row.attack, repr(sorted(row.threat.items()))


def _row_name(cell: object) -> str:
    return in_short(cell).rpartition(" · seed")[0]  # type: ignore[arg-type]


def _command(s: Submission) -> str:
    lacks = [lack for row in _methods(s) for lack in row.missing if lack.control != BASELINE]
    return f"Make it: {lacks[0].command}" if lacks else "Run a lock against an attack: bench run"


def _s(n: int) -> str:
    return "" if n == 1 else "s"
