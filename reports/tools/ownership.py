"""Whether a mark proves whose model it is: claims on marked models, after attacks, and on models that nobody marked.

A lock with ``use=ownership`` works on clean images and fails on keyed ones. A claim compares the answers to the same
test images, clean and keyed. It needs McNemar's one-sided p below `LEVEL`, and a drop in accuracy above a margin.
`bench ownership` prints the claims.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from bench.plan.wording import key_label, label, name_text, scenario_label
from bench.records import Record
from reports.rows.aggregate import current
from reports.rows.source import Evidence
from reports.rows.statistics import mcnemar, wilson

LEVEL = 0.01
"""Of McNemar's one-sided test."""
MARGINS = (0.0, 10.0)
"""Points that accuracy must drop by for a claim."""


@dataclass(frozen=True)
class Claim:
    """One model under test.

    Args:
        what: its kind, in words.
        replicate: its seed.
        clean, keyed: accuracies in percent.
        p: of McNemar's one-sided test.
    """

    what: str
    replicate: int
    clean: float
    keyed: float
    p: float

    @property
    def drop(self) -> float:
        """Points that accuracy drops by under the key."""
        return self.clean - self.keyed

    def holds(self, margin: float) -> bool:
        """Whether ownership is claimed at a margin in points."""
        return self.p < LEVEL and self.drop > margin


def claims(records: Iterable[Record], evidence: Evidence) -> list[Claim]:
    """Every model of the store that the claim can be tested on, marked ones first."""
    out: list[Claim] = []
    for record in current(records):
        answers = _answers(record)
        if answers is None or record.status != "ok":
            continue
        what, clean_name, keyed_name = answers
        arrays = evidence(record)
        if not {f"pred/{clean_name}", f"pred/{keyed_name}", "test_labels"} <= set(arrays):
            continue
        labels = arrays["test_labels"]
        clean, keyed = arrays[f"pred/{clean_name}"] == labels, arrays[f"pred/{keyed_name}"] == labels
        p = mcnemar(clean, keyed, "greater").p
        out.append(Claim(what, record.cell.replicate, 100 * clean.mean(), 100 * keyed.mean(), p))
    return sorted(out, key=lambda claim: (claim.what.startswith("not marked"), claim.what, claim.replicate))


def _answers(record: Record) -> tuple[str, str, str] | None:
    """What is tested, and the evidence's names of its answers to clean and to keyed images."""
    cell = record.cell
    if cell.key.role == "control":  # such keys leave images as they are
        return None
    where = f"{scenario_label(cell)}, {name_text(cell.model_name)}, {key_label(cell)} key"
    lock, attack = label(cell.lock), label(cell.attack)
    if cell.lock.params.get("use") == "ownership":
        if cell.attack.purpose == "no-attack":
            return f"marked by {lock} ({where})", "LP", "UP"
        return f"marked by {lock}, then {attack} ({where})", "RP", "authorised_after"
    if cell.lock.purpose == "victim" and cell.attack.purpose == "no-attack":
        return f"not marked ({where})", "oracle", "victim_authorised"
    return None


def summary(claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """By kind of model: how many, mean accuracies, and at each margin the rate of claims with its interval."""
    out = []
    for what in dict.fromkeys(claim.what for claim in claims):
        own = [claim for claim in claims if claim.what == what]
        row: dict[str, Any] = {
            "models": what,
            "n": len(own),
            "clean": float(np.mean([c.clean for c in own])),
            "keyed": float(np.mean([c.keyed for c in own])),
        }
        for margin in MARGINS:
            hits = sum(claim.holds(margin) for claim in own)
            row[f"claims/{margin:g}"] = {"rate": hits / len(own), "interval": wilson(hits, len(own))}
        out.append(row)
    return out


def table(claims: Sequence[Claim]) -> Table:
    """`summary` for the terminal."""
    caption = (
        f"A claim is McNemar (exact, one-sided) with p < {LEVEL:g} and a drop above the margin; 95 % Wilson intervals."
    )
    out = Table(box=None, pad_edge=False, header_style="bold", caption=caption, caption_justify="left")
    out.add_column("models", overflow="fold")
    for heading in ("n", "clean", "keyed", *(f"claims, drop > {m:g}" for m in MARGINS)):
        out.add_column(heading, justify="right")
    for row in summary(claims):
        rates = []
        for margin in MARGINS:
            rate, (low, high) = row[f"claims/{margin:g}"]["rate"], row[f"claims/{margin:g}"]["interval"]
            rates.append(f"{100 * rate:.0f} % [{math.floor(100 * low)}, {math.ceil(100 * high)}]")
        out.add_row(Text(row["models"]), str(row["n"]), f"{row['clean']:.1f}", f"{row['keyed']:.1f}", *rates)
    return out
