"""Has a security number got worse? The decision rule of `bench gate`.

**What is compared.** The lines of `reports.gate.lines`: one number over the S seeds of the snapshot (at least 8) and
the m seeds of the candidate (at least 2), joined on row keys.

**When a line has regressed.** All four must hold; each guards against another way of being wrong.

1. *Noise.* Let d be the candidate's mean less the snapshot's, counted so that worse is positive. The lower end of
   ``d ± t · s · sqrt(1/m + 1/S)`` is above 0.
   - t is the ``1 − rate/k`` quantile of Student's t with S − 1 degrees of freedom, k the number of lines (Bonferroni).
     So a table of unchanged lines alarms with a chance of at most ``rate``, however its lines depend on each other.
   - s is the snapshot's deviation between seeds. The candidate's seeds count as drawn anew: the rule never relies on a
     rerun that is bit-identical.
   - s is not below the image noise, which independent images with the same chances of being right would give:
     ``s² ≥ Σ q (1 − q) S/(S − 1) / n²`` over the images' rates q. Nor is s below one image. So eight seeds that agree
     by luck do not make the ninth look new. All seeds share their test images, so the images themselves cancel.
     Without evidence by test image the larger binomial variance stands in.
2. *Size.* d is above the line's practical tolerance.
3. *Separation.* Every candidate seed is worse than every seed of the snapshot by more than the tolerance. Seeds fail
   now and then (a search without success, a training that collapsed) and are not normal. Whatever their distribution,
   two exchangeable seeds come behind all of eight with a chance of 1/45 at most, and an outlier alone cannot alarm.
4. *Pairs.* Where the two share seeds, the mean difference of the pairs is above the tolerance too.

**Certain findings** need no statistics: see `reports.gate.certain`.

**Warnings** never fail a gate: the same rule in the other direction ("unexpectedly better"), new red flags, and rows
that the snapshot does not have.

**Not comparable** (exit 2): see `reports.gate.comparable`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from reports.gate import comparable
from reports.gate.certain import Certain, handed_back, missing, other_defaults, spends_less
from reports.gate.comparable import CANDIDATE_SEEDS as CANDIDATE_SEEDS
from reports.gate.lines import TOLERANCE, Line
from reports.gate.lines import lines as lines
from reports.gate.snapshot import Snapshot, SnapshotRow
from reports.rows.statistics import image_variance, t_quantile

RATE = 0.01
"""Chance that a table in which nothing has changed is called regressed."""
WHY = {
    ("oracle", "lower"): "the victim got weaker, so every lock looks stronger",
    ("UP", "lower"): "the lock costs its user more",
    ("LP", "higher"): "the lock holds less",
    ("worst-case RP", "higher"): "the lock gives more away",
    ("RP", "lower"): "the attack got weaker",
}
"""What a regression of a metric in that direction means."""

Verdict = Literal["held", "regressed", "better"]


@dataclass(frozen=True)
class Finding:
    """A line's verdict.

    Args:
        line: of the snapshot.
        before, after: means of snapshot and candidate, percent.
        change: ``after`` less ``before``, points.
        low, high: ends of the change's interval at the table's level, points.
        pairs: mean difference of the seeds that both have, points; None where they share none.
        detectable: the least worsening found with a chance of 80 %, points.
        verdict: held, regressed or better.
        why: what the verdict means; empty where the line held.
    """

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


@dataclass
class Comparison:
    """What a gate finds, most telling first.

    Args:
        rate: chance of a false alarm over the whole table.
        seeds: of the snapshot and of the candidate.
        findings: one a line.
        certain: findings that need no statistics.
        warnings: sentences; they fail no gate.
    """

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
    snapshot: Snapshot,
    candidate: Snapshot,
    rate: float = RATE,
    expected: Iterable[str] | None = None,
    remake: str = "bench run --suite ci --seeds 2",
) -> Comparison:
    """The verdict on ``candidate``.

    Args:
        snapshot: what it is compared with.
        candidate: a snapshot of the store under test.
        rate: chance of a false alarm over the whole table.
        expected: row keys that the candidate must have; all of the snapshot's without it.
        remake: the command that makes the candidate's rows.

    Raises:
        UserError: the two cannot be compared; says which part differs.
    """
    expected = None if expected is None else set(expected)
    before = {row.row_key: row for row in snapshot.rows if expected is None or row.row_key in expected}
    after = {row.row_key: row for row in candidate.rows}
    seeds = sorted({seed for key in before.keys() & after.keys() for seed in after[key].seeds})
    comparable.check(snapshot, candidate, before, after, seeds, remake)
    certain, whole = missing(before, after, seeds, remake)
    old, new = (lines([pool[key] for key in whole]) for pool in (before, after))
    pairs = [(old[key], new[key]) for key in old if key in new]
    findings = [judge(a, b, rate / len(pairs)) for a, b in pairs]
    findings.sort(key=lambda f: ({"regressed": 0, "better": 1, "held": 2}[f.verdict], -f.line.sign * f.change))
    certain += _certain(before, after, whole, seeds)
    warnings = _new_flags(before, after, whole, seeds)
    for key in after.keys() - {row.row_key for row in snapshot.rows}:
        warnings.append(f"{after[key].words()}: not in the snapshot, so nothing is reported of it")
    n_seeds = min(len(row.seeds) for row in before.values()), len(seeds)
    return Comparison(rate, n_seeds, findings, certain, sorted(warnings))


def judge(before: Line, after: Line, level: float) -> Finding:
    """The rule for one line at a one-sided ``level``; see the module."""
    n_before, n_after = len(before.values), len(after.values)
    old, new = (np.array(list(line.values.values())) for line in (before, after))
    error = deviation(before, after) * math.sqrt(1 / n_after + 1 / n_before)
    arm = t_quantile(1 - level, n_before - 1) * error
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
    worse = WHY[before.metric, before.worse]
    why = {"regressed": worse, "better": "unexpectedly better: find out why", "held": ""}[verdict]
    detectable = max(tolerance, arm + t_quantile(0.8, n_before - 1) * error)
    low, high = change - arm, change + arm
    return Finding(before, float(old.mean()), float(new.mean()), change, low, high, pairs, detectable, verdict, why)


def deviation(before: Line, after: Line) -> float:
    """s of the rule, points: the deviation between seeds, not below the image noise nor below one image."""
    values = np.array(list(before.values.values()))
    seeds, n = len(values), max(before.n, 1)
    known = [right for right in before.right.values() if right is not None]
    if len(known) == seeds and len({len(right) for right in known}) == 1:
        rates = np.mean(known, axis=0)
        images = 1e4 * float((rates * (1 - rates)).sum()) * seeds / (seeds - 1) / n**2
    else:
        images = image_variance(float(values.mean()), n)
    return math.sqrt(max(float(values.var(ddof=1)), images, (100.0 / n) ** 2))


def _certain(
    before: Mapping[str, SnapshotRow], after: Mapping[str, SnapshotRow], whole: Sequence[str], seeds: Sequence[int]
) -> list[Certain]:
    """What is certain of the rows that are whole: once a lock or a plugin, not once for each of its rows."""
    findings: list[Certain] = []
    reported: set[tuple[str, str]] = set()
    for key in whole:
        old, new = before[key], after[key]
        of_row = [(old.lock_group, finding) for finding in handed_back(old, new, seeds)]
        for whose, finding in of_row + other_defaults(old, new):
            if (whose, finding.what) not in reported:
                findings.append(finding)
            reported.add((whose, finding.what))
        findings += spends_less(old, new, seeds)
    return findings


def _new_flags(
    before: Mapping[str, SnapshotRow], after: Mapping[str, SnapshotRow], whole: Sequence[str], seeds: Sequence[int]
) -> list[str]:
    warnings = []
    for key in whole:
        old = {flag for seed in before[key].seeds.values() for flag in seed.flags}
        new = {flag for number in seeds for flag in after[key].seeds[number].flags}
        warnings += [f"{before[key].words()}: new red flag {flag} (see docs/flags.md#{flag})" for flag in new - old]
    return warnings
