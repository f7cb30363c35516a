"""What each side may see: the views of `bench.contracts`. A withheld read raises `AccessDenied` and is noted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from bench import mapped
from bench.augment import jitter
from bench.contracts import (
    AccessDenied,
    Augment,
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
from bench.harness.keyed_images import with_masks_after

PublicModel = Callable[[int], Classifier]
Proposer = Callable[[int, Mapping[str, float]], Sequence[str]]
CHUNK = 256 << 20
"""Bytes of float images that a key is handed at once."""


def keyed(key: Callable[[Tensor], Tensor], images: Images) -> Images:
    """``images`` after ``key``, in 8 bit, with their labels; the key sees at most `CHUNK` bytes at once."""
    n, channels, height, width = images.shape
    size = max(64, CHUNK // (4 * channels * height * width) // 64 * 64)
    if n <= size:
        return with_masks_after(key, images.with_pixels(_bytes(key(images.images))))
    out = mapped.empty(images.shape)
    for batch in images.batches(size):
        out[batch.index] = _bytes(key(batch.images))
    return with_masks_after(key, images.with_pixels(out))


def _bytes(images: Tensor) -> Tensor:
    return (images * 255).round().clamp(0, 255).byte()


class DefenderView:
    """The owner's data: authorised images are keyed, unauthorised ones raw, each made when first read.

    Args:
        spec: the task.
        raw, validation: labelled training and validation images of the authorised side, before the key.
        key: None while the key is being made.
        needs: what the lock declared; the rest raises `AccessDenied`.
        public_model: makes the public model with so many extra outputs.
        unauthorised: training and validation images of the unauthorised side, where it is other data.
        augment: how the victim's training images were varied.

    Attributes:
        denied: names of what was read without being declared.
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
        self._after_key: dict[str, Images] = {}
        self.denied: list[str] = []

    def _deny(self, what: str) -> AccessDenied:
        self.denied.append(what)
        return AccessDenied(f"{what}: not among this lock's needs()")

    def _keyed(self, name: str, images: Images) -> Images:
        if name not in self._after_key:
            if self._key is None:
                raise self._deny(f"{name} before there is a key")
            after = keyed(self._key, images)
            last = getattr(self._key, "comes_last", False) and not images.has_masks  # masks cannot follow both
            self._after_key[name] = after.made_of(images, self._key) if last else after
        return self._after_key[name]

    def _side(self, name: str, images: Images, allowed: bool, labelled: bool) -> Images:
        if not allowed:
            raise self._deny(name)
        return images if labelled else images.unlabelled()

    @property
    def authorised(self) -> Images:
        needs = self._needs
        if not needs.authorised:
            raise self._deny("authorised")
        return self._side("authorised", self._keyed("authorised", self._raw), True, needs.authorised_labels)

    @property
    def unauthorised(self) -> Images:
        needs = self._needs
        return self._side("unauthorised", self._other[0], needs.unauthorised, needs.unauthorised_labels)

    @property
    def raw(self) -> Images:
        return self._side("raw", self._raw, self._needs.raw, True)

    @property
    def validation_authorised(self) -> Images:
        if not self._needs.authorised:
            raise self._deny("validation_authorised")
        keyed = self._keyed("validation", self._validation)
        return self._side("validation_authorised", keyed, True, self._needs.authorised_labels)

    @property
    def validation_unauthorised(self) -> Images:
        needs = self._needs
        return self._side("validation_unauthorised", self._other[1], needs.unauthorised, needs.unauthorised_labels)

    def public_model(self, extra: int = 0) -> Classifier:
        return self._public_model(extra)


class AttackerView:
    """What a threat model grants, materialised: the attack's process holds nothing else.

    Args:
        spec: the task.
        threat, budget: of the cell.
        granted: by name, what was handed over: classifier, labelled, unlabelled, authorised, leaked_pairs, words.
        known: the known key parts.
        public_model: makes the public model with so many extra outputs.
        answer: the locked model behind its interface; None where there is none.
        meter: counts queries and calls.
        proposals: the language model behind the harness's questions; None where there is none.

    Attributes:
        denied: names of what was read although the threat model withholds it.
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
        proposals: Proposer | None = None,
    ) -> None:
        self.spec, self.threat, self.budget = spec, threat, budget
        self._granted, self._known = dict(granted), dict(known)
        self._public_model, self._answer, self._meter = public_model, answer, meter
        self._proposals = proposals
        self.denied: list[str] = []
        meter.labelled = len(granted["labelled"]) if "labelled" in granted else 0
        meter.authorised = len(granted["authorised"]) if "authorised" in granted else 0
        meter.leaked = len(granted["leaked_pairs"][0]) if "leaked_pairs" in granted else 0
        meter.queries = 0 if answer is not None else None

    def grant(self, what: str) -> Any:
        """What the threat model grants under the name ``what``.

        Raises:
            AccessDenied: it withholds it; that is noted in ``denied``.
        """
        if what not in self._granted:
            self.denied.append(what)
            raise AccessDenied(f"{what}: withheld by the threat model ({self.threat.values()})")
        return self._granted[what]

    @property
    def classifier(self) -> Classifier:
        model: Classifier = self.grant("classifier")
        return model

    @property
    def labelled(self) -> Images:
        images: Images = self.grant("labelled")
        return images

    @property
    def unlabelled(self) -> Images:
        images: Images = self.grant("unlabelled")
        return images

    @property
    def authorised(self) -> Images:
        images: Images = self.grant("authorised")
        return images

    @property
    def leaked_pairs(self) -> tuple[Images, Images]:
        pairs: tuple[Images, Images] = self.grant("leaked_pairs")
        return pairs

    @property
    def known(self) -> Mapping[str, Any]:
        return dict(self._known)

    def query(self, images: Tensor) -> Tensor:
        if self._answer is None:
            self.denied.append("query")
            raise AccessDenied("query: the threat model gives no interface to the locked model")
        spent = self._meter.queries or 0
        if self.budget.queries is not None and spent + len(images) > self.budget.queries:
            raise BudgetSpent(f"queries: {self.budget.queries}")
        self._meter.queries = spent + len(images)
        return self._answer(images)

    def propose(self, n: int, scores: Mapping[str, float]) -> Sequence[str]:
        if self._proposals is None:
            self.denied.append("propose")
            raise AccessDenied("propose: the threat model gives no language model")
        if self._meter.calls >= self.budget.most_calls:
            raise BudgetSpent(f"calls: {self.budget.most_calls}")
        self._meter.calls += 1
        return self._proposals(n, scores)

    def wordlist(self) -> Sequence[str]:
        words: Sequence[str] = self.grant("words")
        return words

    def public_model(self, extra: int = 0) -> Classifier:
        return self._public_model(extra)
