"""What an attack may have, as the `Job` of its process, and what comes back: its `AttackOutput`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from bench.contracts import Budget, Images, Spec, ThreatModel


@dataclass(frozen=True)
class Job:
    """All that an attack's process may have.

    Args:
        attack: name of the plugin.
        params: its parameters.
        plugin_files: plugin files outside the packages.
        model: name of the victim's architecture, for the public model.
        task: the task.
        threat, budget: of the cell.
        seed: of every random number of the attack.
        granted: image sets by name, as the threat model grants them.
        classifier: the locked model as spec and weights, white-box only.
        known: key parts.
        words: the filtered word list, or None.
        device, threads, precision: where it computes, with how many threads, and what training steps are in.
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
    precision: str = "float32"

    def to_json(self) -> dict[str, Any]:
        """What the process is told at its start; the rest it reads over the wire, as far as it is granted."""
        plain = ("attack", "params", "plugin_files", "model", "seed", "known", "device", "threads", "precision")
        return {
            **{name: getattr(self, name) for name in plain},
            "task": self.task.to_json(),
            "threat": self.threat.values(),
            "budget": self.budget.values(),
        }


@dataclass
class AttackOutput:
    """What came back: every submission, the final predictor last, meters, denials, the budget that ended it."""

    submissions: list[dict[str, Any]] = field(default_factory=list)
    states: list[dict[str, Tensor]] = field(default_factory=list)
    meter: dict[str, Any] = field(default_factory=dict)
    denied: list[str] = field(default_factory=list)
    spent: str | None = None
    log: str = ""
