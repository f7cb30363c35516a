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
3. *Separation.* So many candidate seeds are worse than every seed of the snapshot, by more than the tolerance, that
   luck brings it with a chance of at most 1/45 (`reports.gate.separation`): both of two, five of eight. Seeds fail now
   and then (a search without success, a training that collapsed) and are not normal. This holds whatever their
   distribution, and an outlier alone cannot alarm.
4. *Pairs.* Where the two share seeds, the mean difference of the pairs is above the tolerance too.

**In pairs.** Where every candidate seed is in the snapshot, and there are at least `PAIRED_FROM` of them, the line is
judged twice, each time at half the level: by the rule above, and by the differences of the pairs. It has regressed
where either says so. In pairs, 1 and 3 go by the differences. The interval is ``mean ± t · s · sqrt(1/m)`` with m − 1
degrees of freedom. s is the deviation of the differences, not below the noise of the images on which a pair differs,
nor one image. No pair may be better, and one in eight may stay as it is. A pair that is at 0 or 100 both times says
nothing. What seeds share cancels there, and a small shift of every seed is seen. A change that hits some seeds hard and
others little makes the differences vary, and is seen by the first judgement. With fewer pairs t has too few degrees of
freedom to see anything. Neither needs bit-identical reruns.

**What could have been seen.** The least true worsening that all four find with a chance of 80 % (`detectable`), given
the snapshot as it is. A line that cannot get that much worse before it reaches 0 or 100 is blind.

**Certain findings** need no statistics: see `reports.gate.certain`.

**Warnings** never fail a gate: the same rule in the other direction ("unexpectedly better"), new red flags, rows that
the snapshot does not have, other versions or machines, checks without evidence.

