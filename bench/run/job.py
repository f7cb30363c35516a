"""What crosses to the attack's process and back: the `Job` it gets, and its `AttackOutput`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.contracts import Budget, Images, Spec, ThreatModel

_JOB, _VIEW, _MODEL = "job.json", "view.safetensors", "model.safetensors"


@dataclass(frozen=True)
class Job:
    """All that an attack's process is given.

    Args:
        attack: name of the plugin.
        params: its parameters.
        plugin_files: plugin files outside the packages.
        model: name of the victim's architecture, for the public model.
        task: the task.
        threat, budget: of the cell.
        seed: of every random number of the attack.
        granted: image sets by name, as the threat model grants them.
        classifier: spec and weights of the locked model, white-box only.
        known: key parts.
        words: the filtered word list, or None.
        device, threads: where and with how many threads it computes.
    """

    attack: str
    params: dict[str, Any]
    plugin_files: list[str]
    model: str
    task: Spec
    threat: ThreatModel
    budget: Budget
    seed: int
    granted: Mapping[str, Images | tuple[Images, Images]]
    classifier: tuple[dict[str, Any], dict[str, Tensor]] | None
    known: dict[str, Any]
    words: list[str] | None
    device: str = "cpu"
    threads: int = 2

    def write(self, folder: Path) -> None:
        """Write the job to ``folder`` as JSON and safetensors."""
        tensors: dict[str, Tensor] = {}
        for name, images in self.granted.items():
            for i, part in enumerate(images if isinstance(images, tuple) else (images,)):
                tensors[f"{name}/{i}/pixels"] = part.pixels.contiguous()
                if part.labelled:
                    tensors[f"{name}/{i}/labels"] = part.labels.contiguous()
        save_file(tensors, folder / _VIEW)
        if self.classifier is not None:
            save_file({k: v.contiguous().cpu() for k, v in self.classifier[1].items()}, folder / _MODEL)
        plain = ("attack", "params", "plugin_files", "model", "seed", "known", "words", "device", "threads")
        config = {name: getattr(self, name) for name in plain}
        config |= {
            "task": {"size": self.task.size, "classes": list(self.task.classes), "kind": self.task.kind},
            "threat": self.threat.values(),
            "budget": self.budget.values(),
            "classifier": self.classifier and self.classifier[0],
        }
        (folder / _JOB).write_text(json.dumps(config))

    @classmethod
    def read(cls, folder: Path) -> Job:
        """The job that `write` wrote to ``folder``; its files are removed."""
        config = json.loads((folder / _JOB).read_text())
        tensors = load_file(folder / _VIEW)
        weights = load_file(folder / _MODEL) if (folder / _MODEL).exists() else None
        for file in folder.iterdir():
            file.unlink()
        granted: dict[str, Any] = {}
        for name in {key.split("/")[0] for key in tensors}:
            parts = [
                Images(tensors[f"{name}/{i}/pixels"], tensors.get(f"{name}/{i}/labels"))
                for i in range(2)
                if f"{name}/{i}/pixels" in tensors
            ]
            granted[name] = tuple(parts) if name == "leaked_pairs" else parts[0]
        task, spec = config.pop("task"), config.pop("classifier")
        return cls(
            task=Spec(task["size"], tuple(task["classes"]), task["kind"]),
            threat=ThreatModel(**config.pop("threat")),
            budget=Budget(**config.pop("budget")),
            granted=granted,
            classifier=None if weights is None else (spec, weights),
            **config,
        )


@dataclass
class AttackOutput:
    """What came back: every submission, the final predictor last, meters, denials, an error if it raised."""

    submissions: list[dict[str, Any]] = field(default_factory=list)
    states: list[dict[str, Tensor]] = field(default_factory=list)
    meter: dict[str, Any] = field(default_factory=dict)
    denied: list[str] = field(default_factory=list)
    error: str | None = None
    traceback: str = ""
    spent: str | None = None
