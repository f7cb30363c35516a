"""The card of an entry: what the locked model is, what was measured of it, and what lies beside it. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.records import Cell, Flag, Measured, Metric, PluginRef
from bench.threat import Budget, ThreatModel

SCHEMA = 1
"""Raised whenever a field of the card changes its meaning."""
NUMBERS = ("UP", "LP", "UP_shipped", "LP_shipped")
"""What `bench zoo check` measures again."""

Dtype = Literal["float32", "float16"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Weights(_Model):
    """The file ``model.safetensors``.

    Args:
        sha256: of its content, hex digits.
        size: bytes.
        parameters: numbers in it, batch-norm statistics included.
        dtype: of arrays with two dimensions or more; the others are float32. The record was measured in float32.
        answers_changed: judged images whose answer differs from the record's, by the number they are behind.
    """

    sha256: str = Field(pattern=r"[0-9a-f]{64}")
    size: int = Field(ge=1)
    parameters: int = Field(ge=1)
    dtype: Dtype
    answers_changed: dict[str, int]


class KeyFacts(_Model):
    """What stands in the card of the key.

    Args:
        method: name of the key method.
        params: its parameters; of a key that is withheld, without those that say which key it is.
        given: whether the key lies beside the card.
        known: the parts that the usual threat model grants, by name.
        megabytes: of the models that the key runs, and of withheld weights, in 10^6 bytes.
    """

    method: str
    params: dict[str, Any]
    given: bool
    known: dict[str, Any]
    megabytes: float | None


class Origin(_Model):
    """Where the entry comes from.

    Args:
        record: hash of the record.
        row_key: of its row.
        commit: of the source when the entry was written; None where the source was in no commit as it stood.
        code: digest of each module that trained the locked model, docstrings and comments apart.
        data: digest of the data and of their splits.
        seeds: by what they are for; that of a withheld key is left out.
        versions: of Python and libraries.
        machine: processor and device.
        threads: of the training.
        precision: of the training.
        created: when the record was made.
    """

    record: str
    row_key: str
    commit: str | None
    code: dict[str, str]
    data: str
    seeds: dict[str, int]
    versions: dict[str, str]
    machine: str
    threads: int
    precision: str
    created: str


class Card(_Model):
    """One entry of the zoo. Accuracies are in percent with 95 % intervals over images; null: not measured."""

    schema_version: int = SCHEMA
    name: str
    title: str = Field(description="of the lock")
    paper: str
    lock: PluginRef
    key: KeyFacts
    task: str
    task_settings: dict[str, Any]
    model: str
    seed: int = Field(ge=0)
    classes: list[str]
    metric: Metric
    floor: float | None
    victim_authorised: Measured | None
    oracle: Measured | None
    UP: Measured
    LP: Measured
    UP_shipped: Measured
    LP_shipped: Measured
    LP_after_batch_norm: float | None
    flags: list[Flag]
    spec: dict[str, Any] = Field(description="the JSON that rebuilds the classifier with its weights")
    weights: Weights
    origin: Origin
    licence: str = Field(description="of the weights")
    data_licences: dict[str, str] = Field(description="of the data they were trained on, by name of the data set")

    def cell(self, threat: Mapping[str, Any] | None = None) -> Cell:
        """The cell of the record, without an attack, under ``threat``.

        Raises:
            BadParameter: a field of ``threat`` that is not known, or a value that is not allowed.
        """
        own = PluginRef(name=self.key.method, params=self.key.params)
        return Cell(
            scenario=self.task,
            model=self.model,
            lock=self.lock,
            key=own,
            attack=PluginRef(name="none", role="control"),
            threat=ThreatModel(**dict(threat or {})),
            budget=Budget(),
            task_settings=self.task_settings,
            replicate=self.seed,
        )


def name_of(lock: str, task: str, model: str, seed: int, settings: Mapping[str, Any] | None = None) -> str:
    """The name of an entry: lock, task, model and seed, then what was set apart from the usual.

    >>> name_of("ntl", "digits:fonts", "cnn", 0)
    'ntl--digits-fonts--cnn--0'
    """
    more = [f"{name}-{value}" for name, value in sorted((settings or {}).items())]
    parts = [lock, task, model, str(seed), *more]
    return "--".join("".join(c if c.isalnum() or c in "._-" else "-" for c in part) for part in parts)
