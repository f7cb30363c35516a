"""Has a security number got worse? The whole decision rule of `bench gate`.

**What is compared.** *Lines*: one number of one row or lock, over the seeds of the baseline (S, at least 8) and of the
candidate (m, at least 2), joined on row keys. For each lock UP (worse: lower), LP and worst-case RP (worse: higher);
for each attack on each lock RP (worse: lower). Of the calibration locks only what they are for: ``destroyed`` must not
open (worst-case RP), ``permuted-logits`` must (RP), ``none`` is the victim on what an attacker is after (the oracle)
and the public baseline (RP); what a key does to a model that never saw it is no lock's number. The worst case of a
seed is the attack that is best on judge-validation images.

**When a line has regressed.** All four must hold; each guards against another way of being wrong.

1. *Noise.* With d the candidate's mean less the baseline's, counted so that worse is positive, the lower end of
   ``d ± t · s · sqrt(1/m + 1/S)`` is above 0. t is the ``1 − rate/k`` quantile of Student's t with S − 1 degrees of
   freedom, k the number of lines (Bonferroni): a table of unchanged lines alarms with a chance of at most ``rate``,
   however its lines depend on each other. s is the baseline's deviation between seeds, and the candidate's seeds count
   as *drawn anew*: that a rerun on one machine is bit-identical is never relied on.
   s is not below the image noise, what independent images with the same chances of being right would give
   (``s² ≥ Σ q (1 − q) S/(S − 1) / n²`` over the images' rates q, by test image), nor below one image: eight seeds that
   agree by luck must not make the ninth look new. All seeds share their test images, so the images themselves
   cancel; without evidence by test image the larger binomial variance stands in.
2. *Size.* d is above the line's practical tolerance.
3. *Separation.* Every candidate seed is worse than every baseline seed by more than the tolerance. Seeds fail now and
   then (a key not found, a training that collapsed) and are not normal; whatever their distribution, two exchangeable
   seeds come behind all of eight with a chance of 1/45 at most, and an outlier alone can not alarm.
4. *Pairs.* Where candidate and baseline share seeds, the mean difference of the pairs is above the tolerance too.

**Certain findings** need no statistics: a row or seed that is missing, failed or invalid; a lock whose answers are
right on exactly the victim's images, or an attack whose answers are right on exactly the locked model's, with every
candidate seed and with at most one baseline seed; a parameter that no row sets and whose default is another now, so
that the row measures something else than it did; an attack that with every candidate seed spent less than half of the
least that it spent with any baseline seed (steps, queries, edited images or guesses), whatever it still reached.

**Warnings** never fail a gate: the same rule in the other direction ("unexpectedly better"), new red flags, rows that
the baseline does not know.

**Not comparable** (exit 2): another record schema, ensemble version, data fingerprint or set of test images; no row in
common; fewer seeds than the rule needs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from bench.errors import UserError
from bench.records import SCHEMA
from reports.gate.snapshot import SEEDS, SPENT, SavedRow, Seed, Snapshot
from reports.rows.statistics import Right, image_variance, t_quantile

COMPARABLE = {1, SCHEMA}
"""Schemas of records whose numbers mean the same: schema 2 only moved notes into fields of their own."""
RATE = 0.01
"""Chance that a table in which nothing has changed is called regressed."""
CANDIDATE_SEEDS = 2
TOLERANCE = {"oracle": 2.0, "UP": 2.0, "LP": 3.0, "worst-case RP": 3.0, "RP": 3.0}
"""Points that do not matter in practice, whatever their significance."""
WHAT = {
    ("oracle", "lower"): "the victim got weaker, so every lock looks stronger",
    ("UP", "lower"): "the lock costs its user more",
    ("LP", "higher"): "the lock holds less",
    ("worst-case RP", "higher"): "the lock gives more away",
    ("RP", "lower"): "the attack got weaker",
}

Verdict = Literal["held", "regressed", "better"]


@dataclass(frozen=True)
class Line:
    """One number by seed: percent, and (n,) by test image which were right, or None.

    ``worse`` says which direction is a regression.
    """

    metric: str
    name: str
    worse: Literal["lower", "higher"]
    values: dict[int, float]
    right: dict[int, Right | None]
    n: int

    @property
    def sign(self) -> float:
        """Times a value: so that larger is worse."""
        return 1.0 if self.worse == "higher" else -1.0


@dataclass(frozen=True)
class Finding:
    """A line's verdict. ``change`` is candidate less baseline in points, ``low`` and ``high`` its interval at the
    table's level; ``pairs`` the mean paired difference; ``detectable`` the least worsening found with 80 % power."""

    line: Line
    before: float
    after: float
    change: float
    low: float
    high: float
    pairs: float | None
    detectable: float
    verdict: Verdict
    why: str