**Not comparable** (exit 2): see `reports.gate.comparable`; a control fails its condition (`reports.rows.calibration`);
or `must_see` points could not have been seen. What regressed comes first (exit 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reports.gate import comparable
from reports.gate.asked import Asked, Remake
from reports.gate.certain import Certain, fewer_keys, handed_back, missing, other_defaults, other_role, spends_less
from reports.gate.comparable import CANDIDATE_SEEDS as CANDIDATE_SEEDS
from reports.gate.lines import TOLERANCE, Line
from reports.gate.lines import lines as lines
from reports.gate.separation import least_shift, separated
from reports.gate.snapshot import LATER, SEEDS, Snapshot, SnapshotRow
from reports.rows.controls import expected_flags
from reports.rows.statistics import image_variance, t_quantile

RATE = 0.01
"""Chance that a table in which nothing has changed is called regressed."""
PAIRED_FROM = SEEDS
"""Shared seeds from which a line is judged by its pairs."""
POWER, DRAWS = 0.8, 4000
"""Chance with which `detectable` is found, and the draws that it is computed with."""
WHY = {
    ("oracle", "lower"): "the victim got weaker, so every lock looks stronger",
    ("UP", "lower"): "the lock costs its user more",
    ("LP", "higher"): "the lock holds less",
    ("UP_shipped", "lower"): "its user gets less of what ships",
    ("LP_shipped", "higher"): "what ships gives more away",
    ("wrong_key", "higher"): "other keys open the lock",
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
        before, after: means of snapshot and candidate, percent; in pairs, the snapshot's over the shared seeds.
        change: ``after`` less ``before``, points.
        low, high: ends of the change's interval at the table's level, points.
        pairs: mean difference of the seeds that both have, points; None where they share none.
        paired: whether the interval is of the pairs.
        detectable: the least worsening found with a chance of 80 %, points; NaN where not asked for.
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
    paired: bool
    detectable: float
    verdict: Verdict
    why: str

    @property
    def room(self) -> float:
        """Points that the line can get worse before it reaches 0 or 100."""
        return 100.0 - self.before if self.line.worse == "higher" else self.before

    @property
    def blind(self) -> bool:
        """Whether no worsening at all would be found with a chance of 80 %."""
        return self.detectable > self.room


@dataclass
class Comparison:
    """What a gate finds, most telling first.

    Args:
        rate: chance of a false alarm over the whole table.
        seeds: of the snapshot and of the candidate.
        shared: seeds that both have.
        findings: one a line.
        certain: findings that need no statistics.
        incomparable: why nothing can be said, or not enough.
        warnings: sentences; they fail no gate.
    """

    rate: float
    seeds: tuple[int, int]
    shared: tuple[int, ...] = ()
    findings: list[Finding] = field(default_factory=list)
    certain: list[Certain] = field(default_factory=list)
    incomparable: list[Certain] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def regressed(self) -> bool:
        """Whether anything got worse or is missing."""
        return bool(self.certain) or any(f.verdict == "regressed" for f in self.findings)

    @property
    def exit_status(self) -> int:
        """1: regressed. 2: not comparable. 0: held."""
        return 1 if self.regressed else 2 if self.incomparable else 0


def compare(
    snapshot: Snapshot,
    candidate: Snapshot,
    rate: float = RATE,
    asked: Asked | None = None,
    remake: Callable[[SnapshotRow | None, Sequence[int]], str] | None = None,
    controls: Sequence[Certain] = (),
    must_see: float | None = None,
) -> Comparison:
    """The verdict on ``candidate``.

    Args:
        snapshot: what it is compared with.
        candidate: a snapshot of the store under test.
        rate: chance of a false alarm over the whole table.
        asked: rows and seeds that the candidate must have; without it all rows of the snapshot, with its own seeds.
        remake: the command that makes these seeds of a row.
        controls: controls of the candidate that fail their condition.
        must_see: points by which every line must be able to get worse without being missed.

    Raises:
        UserError: the two cannot be compared; says which part differs.
    """
    asked, remake = asked or Asked(), remake or Remake(suite=snapshot.suite, threads=candidate.threads)
    before = {row.row_key: row for row in snapshot.rows if asked.rows is None or row.row_key in asked.rows}
    after = {row.row_key: row for row in candidate.rows}
    present = {seed for key in before.keys() & after.keys() for seed in after[key].seeds}
    seeds = {key: sorted(present if (own := asked.seeds_of(key)) is None else own) for key in before}
    for key in before.keys() & after.keys():
        trimmed = {n: seed for n, seed in after[key].seeds.items() if n in seeds[key]}
        after[key] = after[key].model_copy(update={"seeds": trimmed})
    comparable.check(snapshot, candidate, before, after, seeds, remake)
    certain, whole = missing(before, after, seeds, remake)
    old, new = (lines([pool[key] for key in whole]) for pool in (before, after))
    pairs = [(old[key], new[key]) for key in old if key in new]
    findings = [judge(a, b, rate / len(pairs), power=True) for a, b in pairs]
    findings.sort(key=lambda f: ({"regressed": 0, "better": 1, "held": 2}[f.verdict], -f.line.sign * f.change))
    certain += _certain(before, after, whole)
    incomparable, unjudged = comparable.gaps(snapshot, before, asked)
    incomparable += controls
    later = {metric for metric, key in new.keys() - old.keys() if metric in LATER}
    for metric, key in sorted(old.keys() ^ new.keys()):
        if metric in later and (metric, key) not in old:
            continue
        name = (old.get((metric, key)) or new[metric, key]).name
        incomparable.append(Certain(name, f"{metric} is on one side only", comparable.AGAIN))
    if not findings and not certain:
        incomparable.append(Certain("the table", "no number is on both sides, so nothing was judged", comparable.AGAIN))
    incomparable += _too_weak(findings, must_see)
    warnings = _new_flags(before, after, whole) + _other_names(before, after, whole) + unjudged
    if later:
        warnings.append(f"the snapshot has no {', '.join(sorted(later))}, so nothing is said of it; save it anew")
    if not snapshot.sealed:
        warnings.append("the snapshot has no checksum, so an edit of it would not be noticed; save it anew")
    warnings += [*comparable.differences(snapshot, candidate), *comparable.unseen(before, after)]
    for key in after.keys() - {row.row_key for row in snapshot.rows} - (asked.rows or {}).keys():
        warnings.append(f"{after[key].words()}: not in the snapshot, so nothing is reported of it")
    everyone = set.intersection(*(set(row.seeds) for row in before.values()))
    counts = len(everyone), min(len(numbers) for numbers in seeds.values())
    shared = tuple(sorted(everyone & {n for numbers in seeds.values() for n in numbers}))
    return Comparison(rate, counts, shared, findings, certain, incomparable, sorted(warnings))


@dataclass(frozen=True)
class _Judgement:
    """A line judged in one way.

    Args:
        before: mean of the snapshot's seeds that it looks at, percent.
        change: the candidate's mean less that, points.
        arm: half the width of the change's interval, points.
        regressed, better: whether the line moved in that direction, by all rules.
        detectable: the least worsening found with a chance of 80 %, points; NaN where not asked for.
        paired: whether it goes by the pairs.
    """

    before: float
    change: float
    arm: float
    regressed: bool
    better: bool
    detectable: float
    paired: bool


def judge(before: Line, after: Line, level: float, power: bool = False) -> Finding:
    """The rule for one line at a one-sided ``level``; see the module. ``power``: also what could have been seen."""
    shared = sorted(before.values.keys() & after.values.keys())
    pairs = float(np.mean([after.values[s] - before.values[s] for s in shared])) if shared else None
    if len(shared) == len(after.values) >= PAIRED_FROM:
        judgements = [
            _of_pairs(before, after, shared, level / 2, power), _of_seeds(before, after, shared, level / 2, power),
        ]  # fmt: skip
    else:
        judgements = [_of_seeds(before, after, shared, level, power)]
    regressed = [j for j in judgements if j.regressed]
    better = [] if regressed else [j for j in judgements if j.better]
    shown = (regressed or better or judgements)[0]
    verdict: Verdict = "regressed" if regressed else "better" if better else "held"
    worse = WHY[before.metric, before.worse]
    why = {"regressed": worse, "better": "unexpectedly better: find out why", "held": ""}[verdict]
    return Finding(
        before, shown.before, float(np.mean(list(after.values.values()))), shown.change, shown.change - shown.arm,
        shown.change + shown.arm, pairs, shown.paired, min(j.detectable for j in judgements), verdict, why,
    )  # fmt: skip


def _of_seeds(before: Line, after: Line, shared: Sequence[int], level: float, power: bool) -> _Judgement:
    """The rule with the candidate's seeds as drawn anew."""
    old, new = np.array(list(before.values.values())), np.array(list(after.values.values()))
    s, df, tolerance = deviation(before, after), len(old) - 1, TOLERANCE[before.metric]
    arm = t_quantile(1 - level, df) * s * math.sqrt(1 / len(new) + 1 / len(old))
    change = float(new.mean() - old.mean())
    beside = float(np.mean([before.values[n] for n in shared]) - old.mean()) if shared else 0.0
    pairs = float(np.mean([after.values[n] - before.values[n] for n in shared])) if shared else change

    def moved(sign: float) -> bool:
        separate = separated(sign * new, sign * old + tolerance)
        return sign * change > max(arm, tolerance) and separate and sign * pairs > tolerance

    detectable = math.nan
    if power:
        sign, draws = before.sign, _draws(len(new), df)
        # rule 4 asks for more where the shared seeds of the snapshot are not its average
        needed = max(arm, tolerance, sign * beside + tolerance)
        shifts = least_shift(sign * old.mean() + s * draws, sign * old + tolerance)
        detectable = float(np.quantile(np.maximum(needed - s * draws.mean(axis=1), shifts), POWER))
    return _Judgement(float(old.mean()), change, arm, moved(before.sign), moved(-before.sign), detectable, False)


def _of_pairs(before: Line, after: Line, shared: Sequence[int], level: float, power: bool) -> _Judgement:
    """The rule by the differences of the pairs."""
    old, new = (np.array([line.values[n] for n in shared]) for line in (before, after))
    differences, tolerance = new - old, TOLERANCE[before.metric]
    s, df = deviation_of_pairs(before, after, shared), len(shared) - 1
    arm = t_quantile(1 - level, df) * s * math.sqrt(1 / len(shared))
    change = float(differences.mean())
    telling = (old != new) | ((old != 0.0) & (old != 100.0))

    def moved(sign: float) -> bool:
        return sign * change > max(arm, tolerance) and _one_way(sign * differences[telling])

    detectable = math.nan
    if power:
        draws = _draws(len(shared), df)
        needed = np.maximum(max(arm, tolerance) - s * draws.mean(axis=1), -s * draws.min(axis=1))
        detectable = float(np.quantile(needed, POWER))
    return _Judgement(float(old.mean()), change, arm, moved(before.sign), moved(-before.sign), detectable, True)


def _one_way(moves: NDArray[np.float64]) -> bool:
    """Whether pairs move one way, but for one in eight that may stay as it is."""
    return len(moves) >= CANDIDATE_SEEDS and bool(moves.min() >= 0) and int((moves == 0).sum()) <= len(moves) // SEEDS


@lru_cache(maxsize=64)
def _draws(m: int, df: int) -> NDArray[np.float64]:
    """Draws of m values (`DRAWS`, m), in units of a deviation that is known with ``df`` degrees of freedom."""
    rng = np.random.default_rng(0)
    return np.asarray(rng.normal(size=(DRAWS, m)) / np.sqrt(rng.chisquare(df, size=(DRAWS, 1)) / df))


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


def deviation_of_pairs(before: Line, after: Line, shared: Sequence[int]) -> float:
    """s of the rule in pairs, points: of the differences, not below the noise of the images on which a pair differs."""
    differences = np.array([after.values[s] - before.values[s] for s in shared])
    n = max(before.n, 1)
    apart = []
    for seed in shared:
        first, second = before.right.get(seed), after.right.get(seed)
        if first is None or second is None or len(first) != len(second):
            apart.append(2 * image_variance(before.values[seed], n))
        else:  # each such image is as likely to have turned right as wrong
            apart.append(1e4 * float((first != second).sum()) / n**2)
    return math.sqrt(max(float(differences.var(ddof=1)), float(np.mean(apart)), (100.0 / n) ** 2))


def _too_weak(findings: Sequence[Finding], must_see: float | None) -> list[Certain]:
    """The lines in which a worsening by ``must_see`` points may be missed; those that cannot get that bad are none."""
    if must_see is None:
        return []
    remedy = "Give the candidate more seeds (--seeds), the snapshot more or calmer ones, or ask for less."
    return [
        Certain(
            finding.line.name,
            f"{finding.line.metric} could be {finding.detectable:.1f} points worse before it is seen; "
            f"{must_see:g} must be seen",
            remedy,
        )
        for finding in findings
        if finding.detectable > must_see and finding.room >= must_see
    ]


def _certain(
    before: Mapping[str, SnapshotRow], after: Mapping[str, SnapshotRow], whole: Sequence[str]
) -> list[Certain]:
    """What is certain of the rows that are whole: once a lock or a plugin, not once for each of its rows."""
    findings: list[Certain] = []
    reported: set[tuple[str, str]] = set()
    for key in whole:
        old, new = before[key], after[key]
        of_row = [(old.lock_group, finding) for finding in handed_back(old, new)]
        of_row += [(old.lock_group, finding) for finding in fewer_keys(old, new)]
        for whose, finding in of_row + other_defaults(old, new) + other_role(old, new):
            if (whose, finding.what) not in reported:
                findings.append(finding)
            reported.add((whose, finding.what))
        findings += spends_less(old, new)
    return findings


def _other_names(
    before: Mapping[str, SnapshotRow], after: Mapping[str, SnapshotRow], whole: Sequence[str]
) -> list[str]:
    """Parameters that one side alone has: a renamed one may have brought another default with it."""
    found: dict[str, None] = {}
    for key in whole:
        old, new = before[key], after[key]
        for kind in old.settings.keys() & new.settings.keys():
            if not old.settings[kind] or not new.settings[kind]:
                continue  # `comparable.unseen` says it
            plugin = f"{kind} {old.row[kind][0]}"
            for name in sorted(old.settings[kind].keys() ^ new.settings[kind].keys()):
                side = "the candidate" if name in new.settings[kind] else "the snapshot"
                found[f"{plugin}: {side} alone has the parameter {name}, so other defaults may be at work"] = None
    return list(found)


def _new_flags(before: Mapping[str, SnapshotRow], after: Mapping[str, SnapshotRow], whole: Sequence[str]) -> list[str]:
    warnings = []
    for key in whole:
        old, new = ({f for seed in pool[key].seeds.values() for f in seed.flags} for pool in (before, after))
        telling = sorted(new - old - expected_flags(before[key].lock_purpose))
        warnings += [
            f"{before[key].words()}: new red flag {flag} (see docs/reference/flags.md#{flag})" for flag in telling
        ]
    return warnings
