"""What a matrix or a chart comes to, in a sentence that is computed from its rows."""

from __future__ import annotations

from collections.abc import Sequence

from bench.plan.wording import value_text
from reports.rows.matrix import Matrix, Spot, kind_of
from reports.rows.row import ConditionRow, Row
from reports.text.formatting import number
from reports.text.groups import lock_name


def of_matrix(table: Matrix) -> str:
    """How many locks an attack breaks, and what opens one furthest."""
    tried = [line for line in table.methods if any(spot and spot.kind != "no result" for spot in line.spots)]
    if not tried:
        return "No lock has a result: controls are missing, or cells failed" if table.methods else "Controls only"
    broken = [line for line in tried if any(spot and spot.kind == "broken" for spot in line.spots)]
    spots = [spot for line in broken or tried for spot in line.spots if spot and _counts(spot, bool(broken))]
    furthest = max((spot.row for spot in spots), key=_openness)
    start = "" if furthest.mean("LP") is None else f" from LP {number(furthest.mean('LP'))}"
    reach = f"{furthest.attack} takes {lock_name(furthest)}{start} to {number(furthest.mean('RP'))}{_without(furthest)}"
    if not broken:
        open_ = any(spot and spot.kind == "undecided" for line in tried for spot in line.spots)
        none = "No lock is shown broken" if open_ else f"None of {len(tried)} locks is broken by these attacks"
        return f"{none if len(tried) > 1 or open_ else 'The lock is not broken by these attacks'}; {reach}"
    if len(tried) == 1:
        return f"The lock is broken: {reach}"
    return f"{len(broken)} of {len(tried)} locks {'is' if len(broken) == 1 else 'are'} broken; {reach}"


def _openness(row: Row) -> tuple[int, float, float]:
    """How far the attack opened the lock: the verdict, then the recovered share, then RP."""
    verdict = {"broken": 2, "undecided": 1}.get(kind_of(row), 0)
    recovery = row.mean("recovery")
    return verdict, -1.0 if recovery is None else recovery, row.mean("RP") or 0.0


def _counts(spot: Spot, broken: bool) -> bool:
    return spot.kind == "broken" if broken else spot.kind != "no result"


def of_curve(rows: Sequence[Row], spent: str, letter: str = "") -> str:
    """What the attack of ``rows`` reaches, and after how much.

    Args:
        letter: of the threat model in its table, in brackets.
        rows: of one attack, a line each; the one that is opened furthest is named, methods before controls.
        spent: what the attack had spent when that row got there, in words.
    """
    row = furthest(rows)
    if row is None:
        return ""
    # The sentence never says more than the table: this RP is what was handed back.
    after = f" after {spent}" if spent else ""
    attack = f"{row.attack} {letter}".strip()
    return f"{lock_name(row)} on {row.scenario}: {attack} reaches {number(row.mean('RP'))}{after}{_without(row)}"


def furthest(rows: Sequence[Row]) -> Row | None:
    """The row that the attack opens furthest, of methods where there are any; None where none shows RP.

    What is broken comes before what is undecided; then the recovered share counts, then RP: a lock that is open
    without any attack was not opened by this one.
    """
    known = [row for row in rows if row.values["RP"] is not None]
    pool = [row for row in known if row.role != "control"] or known
    return max(pool, key=_openness) if pool else None


def of_trade_off(rows: Sequence[Row]) -> str:
    """What the best and the worst lock keep and lose.

    Args:
        rows: of each lock that is no control, the row of its strongest attack; each has UP and RP.
    """
    ranked = sorted(rows, key=lambda row: row.mean("RP") or 0.0)
    least, most = ranked[0], ranked[-1]
    if len(ranked) == 1:
        return (
            f"{lock_name(least)} keeps UP {number(least.mean('UP'))}; {least.attack} reaches {number(least.mean('RP'))}"
        )
    return (
        f"{lock_name(least)} opens least, to RP {number(least.mean('RP'))} at UP {number(least.mean('UP'))};"
        f" {lock_name(most)} furthest, to {number(most.mean('RP'))}"
    )


def of_drops(rows: Sequence[Row]) -> str:
    """What the lock with the largest target drop takes from either side. Every row has both drops."""

    def target(row: Row) -> float:
        value = (row.drops or {}).get("target_drop")
        return 0.0 if value is None else value.mean

    methods = [row for row in rows if not row.lock_purpose]
    row = max(methods or list(rows), key=target)
    source = (row.drops or {}).get("source_drop")
    taken = number(None if source is None else source.mean).replace("-", "−")
    what = f"{number(target(row)).replace('-', '−')} % of the target accuracy and {taken} points of the source"
    return f"{lock_name(row)} takes {what}"


def of_conditions(row: Row) -> str:
    """What the right key, no key and the best of all others give."""
    right = [c for c in row.conditions if c.kind == "right"]
    bare = [c for c in row.conditions if c.kind == "none"]
    others = [c for c in row.conditions if c.kind not in ("right", "none")]
    parts = [f"{_accuracy(right)} with the right key"] if right else []
    parts += [f"{_accuracy(bare)} without a key"] if bare else []
    if others:
        best = max(others, key=lambda c: c.accuracy.mean)
        parts.append(f"at most {_accuracy([best])} with another ({best.name})")
    return f"{lock_name(row)}: {', '.join(parts)}"


def of_budget(points: Sequence[tuple[float, Row]], words: str, name: str) -> str:
    """What the least and the largest budget reach, and what the same data reach without the model.

    Args:
        points: (budget, row) of one line, least budget first; each row has RP.
        words: what the budget is.
        name: the lock and the attack.
    """
    known = [(x, row) for x, row in points if row.values["RP"] is not None]
    if not known:
        return ""
    (low, first), (high, last) = known[0], known[-1]
    if len(known) == 1:
        return f"{name}: RP {number(first.mean('RP'))} at {words} {value_text(low)}{_without(first)}"
    return (
        f"{name}: RP {number(first.mean('RP'))} at {words} {value_text(low)},"
        f" {number(last.mean('RP'))} at {value_text(high)}{_without(last)}"
    )


def _without(row: Row) -> str:
    public = row.mean("public_baseline")
    return "" if public is None else f"; without the model {number(public)}"


def _accuracy(conditions: Sequence[ConditionRow]) -> str:
    return number(conditions[0].accuracy.mean)
