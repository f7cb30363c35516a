"""What each side may see. What it may not see raises `AccessDenied`, and the view remembers that it was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bench.contracts import (
    AccessDenied,
    Budget,
    BudgetSpent,
    Classifier,
    DefenderNeeds,
    Images,
    Key,
    Meter,
    Spec,
    ThreatModel,
)
from bench.training import jitter

Augment = Callable[[Tensor, torch.Generator], Tensor]
PublicModel = Callable[[int], Classifier]


class DefenderView:
    """The owner's data: authorised images are keyed, un-authorised ones raw, each made when first asked for.

    Args:
        spec: the task.
        raw, validation: labelled training and validation images of the authorised side, before the key.
        key: None while the key is being made.
        needs: what the lock declared; the rest raises `AccessDenied`.
        public_model: makes the public model with so many extra outputs.
        unauthorised: training and validation images of the un-authorised side, where it is other data.
        augment: how the victim's training images were varied; a lock that trains varies its images likewise.
    """

    def __init__(
        self,
        spec: Spec,
        raw: Images,
        validation: Images,
        key: Key | None,
        needs: DefenderNeeds,
        public_model: PublicModel,
        unauthorised: tuple[Images, Images] | None = None,
        augment: Augment = jitter,
    ) -> None:
        self.spec, self.augment = spec, augment
        self._other = unauthorised or (raw, validation)
        self._raw, self._validation, self._key = raw, validation, key
        self._needs, self._public_model = needs, public_model
        self._made: dict[str, Images] = {}
        self.denied: list[str] = []

    def _deny(self, what: str) -> AccessDenied:
        self.denied.append(what)
        return AccessDenied(f"{what}: not among this lock's needs()")

    def _keyed(self, name: str, images: Images) -> Images:
        if name not in self._made:
            if self._key is None:
                raise self._deny(f"{name} before there is a key")
            keyed = (self._key(images.images) * 255).round().clamp(0, 255)
            self._made[name] = Images(keyed.byte(), images.labels)
        return self._made[name]

    def _side(self, name: str, images: Images, allowed: bool, labelled: bool) -> Images:
        if not allowed:
            raise self._deny(name)
        return images if labelled else images.unlabelled()

    @property
    def authorised(self) -> Images:
        """Training images after the key."""
        needs = self._needs
        if not needs.authorised:
            raise self._deny("authorised")
        return self._side("authorised", self._keyed("authorised", self._raw), True, needs.authorised_labels)

    @property
    def unauthorised(self) -> Images:
        """Training images that the model shall fail on: those before the key, or those of the other domain."""
        needs = self._needs
        return self._side("unauthorised", self._other[0], needs.unauthorised, needs.unauthorised_labels)

    @property
    def raw(self) -> Images:
        """Training images of the authorised side before the key."""
        return self._side("raw", self._raw, self._needs.raw, True)

    @property
    def validation_authorised(self) -> Images:
        """The owner's validation images after the key."""
        if not self._needs.authorised:
            raise self._deny("validation_authorised")
        keyed = self._keyed("validation", self._validation)
        return self._side("validation_authorised", keyed, True, self._needs.authorised_labels)

    @property
    def validation_unauthorised(self) -> Images:
        """The owner's validation images of the un-authorised side."""
        needs = self._needs
        return self._side("validation_unauthorised", self._other[1], needs.unauthorised, needs.unauthorised_labels)

    def public_model(self, extra: int = 0) -> Classifier:
        """The victim's architecture with public weights."""
        return self._public_model(extra)


class AttackerView:
    """What a threat model grants, materialised: the attack's process holds nothing else.

    Args:
        spec: the task.
        threat, budget: of the cell.
        granted: by name, what was handed over: classifier, labelled, unlabelled, authorised, leaked_pairs, words.
        known: the known key parts.
        public_model: makes the public model with so many extra outputs.
        answer: asks the locked model behind its interface; None where there is none.
        meter: counts queries.
    """

    def __init__(
        self,
        spec: Spec,
        threat: ThreatModel,
        budget: Budget,
        granted: Mapping[str, Any],
        known: Mapping[str, Any],
        public_model: PublicModel,
        answer: Callable[[Tensor], Tensor] | None,
        meter: Meter,
    ) -> None:
        self.spec, self.threat, self.budget = spec, threat, budget
        self._granted, self._known = dict(granted), dict(known)
        self._public_model, self._answer, self._meter = public_model, answer, meter
        self.denied: list[str] = []
        meter.labelled = len(granted["labelled"]) if "labelled" in granted else 0
        meter.authorised = len(granted["authorised"]) if "authorised" in granted else 0
        meter.leaked = len(granted["leaked_pairs"][0]) if "leaked_pairs" in granted else 0
        meter.queries = 0 if answer is not None else None

    def _get(self, what: str) -> Any:
        if what not in self._granted:
            self.denied.append(what)
            raise AccessDenied(f"{what}: withheld by the threat model ({self.threat.values()})")
        return self._granted[what]

    @property
    def classifier(self) -> Classifier:
        """The locked model itself, in evaluation mode; white-box only."""
        model: Classifier = self._get("classifier")
        return model

    @property
    def labelled(self) -> Images:
        """Labelled un-authorised images."""
        images: Images = self._get("labelled")
        return images

    @property
    def unlabelled(self) -> Images:
        """Un-labelled un-authorised images of the attacker pool."""
        images: Images = self._get("unlabelled")
        return images

    @property
    def authorised(self) -> Images:
        """Labelled authorised images."""
        images: Images = self._get("authorised")
        return images

    @property
    def leaked_pairs(self) -> tuple[Images, Images]:
        """Raw images and the same images after the key."""
        pairs: tuple[Images, Images] = self._get("leaked_pairs")
        return pairs

    @property
    def known(self) -> Mapping[str, Any]:
        """The key parts the attacker knows, by name."""
        return dict(self._known)

    def query(self, images: Tensor) -> Tensor:
        """The locked model's answer to ``images`` (N, 3, H, W): (N, K + extra) logits, or ones at the label.

        Raises:
            AccessDenied: the threat model gives no interface.
            BudgetSpent: the query budget does not cover the images.
        """
        if self._answer is None:
            self.denied.append("query")
            raise AccessDenied("query: the threat model gives no interface to the locked model")
        spent = self._meter.queries or 0
        if self.budget.queries is not None and spent + len(images) > self.budget.queries:
            raise BudgetSpent(f"queries: {self.budget.queries}")
        self._meter.queries = spent + len(images)
        return self._answer(images)

    def wordlist(self) -> Sequence[str]:
        """The concepts the attacker would try, in order; the harness has dropped what the threat model drops."""
        words: Sequence[str] = self._get("words")
        return words

    def public_model(self, extra: int = 0) -> Classifier:
        """The victim's architecture with public weights, as anyone may have it."""
        return self._public_model(extra)