@dataclass(frozen=True)
class Certain:
    """A finding that needs no statistics, and what to do about it."""

    name: str
    what: str
    remedy: str


@dataclass
class Comparison:
    """What a gate found, most telling first."""

    rate: float
    seeds: tuple[int, int]
    findings: list[Finding] = field(default_factory=list)
    certain: list[Certain] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def regressed(self) -> bool:
        """Whether anything got worse or is missing."""
        return bool(self.certain) or any(f.verdict == "regressed" for f in self.findings)


def compare(
    baseline: Snapshot,
    candidate: Snapshot,
    rate: float = RATE,
    expected: Iterable[str] | None = None,
    remake: str = "bench run --suite ci --seeds 2",
) -> Comparison:
    """The verdict on ``candidate``.

    Args:
        baseline, candidate: snapshots.
        rate: chance of a false alarm over the whole table.
        expected: row keys that the candidate must have; all of the baseline's without it.
        remake: the command that makes the candidate's rows.

    Raises:
        UserError: the two can not be compared; says which part differs.
    """
    expected = None if expected is None else set(expected)
    before = {row.row_key: row for row in baseline.rows if expected is None or row.row_key in expected}
    after = {row.row_key: row for row in candidate.rows}
    seeds = sorted({seed for key in before.keys() & after.keys() for seed in after[key].seeds})
    _check_comparable(baseline, candidate, before, after, seeds, remake)
    certain, whole = _missing(before, after, seeds, remake)
    old, new = (lines([pool[key] for key in whole]) for pool in (before, after))
    pairs = [(old[key], new[key]) for key in old if key in new]
    comparison = Comparison(rate, (min(len(row.seeds) for row in before.values()), len(seeds)), certain=certain)
    comparison.findings = [judge(a, b, rate / len(pairs)) for a, b in pairs]
    comparison.findings.sort(
        key=lambda f: ({"regressed": 0, "better": 1, "held": 2}[f.verdict], -f.line.sign * f.change)
    )
    reported: set[tuple[str, str]] = set()
    for key in whole:
        for finding in _handed_back(before[key], after[key], seeds):
            if (before[key].lock_group, finding.what) not in reported:
                comparison.certain.append(finding)
            reported.add((before[key].lock_group, finding.what))
        for plugin, finding in _other_defaults(before[key], after[key]):
            if (plugin, finding.what) not in reported:
                comparison.certain.append(finding)
            reported.add((plugin, finding.what))
        comparison.certain += _spends_less(before[key], after[key], seeds)
        known = {flag for seed in before[key].seeds.values() for flag in seed.flags}
        for flag in sorted({flag for s in seeds for flag in after[key].seeds[s].flags} - known):
            comparison.warnings.append(f"{before[key].words()}: new red flag {flag} (see docs/flags.md#{flag})")
    for key in after.keys() - {row.row_key for row in baseline.rows}:
        comparison.warnings.append(f"{after[key].words()}: not in the baseline, so nothing is reported of it")
    comparison.warnings.sort()
    return comparison


