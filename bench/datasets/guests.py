"""A data set of a guest: its plugin loads it in a process of its own, and what it sends is checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.datasets.base import Dataset
from bench.errors import UserError
from bench.guests import questions
from bench.guests.failure import GuestFailed
from bench.plugin_source import PluginInfo


def load_guest(
    info: PluginInfo,
    path: Path | None,
    size: int,
    generator_seed: int,
    skip_bad: bool,
    params: Mapping[str, Any] | None = None,
) -> Dataset:
    """The data set of the guest ``info``.

    Raises:
        UserError: it failed, or sent no data set.
    """
    arguments: dict[str, Any] = {
        "path": None if path is None else str(path),
        "size": size,
        "generator_seed": generator_seed,
        "skip_bad": skip_bad,
    }
    try:
        sent = questions.data(info, arguments, params or {})
        facts, tensors = sent.body, sent.tensors
        dataset = questions.checked(
            info,
            lambda: Dataset(
                name=str(facts["name"]),
                images=tensors["images"],
                labels=tensors["labels"],
                classes=tuple(str(name) for name in facts["classes"]),
                masks=tensors.get("masks"),
                notes=dict(facts["notes"]),
                groups=tensors.get("groups"),
                origin=str(facts["origin"]),
                kind=str(facts["kind"]),
            ),
        )
        side = tuple(dataset.images.shape[2:])
        if side != (size, size):
            raise GuestFailed(f"it has images of {side[0]} × {side[1]} pixels, not {size} × {size}")
        return dataset
    except GuestFailed as failed:
        raise UserError(
            f"the task {info.name} cannot be loaded: {failed.message}.", f"Mend {info.file.name}."
        ) from None
