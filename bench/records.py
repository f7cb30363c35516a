"""The schema of a record: what was measured in one cell for one replicate, with costs and provenance.

A record is one JSON file and one safetensors file of evidence in the store. Accuracies are in percent;
what was not measured is null, never 0. Tables are recomputed from records alone.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 1
"""Raised whenever a field changes its meaning; part of every hash."""

THIRD_PARTY = "third_party"
"""The note, and (with a hyphen) the flag, of a record that was imported and not measured here."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PluginRef(_Model):
    """A plugin with all its parameters."""

    name: str
    params: dict[str, Any] = Field(default_factory=dict, description="every parameter with its value")
    explicit: dict[str, Any] = Field(default_factory=dict, description="the parameters set explicitly")
    role: Literal["method", "control", "given"] = "method"
    selection: str | None = Field(default=None, description="an attack's selection rule")


class Cell(_Model):
    """One row of the plan for one replicate."""

    scenario: str = Field(description="task, e.g. digits-m")
    model: str
    lock: PluginRef
    key: PluginRef
    attack: PluginRef
    threat: dict[str, Any] = Field(description="every field of the threat model")
    budget: dict[str, Any] = Field(description="every field of the budget; null is no limit")
    explicit: dict[str, Any] = Field(
        default_factory=dict, description="task settings that are not the usual ones, e.g. task.size"
    )
    editor: str = "miniature"
    replicate: int = Field(description="0, 1, … when reporting; from 1000 up when tuning")

    @property
    def size(self) -> int:
        """Side of the images, pixels."""
        return int(self.explicit.get("task.size", 32))

    def row(self) -> dict[str, Any]:
        """What decides comparison, replicate apart: names and parameters set explicitly."""
        return {
            "scenario": self.scenario,
            "model": self.model,
            "editor": self.editor,
            "lock": [self.lock.name, self.lock.explicit],
            "key": [self.key.name, self.key.explicit],
            "attack": [self.attack.name, self.attack.explicit],
            "threat": self.threat,
            "budget": self.budget,
            "explicit": self.explicit,
        }

    def row_key(self) -> str:
        """Hex digest of `row`: tables and gates join on it."""
        return digest(self.row())


class Measured(_Model):
    """An accuracy over ``n`` images. The image interval speaks of this replicate's model only."""

    value: float = Field(ge=0, le=100, allow_inf_nan=False, description="percent")
    n: int = Field(ge=1)
    low: float | None = Field(default=None, allow_inf_nan=False, description="lower end of the 95 % Wilson interval")
    high: float | None = Field(default=None, allow_inf_nan=False, description="its upper end, percent")


class Condition(_Model):
    """The locked model under one key condition, on test images, over the K real classes."""

    name: str = Field(description="right, none, near/…, wrong/…, random-text, geometry-only, wrong:alpha, …")
    what: str = Field(description="what was applied, in words: the prompt, the changed setting")
    accuracy: Measured
    shipped: float | None = Field(default=None, description="percent over all shipped outputs")


class CurvePoint(_Model):
    """One submission of an attack, scored by the judge."""

    meter: dict[str, Any]
    RP: float
    n: int | None = Field(default=None, description="test images it was scored on, the first of the split")
    validation: float | None = Field(default=None, description="percent on judge-validation images")
    note: dict[str, Any] = Field(default_factory=dict, description="what the attack said of it, e.g. its prompt")


class Flag(_Model):
    """A red flag: a cheap sign that a number should not be believed as it stands; each has a page in docs/flags.md."""

    name: str
    detail: str


class Provenance(_Model):
    """How a number came about, so that it can be made again."""

    hash: str
    parents: dict[str, str] = Field(default_factory=dict, description="artefact kind -> hash")
    inputs: dict[str, Any] = Field(default_factory=dict, description="all that entered the hash, for `bench why`")
    seeds: dict[str, int] = Field(default_factory=dict)
    data_fingerprint: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    machine: str = ""
    threads: int = 0
    dtype: str = "float32"
    seconds: dict[str, float] = Field(default_factory=dict, description="wall seconds by stage")
    command: str = ""
    created: str = ""
    asked: str = Field(default="", description="when a run last asked for this record and found it in the store")


class Record(_Model):
    """What was measured in a cell for one replicate."""

    schema_version: int = SCHEMA
    status: Literal["ok", "failed", "invalid"] = "ok"
    error: str | None = None
    cell: Cell
    row_key: str
    split: Literal["test", "judge-validation"] = "test"
    floor: float | None = Field(default=None, description="largest class's share of the split, percent")
    victim_authorised: Measured | None = None
    oracle: Measured | None = Field(default=None, description="the victim on the un-authorised images")
    UP: Measured | None = None
    LP: Measured | None = None
    UP_shipped: Measured | None = None
    LP_shipped: Measured | None = None
    RP: Measured | None = None
    RP_validation: Measured | None = Field(
        default=None, description="RP on judge-validation images: what the worst of an ensemble is chosen by"
    )
    authorised_after: Measured | None = Field(default=None, description="the attacker's predictor on authorised images")
    conditions: list[Condition] = Field(default_factory=list)
    curve: list[CurvePoint] = Field(default_factory=list)
    meter: dict[str, Any] | None = None
    lock_meter: dict[str, Any] | None = None
    key: dict[str, Any] | None = Field(default=None, description="the key's JSON form")
    key_ms_per_image: float | None = Field(default=None, description="wall milliseconds; depends on the machine")
    key_megabytes: float | None = Field(default=None, description="of the models that the key runs, in 10^6 bytes")
    extra_parameters: int | None = Field(default=None, description="of the locked model, beyond the victim's")
    selection: str | None = None
    transductive: bool = False
    flags: list[Flag] = Field(default_factory=list)
    notes: dict[str, Any] = Field(default_factory=dict, description="what else was learnt, e.g. the best guess")
    provenance: Provenance

    @property
    def hash(self) -> str:
        return self.provenance.hash

    @property
    def last(self) -> str:
        """When it was made, or a run last asked for it."""
        return max(self.provenance.created, self.provenance.asked)


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of ``value``, the first 20 hex digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:20]


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces; integers that are floats (1.0) are written as integers.

    Raises:
        TypeError: ``value`` holds something JSON cannot say.
        ValueError: a number that is not finite.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} is not a string")
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value