def judge(before: Line, after: Line, level: float) -> Finding:
    """The rule for one line at a one-sided ``level``; see the module."""
    seeds, drawn = len(before.values), len(after.values)
    old, new = (np.array(list(line.values.values())) for line in (before, after))
    error = deviation(before, after) * math.sqrt(1 / drawn + 1 / seeds)
    arm = t_quantile(1 - level, seeds - 1) * error
    change = float(new.mean() - old.mean())
    shared = sorted(before.values.keys() & after.values.keys())
    pairs = float(np.mean([after.values[s] - before.values[s] for s in shared])) if shared else None
    tolerance = TOLERANCE[before.metric]

    def moved(sign: float) -> bool:
        """Whether the line moved in the direction of ``sign``, by all four rules."""
        noise = sign * change - arm > 0
        size = sign * change > tolerance
        separate = bool((sign * new).min() > (sign * old).max() + tolerance)
        paired = pairs is None or sign * pairs > tolerance
        return noise and size and separate and paired

    verdict: Verdict = "regressed" if moved(before.sign) else "better" if moved(-before.sign) else "held"
    worse = WHAT[before.metric, before.worse]
    why = {"regressed": worse, "better": "unexpectedly better: find out why", "held": ""}[verdict]
    detectable = max(tolerance, arm + t_quantile(0.8, seeds - 1) * error)
    return Finding(
        before,
        float(old.mean()),
        float(new.mean()),
        change,
        change - arm,
        change + arm,
        pairs,
        detectable,
        verdict,
        why,
    )


def deviation(before: Line, after: Line) -> float:
    """Points: s of the rule, the deviation between seeds, not below the image noise nor below one image."""
    values = np.array(list(before.values.values()))
    seeds, n = len(values), max(before.n, 1)
    known = [right for right in before.right.values() if right is not None]
    if len(known) == seeds and len({len(right) for right in known}) == 1:
        rates = np.mean(known, axis=0)
        images = 1e4 * float((rates * (1 - rates)).sum()) * seeds / (seeds - 1) / n**2
    else:
        images = image_variance(float(values.mean()), n)
    return math.sqrt(max(float(values.var(ddof=1)), images, (100.0 / n) ** 2))


def lines(rows: Sequence[SavedRow]) -> dict[tuple[str, str], Line]:
    """The lines of ``rows`` by metric and by lock or row; see the module."""
    groups: dict[str, list[SavedRow]] = {}
    for row in rows:
        groups.setdefault(row.lock_group, []).append(row)
    out: dict[tuple[str, str], Line] = {}
    for group, members in groups.items():
        first, purpose = members[0], members[0].lock_purpose
        place = f"{first.scenario} · {first.model} · {first.lock}" + (f" ({first.key})" if first.key != "edit" else "")
        attacked = [row for row in members if row.attack_purpose != "no-attack"]
        own: list[Line | None] = []
        if purpose == "victim":
            own.append(_line("oracle", place, "lower", first))
        elif purpose not in ("must-open", "must-not-open"):
            own += [_line("UP", place, "lower", first), _line("LP", place, "higher", first)]
        if attacked and purpose not in ("victim", "must-open"):
            own.append(_worst(place, attacked))
        for line in own:
            if line is not None:
                out[line.metric, group] = line
        for row in attacked if purpose != "must-not-open" else ():
            line = _line("RP", f"{place} × {row.attack} [{row.row_key[:6]}]", "lower", row)
            if line is not None:
                out["RP", row.row_key] = line
    return out


def _line(
    metric: str,
    name: str,
    worse: Literal["lower", "higher"],
    row: SavedRow,
) -> Line | None:
    if not row.seeds or any(metric not in seed.values for seed in row.seeds.values()):
        return None
    return _of_seeds(metric, name, worse, metric, row.seeds)


