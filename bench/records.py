"""The schema of a record: what was measured in one cell for one replicate, with costs and provenance.

A record is one JSON file and one safetensors file of evidence in the store. Accuracies are in percent;
what was not measured is null, never 0. Tables are recomputed from records alone.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench import seeds
from bench.hashing import digest
from bench.selection import SelectionRule
from bench.threat import Budget, ThreatModel

SCHEMA = 2
"""Raised whenever a field changes its meaning; part of every hash."""

THIRD_PARTY = "third-party"
"""The flag of a record that was imported and not measured here."""
EDITOR = "miniature"
"""What stands for the editor in the row of a cell whose key runs none."""

_PLACE = re.compile(r"(?<=[^:]:)/.*?(?=:[^/:]+(?::/|$)|$)")
"""The full path of a folder in a task."""

_WEIGHTS = re.compile(r"(?<=[?&]weights=)[^&]*@(?=sha256:[0-9a-f]+(?:&|$))")
"""The path of a file of public weights in a model's name, where the digest of its content follows."""

_FIRST_BUDGETS = ("steps", "queries", "edited", "guesses")
"""Budgets that a row names even where they are not set; later ones do not move the rows of older records."""

_LATER_RIGHTS = ("language_model",)
"""Fields of a threat model that a row names only where they are granted: they do not move the rows of older records."""

