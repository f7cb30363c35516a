"""What an audit found: for each attack whether it opens the checkpoint, at which cost, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import red_flags
from bench.checkpoints import class_order
from bench.plan import ensemble
from bench.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from reports.rows.row import Row

PAGE = "docs/how-to/audit.md"
ADVICE: Mapping[str, tuple[str, str]] = {
    "logit-surgery": (
        "Ship no output beyond the classes, and do not hide the classes in a renaming or a bias: outputs open it.",
        "outputs",
    ),
    "prompt-search": (
        "Choose a prompt that is in no list, and check near prompts: the key is found by guessing.",
        "key",
    ),
    "edit-imitation": ("Hand out no pairs of a raw image and its keyed form: the key is learnt from them.", "key"),
    "norm-adaptation": (
        "Use a network without batch norm, or fold it: new statistics from unlabelled images open it.",
        "statistics",
    ),
    "tent": ("Fold or freeze the norm layers: adapting them on unlabelled images opens it.", "statistics"),
    "benign": ("An ordinary change of the image opens it: train the lock on resized and compressed images.", "images"),
    "finetune": (
        "Do not ship the weights: few labelled images open them. Serve labels behind an interface.",
        "weights",
    ),
    "learned-input": ("Do not ship the weights: a learnt change of the input opens them.", "weights"),
    "fine-pruning": ("Do not ship the weights: pruning and a short training open them.", "weights"),
    "interpolation": ("Do not ship weights near public ones: a mean of both opens them.", "weights"),
    "rounding": ("Rounding the weights opens them: the lock is in their last digits.", "weights"),
    "mask-recovery": ("The lock is a mask over weights: filling it opens them. Do not ship them.", "weights"),
    "transntl": ("Do not ship the weights with authorised images: fine-tuning on those opens them.", "weights"),
    "distillation": (
        "Answer with labels in place of logits, and limit queries: a copy is trained from answers.",
        "answers",
    ),
    "knockoff": ("Limit queries: a copy is trained from answers to other images.", "answers"),
    "data-free": ("Limit queries: a copy is trained from answers to made images.", "answers"),
    "trigger-inversion": ("Do not ship the weights of a lock with a small trigger: it is found by gradient.", "key"),
    "refit-head": ("Do not ship the weights: a few labels fit a new head to the features.", "weights"),
    "last-exit": ("Do not ship exits that are right: the route between them can be ignored.", "weights"),
    "merging": ("Do not ship weights near public ones: they can be merged with a model of one's own.", "weights"),
    "atesc": ("Limit queries: a copy is trained from answers to made images.", "answers"),
    "persistence": ("The rightful user's own training opens it: train the lock against that.", "weights"),
    "canonicalise": ("Inputs brought to the authorised look open it: train the lock on changed images.", "images"),
    "look-consensus": (
        "Answers to changed inputs tell the classes: train the lock on changed images, and limit queries.",
        "images",
    ),
    "neighbours": (
        "Do not ship the weights: read in other ways, they name the classes of unlabelled images.",
        "weights",
    ),
    "compose": ("Do not ship the weights: changed inputs and adaptation together open them.", "weights"),
    "weight-repair": ("The key is in changed weights: filling them anew opens it. Do not ship them.", "weights"),
    "least-likely": (
        "Do not train outputs to avoid the true class: the class that is avoided tells it.",
        "outputs",
    ),
    "disguise": ("Hand out no authorised images: others are disguised as them.", "images"),
}
ADAPTATION = ("Do not ship the weights: adaptation on unlabelled images opens them.", "weights")
INTERFACE = ("Answer with labels in place of logits, and limit queries: answers alone open it.", "answers")
_COSTS = (("labelled", "labels"), ("authorised", "authorised"), ("leaked", "pairs"), ("queries", "queries"))


@dataclass(frozen=True)
class Finding:
    """One attack on the checkpoint.

    Args:
        attack: its name with parameters.
        threat: name of the threat model in the ensemble.
        rp, baseline, lp: percent; None where not measured.
        cost: what the attacker spent, in words.
        opens: True, False, or None where it is undecided.
        note: why there is no number, or "".
        variant: of fc_norm, or "".
        behind_interface: whether the attacker has answers alone, and no weights.
    """

    attack: str
    threat: str
    rp: float | None
    baseline: float | None
    lp: float | None
    cost: str
    opens: bool | None
    note: str = ""
    variant: str = ""
    behind_interface: bool = False

    @property
    def verdict(self) -> str:
        """yes, no, undecided, or the status of a cell without a number."""
        if self.note:
            return self.note
        return {True: "yes", False: "no", None: "undecided"}[self.opens]


def of_rows(rows: Sequence[Row], records: Sequence[Record]) -> list[Finding]:
    """The findings of an audit, those that open it first, then by what they reach.

    Args:
        rows: of `reports.rows.aggregate`.
        records: of the same run.
    """
    cells = {record.row_key: record.cell for record in records}
    out = []
    for row in rows:
        if row.role != "given" or row.attack_purpose or row.row_key not in cells:
            continue
        cell = cells[row.row_key]
        set_ = "".join(f" {k}={v}" for k, v in cell.attack.explicit.items() if k not in ("steps", "trials"))
        out.append(
            Finding(
                row.attack_name + set_,
                ensemble.name_of(cell.threat),
                row.mean("RP"),
                row.mean("public_baseline"),
                row.mean("LP"),
                _cost(row.meter or {}),
                row.broken if row.status == "ok" and row.verdict != "undecided" else None,
                row.status if row.status != "ok" else "",
                str(cell.lock.explicit.get("norm", "")),
                cell.threat.access in ("labels", "logits"),
            )
        )
    return sorted(out, key=lambda f: (f.opens is not True, -(f.rp or 0)))


def _cost(meter: Mapping[str, float | None]) -> str:
    parts = [f"{meter[name]:,.0f} {word}" for name, word in _COSTS if meter.get(name)]
    seconds = meter.get("seconds")
    return ", ".join([*parts, *([f"{seconds:.0f} s"] if seconds is not None else [])]) or "nothing"


def advice(findings: Sequence[Finding]) -> list[str]:
    """What to do, a line for each kind of attack that opens the checkpoint, the cheapest attack first."""
    out: dict[tuple[str, str], str] = {}
    for finding in findings:
        if finding.opens:
            name = finding.attack.partition(" ")[0]
            out.setdefault(ADVICE.get(name, INTERFACE if finding.behind_interface else ADAPTATION), name)
    return [f"{text} Opened by {name}. See {PAGE}#{anchor}." for (text, anchor), name in out.items()]


def is_locked(records: Sequence[Record]) -> bool:
    """Whether there is a lock to open: UP is above LP in some record of the checkpoint, or LP is at the floor."""
    own = [r for r in records if r.cell.lock.role == "given" and r.UP is not None and r.LP is not None]
    apart = any(red_flags.not_selective(r.UP, r.LP) is None for r in own if r.UP is not None and r.LP is not None)
    closed = any(r.LP.value <= r.floor + red_flags.USELESS for r in own if r.LP is not None and r.floor is not None)
    return apart or closed or not own


def diagnosis(
    records: Sequence[Record], evidence: Callable[[Record], Mapping[str, np.ndarray]], raw_alone: bool
) -> list[str]:
    """What is odd about the checkpoint as it was read: at the floor for its own user, or another order of classes.

    Args:
        records: of the checkpoint.
        evidence: what a store keeps of a record.
        raw_alone: authorised images are the raw ones.
    """
    seen, out = set(), []
    if not is_locked(records):
        if raw_alone:
            out.append(
                "no key is given, so UP and LP are the same. Where the model has a key, give it (--key); where it has "
                "none, anybody can use it."
            )
        else:
            out.append(
                "anybody gets what the rightful user gets: LP is not below UP. Another key may be meant (--key)."
            )
    for record in records:
        variant = str(record.cell.lock.explicit.get("norm", "once"))
        if record.cell.lock.role != "given" or record.UP is None or record.floor is None or variant in seen:
            continue
        seen.add(variant)
        if record.UP.value > record.floor + red_flags.USELESS:
            continue
        arrays = evidence(record)
        labels, predictions = arrays.get("authorised_labels", arrays.get("test_labels")), arrays.get("pred/UP")
        if labels is None or predictions is None:
            continue
        found = class_order.renaming(labels, predictions, record.classes)
        what = f"UP is {record.UP.value:.1f}, at the floor ({record.floor:.1f})"
        if found is None:
            reason = (
                "the key is not given (--key)" if raw_alone else "the key, the preprocessing or the model is another"
            )
            out.append(f"{what}, and no renaming of outputs helps: {reason}.")
        elif found.order:
            out.append(f"{what}; in {found.order} order it is {found.accuracy:.1f}: add --class-order {found.order}.")
        else:
            names = [record.classes[found.outputs.index(i)] for i in range(len(record.classes))]
            shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
            out.append(
                f"{what}; with its outputs renamed it is {found.accuracy:.1f}. They seem to be, in order: {shown}. "
                "Write all of them into a file, and run again with --classes FILE."
            )
    return out
