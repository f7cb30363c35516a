"""Made-up records, and the controls that stand beside them."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bench.records import Cell, Condition, CurvePoint, Measured, PluginRef, Provenance, Record
from bench.selection import SelectionRule
from bench.threat import Budget, ThreatModel
from reports.rows.aggregate import rows
from reports.rows.row import Row
from reports.text.terminal import terminal

CURVE = [
    CurvePoint(meter={"guesses": g, "edited": 32 * g}, RP=rp, validation=None)
    for g, rp in ((1, 10.0), (4, 55.0), (2, 54.9), (9, 80))
]

THREAT = {
    "access": "weights", "share": 0.01, "unlabelled": True, "authorised": 0.0, "leaked": 0,
    "known": "editor+settings", "wordlist": "published", "listed": True,
}  # fmt: skip
N = 400
PURPOSES = {
    "lock": {"none": "victim", "permuted-logits": "must-open", "destroyed": "must-not-open"},
    "attack": {"none": "no-attack", "from-scratch": "public-baseline"},
}
OWN_SCORER = SelectionRule("own-scorer", "its own scorer")


def exactly(value: float, n: int = N) -> Measured:
    """An accuracy with an image interval of ± 2 points."""
    return Measured(value=value, n=n, low=value - 2, high=value + 2)


def measured(value: float | None, n: int = N) -> Measured | None:
    return None if value is None else exactly(value, n)


def ref(kind: str, name: str, explicit: Mapping[str, Any] | None = None, **more: Any) -> PluginRef:
    purpose = PURPOSES.get(kind, {}).get(name, "")
    role = "control" if purpose else "method"
    return PluginRef(name=name, explicit=dict(explicit or {}), role=role, purpose=purpose, **more)  # type: ignore[arg-type]


def record(
    lock: str = "modellock",
    attack: str = "prompt-search",
    replicate: int = 0,
    *,
    RP: float | None = 80.0,
    LP: float = 20.0,
    oracle: float | None = 90.0,
    floor: float = 10.0,
    scenario: str = "digits",
    lock_explicit: Mapping[str, Any] | None = None,
    attack_explicit: Mapping[str, Any] | None = None,
    threat: Mapping[str, Any] | None = None,
    created: str = "",
    **more: Any,
) -> Record:
    cell = Cell(
        scenario=scenario,
        model="vit",
        lock=ref("lock", lock, lock_explicit),
        key=ref("key", "edit"),
        attack=ref("attack", attack, attack_explicit, selection=OWN_SCORER),
        threat=ThreatModel(**{**THREAT, **(threat or {})}),
        budget=Budget(guesses=64),
        replicate=replicate,
    )
    shown = {
        "UP": measured(88.0), "LP": measured(LP), "RP": measured(RP), "oracle": measured(oracle),
        "victim_authorised": measured(91.0), "meter": {"steps": 0, "guesses": 64, "queries": None},
        "conditions": [
            Condition(kind="right", what="with oil pastel", accuracy=exactly(88.0), shipped=87.0),
            Condition(kind="near", label="a", what="with oil paint", accuracy=exactly(70.0), shipped=69.0),
        ],
    }  # fmt: skip
    name = f"{lock}{attack}{replicate}{threat}{created}"
    return Record(
        cell=cell, row_key=cell.row_key(), floor=floor, provenance=Provenance(hash=name, created=created),
        **{**shown, **more},
    )  # fmt: skip


def calibration() -> list[Record]:
    return [record("destroyed", RP=30.0, LP=10.0), record("permuted-logits", "logit-surgery", RP=90.0, LP=3.0)]


def baselines(*values: float) -> list[Record]:
    return [record("none", "from-scratch", i, RP=value) for i, value in enumerate(values)]


def world(rp: tuple[float, ...] = (80.0,), public: tuple[float, ...] = (30.0,), **more: Any) -> list[Record]:
    return [*(record(replicate=i, RP=x, **more) for i, x in enumerate(rp)), *calibration(), *baselines(*public)]


def the_row(records: list[Record], evidence: Any = None, lock: str = "modellock", attack: str = "prompt-search") -> Row:
    (row,) = [r for r in rows(records, evidence) if (r.lock_name, r.attack_name) == (lock, attack)]
    return row


def printed(table: list[Row], width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), record=True, color_system=None)
    console.print(terminal(table))
    return console.export_text()


class FakeStore:
    """What reports ask of a store."""

    def __init__(self, records: list[Record], samples: bool = False) -> None:
        self._records = records
        image = np.arange(2 * 3 * 8 * 8, dtype=np.uint8).reshape(2, 3, 8, 8)
        self._evidence: dict[str, NDArray[Any]] = {
            "samples/raw": image, "samples/key": image[::-1].copy(), "samples/labels": np.array([0, 1]),
            "samples/pred_raw": np.array([0, 0]), "samples/pred_key": np.array([0, 1]),
            "samples/pred_guess": np.array([1, 1]),
            "samples/near": 255 - image, "samples/pred_near": np.array([1, 0]), "samples/labels_near": np.array([1, 0]),
        } if samples else {}  # fmt: skip

    def records(self) -> list[Record]:
        return self._records

    def evidence(self, record: Record) -> Mapping[str, NDArray[Any]]:
        return self._evidence if record.cell.lock.name == "modellock" else {}