Role = Literal["method", "control", "given"]
Purpose = Literal["", "victim", "must-open", "must-not-open", "public-baseline", "no-attack"]
Split = Literal["test", "judge-validation"]
Kind = Literal["right", "none", "near", "wrong", "setting", "random", "partial"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


def name_of(task: str) -> str:
    """``task`` with the name of each folder in place of its full path, composed (NFC).

    >>> name_of("folder:/data/office/amazon:folder:/data/office/dslr")
    'folder:amazon:folder:dslr'
    """
    return unicodedata.normalize("NFC", _PLACE.sub(lambda place: place[0].rpartition("/")[2], task))


class PluginRef(_Model):
    """A plugin with all its parameters."""

    name: str
    params: dict[str, Any] = Field(default_factory=dict, description="every parameter with its value")
    explicit: dict[str, Any] = Field(default_factory=dict, description="the parameters set by the user or the suite")
    role: Role = "method"
    purpose: Purpose = Field(default="", description="what a control is for")
    selection: SelectionRule | None = Field(default=None, description="an attack's selection rule")


class Cell(_Model):
    """One combination of the plan for one replicate."""

    scenario: str = Field(description="task, e.g. digits-m, or SOURCE:TARGET")
    model: str
    lock: PluginRef
    key: PluginRef
    attack: PluginRef
    threat: ThreatModel
    budget: Budget
    task_settings: dict[str, Any] = Field(
        default_factory=dict, description="task settings other than the usual ones, e.g. task.size"
    )
    replicate: int = Field(description="0, 1, … when reporting; from 1000 up when tuning")

    @property
    def name(self) -> str:
        """The task without the places of its folders: what seeds and rows know it by."""
        return name_of(self.scenario)

    @property
    def model_name(self) -> str:
        """The model without the place of its file of weights: what seeds and rows know it by."""
        return _WEIGHTS.sub("", self.model)

    @property
    def size(self) -> int:
        """Side of the images, pixels."""
        return int(self.task_settings.get("task.size", 32))

    @property
    def data_settings(self) -> dict[str, Any]:
        """The task settings that its data sets read, by name: all but the size and the victim's training."""
        own = {name.removeprefix("task."): value for name, value in self.task_settings.items()}
        return {name: value for name, value in own.items() if name != "size" and not name.startswith("victim_")}

    @property
    def victim_training(self) -> dict[str, Any]:
        """What was set of the victim's training, by name: ``steps``, ``rate``, ``batch``."""
        start = "task.victim_"
        return {name.removeprefix(start): v for name, v in self.task_settings.items() if name.startswith(start)}

    @property
    def editor(self) -> str:
        """The editor that the key runs, or the usual one where it runs none."""
        return str(self.key.params.get("editor", EDITOR))

    @property
    def split(self) -> Split:
        """What it is judged on."""
        return "judge-validation" if seeds.is_tuning(self.replicate) else "test"

    @property
    def has_conditions(self) -> bool:
        """Whether the key conditions are measured: not of a control, nor while tuning, where nothing shows them."""
        return self.lock.role != "control" and not seeds.is_tuning(self.replicate)

    def row(self) -> dict[str, Any]:
        """What decides comparison, replicate apart: names and the parameters that were set."""
        return {
            "scenario": self.name,
            "model": self.model_name,
            "editor": self.editor,
            "lock": [self.lock.name, self._lock_set()],
            "key": [self.key.name, {k: v for k, v in self.key.explicit.items() if k != "editor"}],
            "attack": [self.attack.name, self.attack.explicit],
            "threat": {k: v for k, v in self.threat.values().items() if v or k not in _LATER_RIGHTS},
            "budget": {k: v for k, v in self.budget.values().items() if v is not None or k in _FIRST_BUDGETS},
            "explicit": self.task_settings,
        }

    def _lock_set(self) -> dict[str, Any]:
        """The lock's parameters that were set. A file whose digest is among them counts by its content alone."""
        is_known = self.lock.role == "given" and "digest" in self.lock.explicit
        return {k: v for k, v in self.lock.explicit.items() if not (is_known and k == "file")}

    def row_key(self) -> str:
        """Hex digest of `row`: tables and gates join on it."""
        return digest(self.row())


Metric = Literal["accuracy", "mIoU"]


class Measured(_Model):
    """An accuracy or a mean IoU over ``n`` images. The image interval speaks of this replicate's model only."""

    value: float = Field(ge=0, le=100, allow_inf_nan=False, description="percent")
    n: int = Field(ge=1)
    low: float | None = Field(
        default=None,
        allow_inf_nan=False,
        description="lower end of the 95 % interval over images: Wilson's, or of a bootstrap for mIoU",
    )
    high: float | None = Field(default=None, allow_inf_nan=False, description="its upper end, percent")
    metric: Metric = "accuracy"


class Condition(_Model):
    """The locked model under one key condition, on test images, over the K real classes."""

    kind: Kind
    label: str = Field(default="", description="what tells it from others of its kind: a prompt, a setting's name")
    what: str = Field(description="what was applied, in words: the prompt, the changed setting")
    accuracy: Measured
    shipped: float | None = Field(default=None, description="percent over all shipped outputs")

    @property
    def name(self) -> str:
        """Kind and label as tables print them."""
        return condition_name(self.kind, self.label)


def condition_name(kind: str, label: str) -> str:
    """A key condition as tables and evidence name it: ``none``, ``near/with picasso``, ``setting/alpha``."""
    return f"{kind}/{label}" if label else kind


class CurvePoint(_Model):
    """One submission of an attack, scored by the judge."""

    meter: dict[str, Any]
    RP: float
    n: int | None = Field(default=None, description="test images it was scored on, the first of the split")
    validation: float | None = Field(default=None, description="percent on judge-validation images")
    note: dict[str, Any] = Field(default_factory=dict, description="what the attack said of it, e.g. its prompt")


class Flag(_Model):
    """A red flag: a cheap sign that a number should not be believed as it stands; see docs/reference/flags.md."""

    name: str
    detail: str


class Provenance(_Model):
    """How a number came about, so that it can be made again."""

    hash: str
    parents: dict[str, str] = Field(default_factory=dict, description="artefact kind -> hash")
    inputs: dict[str, Any] = Field(default_factory=dict, description="all that entered the hash, for `bench why`")
    seeds: dict[str, int] = Field(default_factory=dict)
    data_fingerprint: str = ""
    code: str = Field(default="", description="digest of all project and plugin code behind the record")
    versions: dict[str, str] = Field(default_factory=dict)
    machine: str = ""
    threads: int = 0
    dtype: str = "float32"
    seconds: dict[str, float] = Field(default_factory=dict, description="wall seconds by stage")
    replies: dict[str, list[dict[str, Any]]] = Field(
        default_factory=dict, description="questions to language models by stage: see `bench.language.asking.logged`"
    )
    command: str = ""
    created: str = ""
    reused: str = Field(default="", description="when a run last needed this record and found it in the store")


class Record(_Model):
    """What was measured in a cell for one replicate."""

    schema_version: int = SCHEMA
    status: Literal["ok", "failed", "invalid"] = "ok"
    error: str | None = None
    cell: Cell
    row_key: str
    split: Split = "test"
    metric: Metric = Field(default="accuracy", description="what percentages of this record are of")
    floor: float | None = Field(default=None, description="what the best constant answer reaches, percent")
    victim_authorised: Measured | None = None
    oracle: Measured | None = Field(default=None, description="the victim on the unauthorised images")
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
    transductive: bool = False
    flags: list[Flag] = Field(default_factory=list)
    third_party: str | None = Field(default=None, description="the archive it was imported from")
    traceback: str | None = Field(default=None, description="of a failed cell")
    classes: list[str] = Field(default_factory=list, description="names of the K real classes")
    data_notes: dict[str, Any] = Field(
        default_factory=dict, description="what the data source notes, e.g. skipped files"
    )
    defender_needs: dict[str, bool] | None = Field(default=None, description="what the lock declared to read")
    lock_notes: dict[str, Any] = Field(default_factory=dict, description="what the lock notes about itself")
    LP_after_batch_norm: float | None = Field(
        default=None, description="LP in percent once batch-norm statistics are re-estimated on the attacker's pool"
    )
    selected: dict[str, Any] | None = Field(default=None, description="note and choice of the scored submission")
    budget_spent: str | None = Field(default=None, description="the budget that ended the attack")
    provenance: Provenance

    @property
    def hash(self) -> str:
        """Identity of the measurement: see `bench.store.identity`."""
        return self.provenance.hash

    @property
    def selection(self) -> SelectionRule | None:
        """The attack's selection rule."""
        return self.cell.attack.selection

    @property
    def complete(self) -> bool:
        """Whether it was measured here and did not fail, so that it need not be measured again."""
        return self.status != "failed" and self.third_party is None

    @property
    def last(self) -> str:
        """When it was made, or a run last needed it."""
        return max(self.provenance.created, self.provenance.reused)
