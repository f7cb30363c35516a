"""What lies in an entry: the locked classifier and the key, read with distrust. Nothing is unpickled or imported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bench import models, registry
from bench.contracts import Classifier, Key, KeyCondition
from bench.contracts.withheld import Withheld
from bench.errors import UserError
from bench.guests import checks
from bench.guests.failure import InvalidResult
from bench.harness import artefacts
from bench.harness.artefacts import Trained
from bench.source_files import OWN
from bench.zoo import shelf
from bench.zoo.card import Card, Dtype
from bench.zoo.shelf import Entry


class KeyWithheld(UserError):
    """Something needs the key of an entry that comes without it."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the key of {name} is withheld.",
            "Only who made the entry has it; see which keys are given: bench zoo list",
        )


class WithheldKey:
    """Stands for a key that an entry withholds: it has the parts that the card names, and no more."""

    def __init__(self, card: Card) -> None:
        self._card = card

    def __call__(self, images: Tensor) -> Tensor:
        """Never: it is withheld."""
        raise KeyWithheld(self._card.name)

    def parts(self) -> Mapping[str, Any]:
        """The parts that the usual threat model grants."""
        return self._card.key.known

    def conditions(self, seed: int) -> list[KeyCondition]:
        """None: they are made of the right key."""
        return []

    def describe(self) -> str:
        """In words."""
        return f"a {self._card.key.method} key, withheld"

    def megabytes(self) -> float:
        """As the card says."""
        return self._card.key.megabytes or 0.0

    def to_json(self) -> dict[str, Any]:
        """Never: it is withheld."""
        raise KeyWithheld(self._card.name)


FETCHING = ("pretrained", "checkpoint_path", "cache_dir")
"""Starts of keyword arguments of an architecture that make a library fetch or read something."""


def rounded(state: Mapping[str, Tensor], dtype: Dtype) -> dict[str, Tensor]:
    """``state`` as an entry stores it: arrays of two dimensions or more in ``dtype``, the others as they are."""
    to = getattr(torch, dtype)
    is_matrix = {name: v.is_floating_point() and v.ndim > 1 for name, v in state.items()}
    return {name: (v.to(to) if is_matrix[name] else v).contiguous().clone() for name, v in state.items()}


def restored(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `rounded` gave, with every float as float32."""
    return {name: v.float() if v.is_floating_point() else v for name, v in state.items()}


def trained(entry: Entry) -> Trained:
    """The locked model of ``entry`` as data: finite weights, and what it withholds where its key is given.

    Raises:
        UserError: the files are not what was written, or cannot be read.
    """
    shelf.verify(entry)
    card = entry.card
    _check_spec(card)
    state = restored(_tensors(entry.folder / shelf.MODEL, card))
    withheld: dict[str, Withheld] = {}
    file = entry.folder / shelf.KEY_WEIGHTS
    if card.key.given and file.is_file():
        withheld = artefacts.parted(_tensors(file, card))[1]
    try:
        checks.weights(state, "it")
        checks.withheld(withheld, state, "it")
    except InvalidResult as error:
        raise _damaged(card, str(error)) from None
    return Trained(dict(card.spec), state, withheld=withheld)


def key(entry: Entry) -> Key | None:
    """The key of ``entry``; None where it is withheld.

    Raises:
        UserError: it cannot be read.
    """
    card = entry.card
    if not card.key.given:
        return None
    shelf.verify(entry)
    info = registry.current().find("key", card.key.method)
    if info.guest:
        raise UserError(f"the key method of {card.name} is no part of LockBench.", "Its code is not run.")
    file = entry.folder / shelf.KEY
    try:
        if file.stat().st_size > shelf.LARGEST:
            raise ValueError("it is too large")
        value = json.loads(file.read_bytes())
        own: Key = registry.load(info).from_json(value)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _damaged(card, f"{shelf.KEY} cannot be read ({type(error).__name__})") from None
    return own


def classifier(card: Card, state: Mapping[str, Tensor]) -> Classifier:
    """The classifier of ``card`` with the weights ``state``, on the CPU, in evaluation mode.

    Raises:
        UserError: the weights do not fit the architecture.
    """
    try:
        return models.rebuild(dict(card.spec), dict(state))
    except (RuntimeError, TypeError, KeyError, ValueError, AttributeError) as error:
        raise _damaged(card, f"its classifier cannot be built ({error or type(error).__name__})") from None


def _check_spec(card: Card) -> None:
    """Whether the classifier is built by the suite's own code: a card names no other.

    Raises:
        UserError: it is not.
    """
    module = str(card.spec.get("class", "bench")).partition(":")[0]
    is_own = module.partition(".")[0] in OWN and card.spec.get("source", "") in ("", "torchvision", "timm")
    # A colon names a place that timm would fetch from.
    if not is_own or any(":" in str(card.spec.get(name, "")) for name in ("name", "encoder")):
        raise UserError(f"the architecture of {card.name} is no part of LockBench.", "Its code is not run.")
    kwargs = card.spec.get("kwargs", {})
    if not isinstance(kwargs, dict) or any(str(name).startswith(FETCHING) for name in kwargs):
        raise UserError(f"the architecture of {card.name} names a place to fetch from.", "Nothing is fetched.")


def _tensors(file: Path, card: Card) -> dict[str, Tensor]:
    try:
        return dict(load_file(file))
    except (OSError, SafetensorError, ValueError) as error:
        raise _damaged(card, f"{file.name} cannot be read ({type(error).__name__})") from None


def _damaged(card: Card, reason: str) -> UserError:
    return UserError(
        f"the zoo's entry {card.name} is damaged, or of another version: {reason}.", "Write it again: bench zoo make"
    )
