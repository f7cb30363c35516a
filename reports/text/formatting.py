"""How tables, pictures and pages print numbers, seeds and threat models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from bench.legible import quoted
from bench.plan.wording import value_text
from reports.rows.intervals import Value

EMPTY = "No records to show yet. Make some: bench run --lock modellock --attack prompt-search"
DASH = "—"
TRANSDUCTIVE = "†"
LISTED = 2
"""Most seeds whose values are printed one by one in place of a mean: an interval over two says next to nothing."""

HEADINGS = {
    "UP": "UP",
    "LP": "LP",
    "UP_shipped": "UP shipped",
    "LP_shipped": "LP shipped",
    "RP": "RP",
    "victim_authorised": "victim",
    "oracle": "oracle",
    "authorised_after": "authorised after",
    "floor": "floor",
    "public_baseline": "public baseline",
    "recovery": "recovery",
    "advantage": "advantage",
}


def digits(name: str) -> int:
    """Decimals printed: one for percent, two for recovery, which is a fraction."""
    return 2 if name == "recovery" else 1


def number(x: float | None, decimals: int = 1) -> str:
    """``x`` rounded, `DASH` where None; never a negative zero."""
    if x is None:
        return DASH
    text = f"{x:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def interval(value: Value, decimals: int = 1) -> str:
    """``[low, high]``, or nothing without an interval."""
    if value.low is None or value.high is None:
        return ""
    return f"[{number(value.low, decimals)}, {number(value.high, decimals)}]"


def with_interval(value: Value | None, decimals: int = 1) -> str:
    """``94.1 [93.2, 95.0]``."""
    if value is None:
        return DASH
    return f"{number(value.mean, decimals)} {interval(value, decimals)}".strip()


def threat_words(threat: Mapping[str, Any]) -> str:
    """A threat model and its budget in words."""
    return ", ".join(threat_terms(threat))


def threat_terms(threat: Mapping[str, Any]) -> list[str]:
    """One term for each field of a threat model, and one for its budget."""
    words = []
    for name, value in threat.items():
        if name == "budget":
            continue
        if name in ("share", "authorised") and isinstance(value, int | float):
            side = "unauthorised" if name == "share" else "authorised"
            words.append(f"{_percent(value)} % labelled {side} images")
        elif name == "unlabelled" and isinstance(value, bool):
            words.append("unlabelled pool images" if value else "no unlabelled images")
        elif name == "listed" and isinstance(value, bool):
            words.append("key listed" if value else "key unlisted")
        elif name == "leaked":
            words.append(f"{value_text(value)} leaked pairs")
        elif name in ("access", "known", "wordlist"):
            words.append(
                {"access": "access: ", "known": "knows: ", "wordlist": "word list: "}[name] + value_text(value)
            )
        else:
            words.append(f"{quoted(name)}={value_text(value)}")
    limits = [f"{value_text(v)} {quoted(k)}" for k, v in (threat.get("budget") or {}).items()]
    return [*words, f"budget: {' and '.join(limits) if limits else 'no limit'}"]


def _percent(share: float) -> str:
    """A share with all its digits: two shares never read alike."""
    text = f"{Decimal(repr(float(share))) * 100:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def seeds_words(seeds: Sequence[int]) -> str:
    """``seed 0``, ``seeds 0–2`` or ``seeds 0, 4``."""
    return f"seed{'s' if len(set(seeds)) > 1 else ''} {seeds_list(seeds)}" if seeds else "no seeds"


def seeds_list(seeds: Sequence[int]) -> str:
    """``0–2`` or ``0, 4``."""
    listed = sorted(set(seeds))
    run = len(listed) > 2 and listed == list(range(listed[0], listed[-1] + 1))
    return f"{listed[0]}–{listed[-1]}" if run else ", ".join(map(str, listed))