def _of_seeds(
    metric: str, name: str, worse: Literal["lower", "higher"], measured: str, seeds: Mapping[int, Seed]
) -> Line:
    values = {number: seed.values[measured] for number, seed in seeds.items()}
    right = {number: seed.correct(measured) for number, seed in seeds.items()}
    return Line(metric, name, worse, values, right, min(seed.size(measured) for seed in seeds.values()))


def _worst(place: str, attacked: Sequence[SavedRow]) -> Line | None:
    """The strongest attack of each seed, chosen on judge-validation images where all have them."""
    numbers = set.intersection(*(set(row.seeds) for row in attacked))
    seeds = {n: [row.seeds[n] for row in attacked] for n in sorted(numbers)}
    if not seeds or any("RP" not in s.values for found in seeds.values() for s in found):
        return None
    chosen: dict[int, Seed] = {}
    for number, found in seeds.items():
        validated = all(s.validation is not None for s in found)
        chosen[number] = max(found, key=lambda s: (s.validation or 0.0) if validated else s.values["RP"])
    return _of_seeds("worst-case RP", place, "higher", "RP", chosen)


def _check_comparable(
    baseline: Snapshot,
    candidate: Snapshot,
    before: Mapping[str, SavedRow],
    after: Mapping[str, SavedRow],
    seeds: Sequence[int],
    remake: str,
) -> None:
    """Raises UserError, saying which part differs, where no verdict can be given."""
    again = "Make the baseline again: bench baseline save."
    if not {baseline.record_schema, candidate.record_schema} <= COMPARABLE:
        raise UserError(
            f"not comparable: the baseline has record schema {baseline.record_schema}, "
            f"the candidate {candidate.record_schema}.",
            again,
        )
    if baseline.ensemble != candidate.ensemble:
        raise UserError(
            f"not comparable: the baseline's ensemble version is {baseline.ensemble}, "
            f"the candidate's {candidate.ensemble}.",
            again,
        )
    if not before:
        raise UserError("not comparable: the baseline has none of the rows asked for.", again)
    if not seeds:
        theirs = candidate.rows[0].words() if candidate.rows else "nothing"
        ours = next(iter(before.values())).words()
        raise UserError(
            f"not comparable: no row of the candidate is in the baseline (it has {theirs}; the baseline {ours}).",
            f"Make the same rows: {remake}",
        )
    if len(seeds) < CANDIDATE_SEEDS:
        raise UserError(
            f"the candidate has {len(seeds)} seed; the rule needs {CANDIDATE_SEEDS}.", f"Run more: {remake}"
        )
    for row in before.values():
        if sum(seed.status == "ok" for seed in row.seeds.values()) < max(SEEDS, len(row.seeds)):
            raise UserError(f"the baseline's row {row.words()} has fewer than {SEEDS} seeds, or failed ones.", again)
        _check_data(row, after.get(row.row_key), again)


def _check_data(row: SavedRow, theirs: SavedRow | None, remedy: str) -> None:
    if theirs is None:
        return
    for number, seed in theirs.seeds.items():
        same = row.seeds.get(number)
        if same is not None and seed.data and same.data and seed.data != same.data:
            raise UserError(
                f"not comparable: the data of {row.scenario} changed (seed {number}: fingerprint {same.data} in the "
                f"baseline, {seed.data} in the candidate).",
                remedy,
            )
        any_seed = next(iter(row.seeds.values()))
        for side, images in seed.images.items():
            if any_seed.images.get(side, images) != images:
                raise UserError(
                    f"not comparable: the test images of {row.scenario} ({side} side) changed: digest "
                    f"{any_seed.images[side]} in the baseline, {images} in the candidate.",
                    remedy,
                )


