"""What stages leave in the store, as safetensors and JSON: written to a folder, read back from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.contracts import Withheld
from bench.guests.checks import WRONG_SHAPE
from bench.guests.failure import InvalidResult
from bench.harness.job import AttackOutput
from bench.harness.judge import Evidence, LockVerdict
from bench.records import Condition

_SECONDS = "seconds.json"
_REPLIES = "replies.json"
_WITHHELD = "withheld.safetensors"
_AT, _VALUE = "at ", "value "
_SUBMISSIONS = ("submissions", "meter", "denied", "spent", "log")


@dataclass
class Trained:
    """A classifier as data, what its training spent, and what the lock notes about itself.

    Args:
        spec: the JSON that rebuilds it, with ``state``.
        state: its weights by name, on the CPU.
        meter: what its training spent.
        notes: the lock's own notes, JSON.
        withheld: what the rightful user holds of its weights, by parameter; no part of ``state``.
    """

    spec: dict[str, Any]
    state: dict[str, Tensor]
    meter: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    withheld: dict[str, Withheld] = field(default_factory=dict)

    @classmethod
    def checked(cls, spec: object, state: dict[str, Tensor], meter: object, notes: object) -> Trained:
        """What a training process sent, with JSON objects where they are due.

        Raises:
            InvalidResult: one is none.
        """
        for name, value in (("spec", spec), ("meter", meter), ("notes", notes)):
            if not isinstance(value, dict):
                raise InvalidResult(WRONG_SHAPE, f"the {name} of the model is no JSON object")
        return cls(cast(dict[str, Any], spec), state, cast(dict[str, Any], meter), cast(dict[str, Any], notes))


def save_seconds(seconds: float, folder: Path) -> None:
    """Write the wall seconds that the stage in ``folder`` took."""
    _write(folder / _SECONDS, {"seconds": round(seconds, 3)})


def load_seconds(folder: Path) -> float | None:
    """What `save_seconds` wrote; None where older code made the stage."""
    file = folder / _SECONDS
    return float(_read(file)["seconds"]) if file.is_file() else None


def save_replies(replies: list[dict[str, Any]], folder: Path) -> None:
    """Write what the stage in ``folder`` asked language models: see `bench.language.asking.logged`."""
    _write(folder / _REPLIES, {"replies": replies})


def load_replies(folder: Path) -> list[dict[str, Any]]:
    """What `save_replies` wrote; nothing where the stage asked none."""
    file = folder / _REPLIES
    return list(_read(file)["replies"]) if file.is_file() else []


def save_trained(trained: Trained, folder: Path) -> None:
    """Write ``trained`` to ``folder``; weights that share memory are written once each."""
    weights = {k: v.detach().cpu().contiguous().clone() for k, v in trained.state.items()}
    save_file(weights, folder / "classifier.safetensors")
    _write(folder / "meta.json", {"spec": trained.spec, "meter": trained.meter, "notes": trained.notes})
    if trained.withheld:
        save_file(flat(trained.withheld), folder / _WITHHELD)


def load_trained(folder: Path) -> Trained:
    """What `save_trained` wrote."""
    meta = _read(folder / "meta.json")
    state = dict(load_file(folder / "classifier.safetensors"))
    withheld = parted(load_file(folder / _WITHHELD))[1] if (folder / _WITHHELD).is_file() else {}
    return Trained(meta["spec"], state, meta["meter"], meta["notes"], withheld)


def flat(withheld: Mapping[str, Withheld]) -> dict[str, Tensor]:
    """``withheld`` as tensors by name: ``at NAME`` and ``value NAME``."""
    places = {f"{_AT}{name}": part.at.contiguous() for name, part in withheld.items()}
    return places | {f"{_VALUE}{name}": part.values.contiguous() for name, part in withheld.items()}


def parted(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Withheld]]:
    """Tensors of other names, and what `flat` made tensors of."""
    names = [name.removeprefix(_AT) for name in tensors if name.startswith(_AT)]
    withheld = {n: Withheld(tensors[f"{_AT}{n}"], tensors[f"{_VALUE}{n}"]) for n in names if f"{_VALUE}{n}" in tensors}
    return {n: tensor for n, tensor in tensors.items() if not n.startswith((_AT, _VALUE))}, withheld


def save_json(value: Mapping[str, Any], folder: Path) -> None:
    """Write a JSON object to ``folder``."""
    _write(folder / "value.json", value)


def load_json(folder: Path) -> dict[str, Any]:
    """What `save_json` wrote."""
    return _read(folder / "value.json")


def save_tensors(tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Write tensors by name to ``folder``."""
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "tensors.safetensors")


def load_tensors(folder: Path) -> dict[str, Tensor]:
    """What `save_tensors` wrote."""
    return dict(load_file(folder / "tensors.safetensors"))


def save_verdict(judged: tuple[LockVerdict, Evidence], folder: Path) -> None:
    """Write a verdict with its evidence to ``folder``."""
    verdict, evidence = judged
    (folder / "judged.json").write_text(verdict.model_dump_json())
    _save_evidence(evidence, folder)


def load_verdict(folder: Path) -> tuple[LockVerdict, Evidence]:
    """What `save_verdict` wrote."""
    verdict = LockVerdict.model_validate_json((folder / "judged.json").read_text())
    return verdict, _load_evidence(folder)


def save_conditions(judged: tuple[list[Condition], Evidence], folder: Path) -> None:
    """Write key conditions with their evidence to ``folder``."""
    conditions, evidence = judged
    _write(folder / "conditions.json", {"conditions": [c.model_dump(mode="json") for c in conditions]})
    _save_evidence(evidence, folder)


def load_conditions(folder: Path) -> tuple[list[Condition], Evidence]:
    """What `save_conditions` wrote."""
    listed = _read(folder / "conditions.json")["conditions"]
    return [Condition.model_validate(c) for c in listed], _load_evidence(folder)


def _save_evidence(evidence: Evidence, folder: Path) -> None:
    save_file({k: torch.from_numpy(np.asarray(v)) for k, v in evidence.items()}, folder / "evidence.safetensors")


def _load_evidence(folder: Path) -> Evidence:
    return {k: v.numpy() for k, v in load_file(folder / "evidence.safetensors").items()}


def save_output(output: AttackOutput, folder: Path) -> None:
    """Write what an attack handed in to ``folder``."""
    for i, state in enumerate(output.states):
        save_file(state, folder / f"{i:04d}.safetensors")
    _write(folder / "output.json", {name: getattr(output, name) for name in _SUBMISSIONS})


def load_output(folder: Path) -> AttackOutput:
    """What `save_output` wrote."""
    output = _read(folder / "output.json")
    states = [load_file(folder / f"{i:04d}.safetensors") for i in range(len(output["submissions"]))]
    return AttackOutput(states=states, **output)


def _write(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value))


def _read(file: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(file.read_text())
    return value
