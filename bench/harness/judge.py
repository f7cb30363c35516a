"""The judge: it alone holds judge-validation and test images, and scores every lock and every predictor."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from bench import metrics
from bench.contracts import Images, Key, KeyCondition
from bench.datasets.scenario import Scenario
from bench.guests.checks import WRONG_SHAPE
from bench.guests.failure import InvalidResult
from bench.guests.subjects import Answerer, Model
from bench.harness import red_flags
from bench.harness.keyed_images import KeyedImages
from bench.records import Condition, Flag, Measured, condition_name

BATCH = 64
SOME = 200
"""Images that near and wrong keys, and the earlier submissions of a costly predictor, are judged on: the first of the
test split. The right key, no key and the last submission get all of it."""
SAMPLES = 8
"""Images that a record keeps to look at, each of another class."""

Progress = Callable[[int, int, str], None]
Array = npt.NDArray[np.int64]
Judged = Tensor | Images | KeyedImages
"""Images that a model or predictor is judged on."""
Evidence = dict[str, npt.NDArray[np.generic]]
"""Per-image arrays by name, as `bench.records.Record` keeps them beside it."""


class LockVerdict(BaseModel):
    """What the judge measured of a lock; the fields are those of `bench.records.Record`."""

    model_config = ConfigDict(extra="forbid")

    victim_authorised: Measured | None = None
    oracle: Measured | None = None
    UP: Measured
    LP: Measured
    UP_shipped: Measured
    LP_shipped: Measured
    flags: list[Flag] = []
    key_ms_per_image: float
    key_megabytes: float
    extra_parameters: int | None = None
    LP_after_batch_norm: float | None = None


@dataclass
class AttackVerdict:
    """What the judge measured of a predictor."""

    RP: Measured
    authorised_after: Measured | None
    flags: list[Flag] = field(default_factory=list)


class Judge:
    """Scores on the test split, or (``split="judge-validation"``) on judge-validation while tuning.

    Args:
        scenario: data and splits.
        key: what the rightful user applies.
        split: which images numbers are reported on.
        device: where models run.
    """

    def __init__(self, scenario: Scenario, key: Key, split: str = "test", device: str = "cpu") -> None:
        side, other = scenario.unauthorised, scenario.authorised
        parts = side.splits
        self.index = parts.test if split == "test" else parts.judge_validation
        self.images = side.images(self.index)
        self.validation = side.images(parts.judge_validation)
        self.pool = side.images(parts.attacker).unlabelled()
        self.authorised_index = other.splits.test if split == "test" else other.splits.judge_validation
        before_key = other.images(self.authorised_index)
        self.authorised = KeyedImages(before_key, key)
        """The judged images of the authorised side, after the key."""
        self.key, self.device = key, torch.device(device)
        self.labels: Array = self.images.labels.numpy()
        self.authorised_labels: Array = before_key.labels.numpy()
        self.floor = metrics.floor(self.labels)
        self.k = scenario.spec.k

    def split_evidence(self, is_domain: bool) -> Evidence:
        """Index and labels of the judged images, of both sides where they differ."""
        out: Evidence = {"test_index": self.index.numpy(), "test_labels": self.labels}
        if is_domain:
            out |= {"authorised_index": self.authorised_index.numpy(), "authorised_labels": self.authorised_labels}
        return out

    def lock(self, victim: Model | None, locked: Model) -> tuple[LockVerdict, Evidence]:
        """UP, LP, both as shipped, the victim (if any) on both sides, the lock's red flags."""
        raw, k = self.images, self.k
        for model, what in ((victim, "victim"), (locked, "locked model")):
            if model is not None and model.k != k:
                raise InvalidResult(WRONG_SHAPE, f"the {what} has {model.k} classes, not {k}")
        evidence: Evidence = {}
        measured: dict[str, Measured] = {}

        def score(name: str, outputs: Tensor, labels: Array) -> None:
            predicted = outputs.argmax(1).numpy()
            evidence[f"pred/{name}"] = predicted
            measured[name] = score_of(predicted, labels)

        if victim is not None:
            score("victim_authorised", _outputs(victim, self.authorised)[:, :k], self.authorised_labels)
            score("oracle", victim.outputs(raw)[:, :k], self.labels)
        for side, images, labels in (("UP", self.authorised, self.authorised_labels), ("LP", raw, self.labels)):
            outputs = _outputs(locked, images)
            score(side, outputs[:, :k], labels)
            score(f"{side}_shipped", outputs, labels)
        verdict = LockVerdict(
            victim_authorised=measured.get("victim_authorised"),
            oracle=measured.get("oracle"),
            UP=measured["UP"],
            LP=measured["LP"],
            UP_shipped=measured["UP_shipped"],
            LP_shipped=measured["LP_shipped"],
            key_ms_per_image=self._key_cost(),
            key_megabytes=round(self.key.megabytes(), 3),
            extra_parameters=None if victim is None else locked.parameters - victim.parameters,
            LP_after_batch_norm=self._adapted(locked),
        )
        verdict.flags = self._lock_flags(verdict)
        return verdict, evidence

    def conditions(self, locked: Model, seed: int, progress: Progress) -> tuple[list[Condition], Evidence]:
        """The locked model under every key; the first near and the first wrong key leave samples to look at.

        Args:
            seed: draws the keys beside the right one.
            progress: called after each key.
        """
        evidence: Evidence = {}
        raw, out = self.images, []
        keys = [KeyCondition("right", "", self.key), *self.key.conditions(seed)]
        for i, condition in enumerate(keys):
            kind, name = condition.kind, condition_name(condition.kind, condition.label)
            n = len(raw) if kind == "none" else min(SOME, len(raw))
            labels = self.authorised_labels if kind == "right" else self.labels[:n]
            some = self.authorised if kind == "right" else KeyedImages(raw.subset(torch.arange(n)), condition.key)
            outputs = _outputs(locked, some)
            predicted = outputs[:, : self.k].argmax(1).numpy()
            evidence[f"pred/condition/{name}"] = predicted
            if kind in ("near", "wrong") and f"samples/{kind}" not in evidence:
                at = _one_a_class(labels, SAMPLES)
                evidence |= {
                    f"samples/{kind}": _pixels(some.at(torch.from_numpy(at))),
                    f"samples/pred_{kind}": predicted[at],
                }
                evidence[f"samples/labels_{kind}"] = labels[at]
            shipped = metrics.accuracy(outputs.argmax(1).numpy(), labels)
            out.append(
                Condition(
                    kind=kind,  # type: ignore[arg-type]  # pydantic checks it: a key method may be a guest's
                    label=condition.label,
                    what=condition.key.describe(),
                    accuracy=score_of(predicted, labels),
                    shipped=round(shipped, 4),
                )
            )
            progress(i + 1, len(keys), f"key condition {name}")
        return out, evidence

    def _key_cost(self, n: int = 32) -> float:
        """Milliseconds the key takes for an image it has not seen before, in a batch of ``n``."""
        rng = torch.Generator()
        rng.seed()
        images = torch.randint(0, 256, (n, *self.images.pixels.shape[1:]), generator=rng).float() / 255
        start = time.perf_counter()
        self.key(images)
        return round((time.perf_counter() - start) * 1000 / n, 4)

    def _adapted(self, locked: Model) -> float | None:
        """LP in percent with batch-norm statistics of the attacker's pool; None where there are no batch norms."""
        if not locked.has_batch_norm:
            return None
        answers = locked.adapted(self.pool, self.images)[:, : self.k].argmax(1).numpy()
        return round(metrics.accuracy(answers, self.labels), 4)

    def _lock_flags(self, v: LockVerdict) -> list[Flag]:
        flags = (
            red_flags.no_op(v.UP, v.LP, v.victim_authorised, v.oracle),
            red_flags.below_floor(v.LP, self.floor),
            red_flags.not_selective(v.UP, v.LP),
            red_flags.opens_when_dropped(v.LP, v.LP_shipped),
            red_flags.lives_in_batch_norm(v.LP, v.LP_after_batch_norm),
        )
        return [flag for flag in flags if flag is not None]

    def _predict(self, predictor: Answerer, images: Judged) -> Array:
        order = torch.arange(len(images))
        if predictor.transductive:  # fixed shuffled batches
            order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        return self._in_batches(predictor, images, order, BATCH)

    def _in_batches(self, predictor: Answerer, images: Judged, order: Tensor, size: int) -> Array:
        """What ``predictor`` answers to ``images`` when they come in ``order``, in batches of ``size``."""
        parts = predictor.scores(_read(images, at) for at in order.split(size))
        scores = torch.empty(len(images), self.k)
        scores[order] = torch.cat(parts)
        return np.asarray(scores.argmax(1).numpy())

    def answers(self, predictor: Answerer, some: bool = False) -> Array:
        """What a submission answers on the judged images, or on the first `SOME` of them: (N,) classes."""
        first = torch.arange(min(SOME, len(self.images)))
        return self._predict(predictor, self.images.subset(first) if some else self.images)

    def score(self, answers: Array) -> float:
        """Percent of ``answers`` to the first judged images, (n,), that are right."""
        return round(metrics.accuracy(answers, self.labels[: len(answers)]), 4)

    def validate(self, predictor: Answerer) -> Measured:
        """The predictor on judge-validation images: what a control, and the worst of an ensemble, is chosen by."""
        predicted = self._predict(predictor, self.validation)
        return score_of(predicted, self.validation.labels.numpy())

    def predictor(
        self, predictor: Answerer, answers: Array | None = None, authorised: bool = True
    ) -> tuple[AttackVerdict, Evidence]:
        """RP, the predictor on authorised images, and its red flags.

        Args:
            answers: those of the same predictor to all judged images, where they are known.
            authorised: whether it is judged on authorised images too.
        """
        predicted = self.answers(predictor) if answers is None else answers
        evidence: Evidence = {"pred/RP": predicted}
        after = None
        if authorised:
            there = self._predict(predictor, self.authorised)
            after, evidence["pred/authorised_after"] = score_of(there, self.authorised_labels), there
        flags = []
        some = self.images.take(torch.arange(min(BATCH, len(self.images)))).images
        if not predictor.transductive:  # `predicted` had these images together and in order
            changed = int((self._in_pieces(predictor, some) != predicted[:BATCH]).sum())
            flags.append(red_flags.depends_on_batch(changed, len(some)))
        rng = torch.Generator().manual_seed(2)
        noisy = (some + (torch.rand(some.shape, generator=rng) - 0.5) * (4 / 255)).clamp(0, 1)
        exact = metrics.accuracy(predicted[:BATCH], self.labels[:BATCH])
        near = metrics.accuracy(self._predict(predictor, noisy), self.labels[:BATCH])
        flags.append(red_flags.too_good_on_labels(exact, near))
        verdict = AttackVerdict(
            RP=score_of(predicted, self.labels),
            authorised_after=after,
            flags=[flag for flag in flags if flag is not None],
        )
        return verdict, evidence

    def _in_pieces(self, predictor: Answerer, images: Judged) -> Array:
        """What ``predictor`` answers when ``images`` come in another order and in batches of another size."""
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
        return self._in_batches(predictor, images, order, 23)

    def samples(self, locked: Model, predictor: Answerer | None, n: int = SAMPLES) -> Evidence:
        """A few judged images, raw, after the key and after the attacker's transform, with answers."""
        at = _one_a_class(self.labels, n)
        raw = self.images.take(torch.from_numpy(at)).images
        key = self.authorised.at(torch.from_numpy(_one_a_class(self.authorised_labels, n)))
        images = {"raw": raw, "key": key}
        answers = {
            "labels": torch.from_numpy(self.labels)[at],
            "pred_raw": locked.outputs(raw)[:, : self.k].argmax(1),
            "pred_key": locked.outputs(key)[:, : self.k].argmax(1),
        }
        if predictor is not None:
            answers["pred_guess"] = torch.from_numpy(self._predict(predictor, raw))
            seen = predictor.transformed(raw)
            if seen is not None:
                images["guess"] = seen
        pictures: Evidence = {f"samples/{n}": _pixels(x) for n, x in images.items()}
        return pictures | {f"samples/{n}": x.numpy() for n, x in answers.items()}


def _read(images: Judged, at: Tensor) -> Tensor:
    """(M, 3, H, W) float32 in [0, 1] at ``at`` (M,) int64."""
    if isinstance(images, Tensor):
        return images[at]
    return images.take(at).images if isinstance(images, Images) else images.at(at)


def _outputs(model: Model, images: Images | KeyedImages) -> Tensor:
    """As `Model.outputs`, for images that need not fit into memory at once."""
    if isinstance(images, Images):
        return model.outputs(images)
    return torch.cat([model.outputs(some) for some in images.chunks()])


def score_of(predicted: Array, labels: Array) -> Measured:
    """Accuracy of ``predicted`` (n,) with its image interval."""
    low, high = metrics.image_interval(predicted == labels)
    return Measured(
        value=round(metrics.accuracy(predicted, labels), 4), n=len(labels), low=round(low, 4), high=round(high, 4)
    )


def _pixels(images: Tensor) -> npt.NDArray[np.uint8]:
    return np.asarray((images * 255).round().byte().numpy())


def _one_a_class(labels: Array, n: int) -> Array:
    firsts = [int(np.flatnonzero(labels == k)[0]) for k in np.unique(labels)]
    return np.array(firsts[:n])