def _missing(
    before: Mapping[str, SavedRow], after: Mapping[str, SavedRow], seeds: Sequence[int], remake: str
) -> tuple[list[Certain], list[str]]:
    """What the candidate lacks, and the keys of the rows that are whole."""
    found: list[Certain] = []
    whole: list[str] = []
    for key, row in before.items():
        if key not in after:
            remedy = f"Run it: {remake}. If its parameters were changed on purpose, save a new baseline."
            found.append(Certain(row.words(), "missing from the candidate", remedy))
            continue
        lacking = [n for n in seeds if n not in after[key].seeds]
        bad = [n for n in seeds if n not in lacking and after[key].seeds[n].status != "ok"]
        if lacking:
            numbers = ", ".join(map(str, lacking))
            found.append(Certain(row.words(), f"seed {numbers} missing from the candidate", f"Run it: {remake}"))
        for n in bad:
            seed = after[key].seeds[n]
            remedy = f"Mend it and run again: {remake}"
            found.append(Certain(row.words(), f"seed {n} {seed.status}: {seed.error}", remedy))
        needed = {name for seed in row.seeds.values() for name in seed.values}
        good = [after[key].seeds[n] for n in seeds if n not in lacking]
        unmeasured = sorted(name for name in needed if any(name not in seed.values for seed in good))
        if unmeasured and not lacking and not bad:
            what = f"{', '.join(unmeasured)} no longer measured"
            found.append(Certain(row.words(), what, f"Run it with its key and controls: {remake}"))
        if not (lacking or bad or unmeasured):
            whole.append(key)
    return found, whole


HANDED_BACK = (
    ((("UP", "victim_authorised"), ("LP", "oracle")), "the lock answers as the victim does: nothing is locked"),
    ((("RP", "LP"),), "the attack answers as the locked model does: nothing was attacked"),
)
"""Numbers that must not be right on the same images, all pairs together."""


def _handed_back(before: SavedRow, after: SavedRow, seeds: Sequence[int]) -> list[Certain]:
    """Whether a plugin hands back what it was given, with every candidate seed and at most one baseline seed."""
    if before.lock_purpose:
        return []

    def same(seed: Seed, pairs: Iterable[tuple[str, str]]) -> bool:
        for name, other in pairs:
            first, second = seed.correct(name), seed.correct(other)
            if first is None or second is None or not np.array_equal(first, second):
                return False
        return True

    found = []
    for pairs, what in HANDED_BACK:
        now = [after.seeds[n] for n in seeds]
        was = sum(same(seed, pairs) for seed in before.seeds.values())
        if all(same(seed, pairs) for seed in now) and was <= 1:
            name = pairs[-1][0]
            old, new = (np.mean([seed.values[name] for seed in pool]) for pool in (before.seeds.values(), now))
            if abs(new - old) > TOLERANCE[name]:  # an attack that never found anything hands back the model rightly
                found.append(Certain(before.words(), what, "Look at what the plugin returns."))
    return found


def _other_defaults(before: SavedRow, after: SavedRow) -> list[tuple[str, Certain]]:
    """Parameters that have another value under the same row key, with the plugin they belong to."""
    found = []
    for kind, old in before.settings.items():
        new = after.settings.get(kind, {})
        for name in sorted(old.keys() & new.keys()):
            if old[name] != new[name]:
                what = f"the default of {kind}.{name} was {old[name]} and is {new[name]}"
                remedy = "Take it back; if it was changed on purpose, save a new baseline."
                found.append((f"{kind} {before.row[kind][0]}", Certain(before.words(), what, remedy)))
    return found


def _spends_less(before: SavedRow, after: SavedRow, seeds: Sequence[int]) -> list[Certain]:
    """What the attack spent less than half of, with every candidate seed against every baseline seed."""
    reported = []
    for name in sorted(set.intersection(*(set(seed.spent) for seed in before.seeds.values()))):
        least = min(seed.spent[name] for seed in before.seeds.values())
        most = max(after.seeds[n].spent.get(name, 0) for n in seeds)
        if 2 * most < least:
            reported.append(f"{most} {SPENT[name]} at most, once {least} at least")
    if not reported:
        return []
    remedy = "Find what stops it; if it was changed on purpose, save a new baseline."
    return [Certain(before.words(), f"the attack spends less: {'; '.join(reported)}", remedy)]
