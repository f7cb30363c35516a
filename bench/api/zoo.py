"""`bench.load_locked`: a locked checkpoint of the zoo with what a threat model grants of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench import measures
from bench.contracts import Classifier, Images, Key, Spec
from bench.contracts.plugins import weights_after
from bench.datasets.scenario import Scenario
from bench.errors import UserError
from bench.guests import checks
from bench.guests.failure import InvalidResult
from bench.harness import grants
from bench.harness.artefacts import Trained
from bench.harness.job import Job
from bench.params import BadParameter
from bench.paths import user_path
from bench.records import Measured
from bench.store.settings import Settings
from bench.threat import ThreatModel
from bench.zoo import contents, measuring, shelf
from bench.zoo.card import Card
from bench.zoo.contents import KeyWithheld, WithheldKey
from bench.zoo.shelf import Entry
from reports.rows.recovery import HEADROOM, headroom, recovery_of

KINDS = {
    "unlabelled": "unlabelled=True",
    "labelled": "share=0.01",
    "authorised": "authorised=0.01",
    "leaked_pairs": "leaked=16",
}
"""What `Locked.images` hands out, and the part of a threat model that grants it."""


@dataclass(frozen=True)
class Score:
    """What a model reaches on the unauthorised test images, beside what its record has; percent.

    Args:
        RP: the model, with its 95 % interval over images.
        LP, oracle, floor: of the record.
        recovery: (RP - b) / (oracle - b) with b = max(LP, floor); None where oracle - b is under 10 points.
    """

    RP: Measured
    LP: Measured
    oracle: Measured | None
    floor: float | None
    recovery: float | None


class Locked:
    """A locked model of the zoo, and what an attacker has of it under ``threat``.

    Args:
        entry: where it lies.
        threat: fields of `bench.threat.ThreatModel` that differ from the usual.

    Attributes:
        card: what is known of it.
        threat: what the attacker may see.
        key: what the rightful user applies to images; None where it is withheld.
    """

    def __init__(self, entry: Entry, threat: Mapping[str, Any]) -> None:
        if not isinstance(threat, Mapping):
            raise UserError(f"threat={threat!r} is no mapping.", 'Give its fields, e.g. threat={"access": "weights"}.')
        try:
            self._cell = entry.card.cell(threat)
            self._cell.threat.parts()
        except BadParameter as error:
            raise UserError(f"threat: {error}.", "See docs/reference/threat-models.md.") from None
        self.card: Card = entry.card
        self.threat: ThreatModel = self._cell.threat
        self._trained: Trained = contents.trained(entry)
        self.key: Key | None = contents.key(entry)

    @cached_property
    def model(self) -> Classifier:
        """The locked model on the CPU, in evaluation mode: (N, 3, H, W) images in [0, 1] to (N, K + extra) logits.

        ``model.logits`` gives the K real classes. It is one object, and yours to change: load again for a fresh one.
        """
        return contents.classifier(self.card, self._trained.state)

    @cached_property
    def unlocked(self) -> Classifier:
        """The model of the rightful user. It differs from `model` where the key is in the weights.

        Raises:
            UserError: the key is withheld.
        """
        if self.key is None:
            raise KeyWithheld(self.card.name)
        return contents.classifier(self.card, weights_after(self.key, self._trained.state, self._trained.withheld))

    @property
    def spec(self) -> Spec:
        """The size of the images, pixels, and the classes."""
        return self._scenario.spec

    @property
    def known(self) -> Mapping[str, Any]:
        """The key parts that ``threat.known`` names, as far as the key has them and the card does not withhold them."""
        return self._job.known

    @property
    def words(self) -> list[str] | None:
        """The word list of ``threat.wordlist``; None where the threat model grants none."""
        return self._job.words

    def images(self, kind: str = "unlabelled") -> Images:
        """Images that the threat model grants, the same that an attack of a run gets.

        Args:
            kind: ``unlabelled`` and ``labelled`` ones are unauthorised; ``authorised`` ones are after the key, with
                labels.

        Raises:
            UserError: the threat model does not grant them, or they need a key that is withheld.
        """
        if kind not in KINDS or kind == "leaked_pairs":
            names = ", ".join(name for name in KINDS if name != "leaked_pairs")
            raise UserError(f"there are no images '{kind}'.", f"Use {names}; pairs are in `leaked_pairs`.")
        found: Images = self._granted(kind)
        return found

    @property
    def leaked_pairs(self) -> tuple[Images, Images]:
        """Raw images, and the same after the key: ``threat.leaked`` pairs.

        Raises:
            UserError: the threat model grants none, or the key is withheld.
        """
        pairs: tuple[Images, Images] = self._granted("leaked_pairs")
        return pairs

    def score(self, model: nn.Module | Callable[[Tensor], Tensor], batch: int = 64) -> Score:
        """What ``model`` reaches on the unauthorised test images.

        It is a look at the test split for your notebook. A number for a paper comes from an attack that `bench run`
        judges, since a rule of selection that reads this score peeks.

        Args:
            model: (N, 3, H, W) float32 images in [0, 1] to (N, K) scores or more; what follows the first K is left out.
                It is called in the mode that it is in, without gradients, on the device of its parameters; a function
                on the CPU.
            batch: images in a batch.

        Raises:
            UserError: it answers with something else.
        """
        side = self._scenario.unauthorised
        images = side.images(side.splits.test)
        if not callable(model) or not isinstance(batch, int) or batch < 1:
            raise UserError("score() takes a model, and batches of 1 image or more.", "Give a module or a function.")
        parameters = model.parameters() if isinstance(model, nn.Module) else ()
        device = next(iter(parameters), torch.zeros(0)).device
        parts = []
        with torch.no_grad():
            for some in images.batches(batch):
                parts.append(self._scores(model(some.images.to(device)), some.images))
        measure = measures.of(self.spec)
        RP = measure.measured(measure.answers(torch.cat(parts), images.labels), images.labels)
        card = self.card
        return Score(RP, card.LP, card.oracle, card.floor, _recovery(RP, card))

    def __repr__(self) -> str:
        card = self.card
        state = "given" if card.key.given else "withheld"
        return f"Locked({card.name}: UP {card.UP.value:.1f}, LP {card.LP.value:.1f}, {card.key.method} key {state})"

    @cached_property
    def _scenario(self) -> Scenario:
        return measuring.scenario_of(self._cell, self.card.origin.data)

    @cached_property
    def _job(self) -> Job:
        seeds = self.card.origin.seeds
        key = self.key or WithheldKey(self.card)
        if self.key is None and not self.threat.listed:
            raise UserError(
                "a word list without the key cannot be drawn while the key is withheld.", "Leave listed out."
            )
        seed = seeds.get("key", 0)
        return grants.materialise(self._scenario, self._trained, key, self._cell, 0, seed, Settings())

    def _granted(self, kind: str) -> Any:
        found = self._job.granted.get(kind)
        if found is None:
            name, _, value = KINDS[kind].partition("=")
            raise UserError(
                f"the threat model grants no {kind.replace('_', ' ')} images.",
                f'Load with threat={{"{name}": {value}}}.',
            )
        return found

    def _scores(self, out: object, images: Tensor) -> Tensor:
        k = self.spec.k
        if not isinstance(out, Tensor) or out.ndim < 2 or out.shape[1] < k:
            shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
            raise UserError(
                f"the model answers with {shape}, not with (N, {k}) scores.", "Return a score for each class."
            )
        pixels = tuple(images.shape[2:]) if self.spec.is_dense else ()
        try:
            return checks.scores(out[:, :k].float().cpu(), len(images), k, "the model", pixels)
        except InvalidResult as error:
            raise UserError(f"{error}.", "Return finite scores, one row an image.") from None


def load_locked(
    lock: str,
    task: str | None = None,
    model: str | None = "cnn",
    seed: int | None = 0,
    *,
    threat: Mapping[str, Any] | None = None,
    folder: str | Path | None = None,
) -> Locked:
    """A locked checkpoint of the zoo: its model, its card, its key where that is given, and images for an attack.

    Files are checked against their checksums, and nothing is unpickled.

    Args:
        lock: a lock such as ``modellock``, or the full name of an entry, as `bench zoo list` prints it.
        task: a data set, or a pair as ``digits:fonts``; None: the one there is.
        model: the architecture; None: the one there is.
        seed: of the entry; None: the one there is.
        threat: fields of the threat model that differ from the usual, such as ``{"share": 0.1}``.
        folder: another zoo than the one that comes with the suite.

    Raises:
        UserError: no such entry, or several, or one that is damaged; a field of ``threat`` that is not allowed.
    """
    if seed is not None and not isinstance(seed, int):
        raise UserError(f"seed={seed!r} is no seed.", "Give a whole number, or None.")
    place = shelf.HOME if folder is None else user_path(folder)
    return Locked(shelf.find(lock, task, model, seed, place), threat or {})


def _recovery(RP: Measured, card: Card) -> float | None:
    if card.oracle is None or card.floor is None:
        return None
    values = {"RP": RP.value, "LP": card.LP.value, "oracle": card.oracle.value}
    points = {name: np.array([value]) for name, value in values.items()}
    if headroom(points, card.floor)[0] < HEADROOM - 1e-9:
        return None
    return float(recovery_of(points, card.floor)[0])
