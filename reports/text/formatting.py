"""How tables, pictures and pages print numbers, seeds and threat models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.rows.controls import value_text
from reports.rows.intervals import Value
from reports.rows.row import Row

EMPTY = "No records to show yet. Make some: bench run --lock modellock --attack prompt-search"
DASH = "—"
TRANSDUCTIVE = "†"

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

FIELD_WORDS = {"access": "access", "known": "knows", "wordlist": "word list"}


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


def verdict_words(row: Row) -> str:
    """The row's verdict, and that controls are missing where they are."""
    return f"{row.verdict}; controls missing" if row.missing else row.verdict


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
            words.append(f"{value_text(float(value) * 100)} % labelled {side} images")
        elif name == "unlabelled" and isinstance(value, bool):
            words.append("unlabelled pool images" if value else "no unlabelled images")
        elif name == "listed" and isinstance(value, bool):
            words.append("key listed" if value else "key unlisted")
        elif name == "leaked":
            words.append(f"{value_text(value)} leaked pairs")
        elif name in FIELD_WORDS:
            words.append(f"{FIELD_WORDS[name]}: {value_text(value)}")
        else:
            words.append(f"{name}={value_text(value)}")
    limits = [f"{value_text(v)} {k}" for k, v in (threat.get("budget") or {}).items()]
    return [*words, f"budget: {' and '.join(limits) if limits else 'no limit'}"]


def seeds_words(seeds: Sequence[int]) -> str:
    """``seeds 0–2`` or ``seeds 0, 4``."""
    listed = sorted(set(seeds))
    if not listed:
        return "no seeds"
    run = len(listed) > 2 and listed == list(range(listed[0], listed[-1] + 1))
    text = f"{listed[0]}–{listed[-1]}" if run else ", ".join(map(str, listed))
    return f"seed{'s' if len(listed) > 1 else ''} {text}"


def first_line(text: str) -> str:
    """The first line of ``text``, and where the others are."""
    first, *more = text.strip().splitlines() or [""]
    return f"{flat(first)} (and {len(more)} lines more: bench report --format json)" if more else flat(first)


def flat(text: str) -> str:
    """``text`` on one line."""
    return " ".join(text.split())
