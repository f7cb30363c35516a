"""The judge: it alone holds judge-validation and test images, and scores every lock and every predictor."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from bench import measures, metrics, red_flags
from bench.contracts import Images, Key, KeyCondition
from bench.datasets.scenario import Scenario
from bench.guests.checks import WRONG_SHAPE
from bench.guests.failure import InvalidResult
from bench.guests.subjects import Answerer, Model
from bench.harness.keyed_images import KeyedImages, labels_after
from bench.harness.under_key import held_megabytes, under
from bench.records import Condition, Flag, Measured, condition_name

BATCH = 64
PIECE = 23
"""Images of a batch when answers are asked for once more, to see whether they depend on the batch."""
SAMPLES = 8
"""Images that a record keeps to look at, each of another class."""

Progress = Callable[[int, int, str], None]
Array = npt.NDArray[Any]
"""Answers to images, one entry each: see `bench.measures`."""
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
        self.validation_index = parts.judge_validation
        self.validation = side.images(self.validation_index)
        self.pool = side.images(parts.attacker).unlabelled()
        self.authorised_index = other.splits.test if split == "test" else other.splits.judge_validation
        before_key = other.images(self.authorised_index)
        self.authorised = KeyedImages(before_key, key)
        """The judged images of the authorised side, after the key."""
        self.key, self.device = key, torch.device(device)
        self.k, self.dense = scenario.spec.k, scenario.spec.is_dense
        self.measure = measures.of(scenario.spec)
        self.labels = labels_after(None, self.images)
        """(N,) int64, or masks (N, H, W) uint8."""
        self.authorised_labels = labels_after(key, before_key)
        self.validation_labels = labels_after(None, self.validation)
        self.some = torch.from_numpy(metrics.at_random(len(self.images)))
        """Places of the images that near and wrong keys, and earlier submissions of a costly predictor, are judged on.
        The right key, no key and the last submission get all images."""
        self._constant = self.measure.constant(self.labels)
        self.floor = self.measure.value(self._constant, self.labels)
        self._main_classes = side.dataset.labels[self.index].numpy()
        content = hashlib.sha256(self._main_classes.tobytes() + self.index.numpy().tobytes())
        self._secret = int.from_bytes(content.digest()[:7], "big")
        self._again = torch.from_numpy(metrics.at_random(len(self.images), BATCH))
        """Places of the images that are asked about once more, in other batches or changed a little."""
        self._shown = torch.from_numpy(_one_a_class(self._main_classes[self.some.numpy()], SAMPLES))
        """Places, among `some`, of the images that a record keeps to look at: the same under every key."""
        authorised = _one_a_class(other.dataset.labels[self.authorised_index].numpy(), SAMPLES)
        self._shown_authorised = self.some[self._shown] if side is other else torch.from_numpy(authorised)

    def split_evidence(self, is_domain: bool) -> Evidence:
        """Index of the judged images, and the labels of classification, of both sides where they differ; the same of
        judge-validation images.

        ``some`` has the places of those that near and wrong keys are judged on.
        """
        out: Evidence = {"test_index": self.index.numpy(), "some": self.some.numpy()}
        out["validation_index"] = self.validation_index.numpy()
        if is_domain:
            out["authorised_index"] = self.authorised_index.numpy()
        if self.dense:  # the true pixels of each class are in it
            out[self._name("floor")] = self._constant
        else:
            out["test_labels"] = self.labels.numpy()
            out["validation_labels"] = self.validation_labels.numpy()
            if is_domain:
                out["authorised_labels"] = self.authorised_labels.numpy()
        return out

    def lock(self, victim: Model | None, locked: Model) -> tuple[LockVerdict, Evidence]:
        """UP, LP, both as shipped, the victim (if any) on both sides, the lock's red flags."""
        raw, k = self.images, self.k
        for subject, what in ((victim, "victim"), (locked, "locked model")):
            if subject is not None and subject.k != k:
                raise InvalidResult(WRONG_SHAPE, f"the {what} has {subject.k} classes, not {k}")
        evidence: Evidence = {}
        measured: dict[str, Measured] = {}

        def score(name: str, answers: Array, labels: Tensor) -> None:
            evidence[self._name(name)] = answers
            measured[name] = self.measure.measured(answers, labels)

        if victim is not None:
            score("victim_authorised", self._of(victim, self.authorised)[0], self.authorised_labels)
            score("oracle", self._of(victim, raw)[0], self.labels)
        for name, model, images, labels in (
            ("UP", under(locked, self.key), self.authorised, self.authorised_labels),
            ("LP", locked, raw, self.labels),
        ):
            answers, shipped = self._of(model, images)
            score(name, answers, labels)
            score(f"{name}_shipped", shipped, labels)
        verdict = LockVerdict(
            victim_authorised=measured.get("victim_authorised"),
            oracle=measured.get("oracle"),
            UP=measured["UP"],
            LP=measured["LP"],
            UP_shipped=measured["UP_shipped"],
            LP_shipped=measured["LP_shipped"],
            key_ms_per_image=self._key_cost(),
            key_megabytes=round(self.key.megabytes() + held_megabytes(locked), 3),
            extra_parameters=None if victim is None else locked.parameters - victim.parameters,
            LP_after_batch_norm=self._adapted(locked),
        )
        few = self._few()
        verdict.flags = self._lock_flags(verdict, self.measure.value(evidence[self._name("LP")][few], self.labels[few]))
        changed = self._changed_in_pieces(locked, evidence[self._name("LP")])
        if (flag := red_flags.depends_on_batch(changed, len(self._again))) is not None:
            verdict.flags.append(flag)
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
            judged = raw if kind == "none" else raw.subset(self.some)
            labels = self.authorised_labels if kind == "right" else labels_after(condition.key, judged)
            some = self.authorised if kind == "right" else KeyedImages(judged, condition.key)
            model = under(locked, condition.key)
            answers, shipped = self._of(model, some, labels)
            evidence[self._name(f"condition/{name}")] = answers
            if kind in ("near", "wrong") and f"samples/{kind}" not in evidence:
                at = self._shown
                images = some.at(at)
                evidence |= {
                    f"samples/{kind}": _pixels(images),
                    f"samples/pred_{kind}": self._classes(model.outputs(images)),
                    f"samples/labels_{kind}": labels[at].numpy(),
                }
            out.append(
                Condition(
                    kind=kind,  # type: ignore[arg-type]  # pydantic checks it: a key method may be a guest's
                    label=condition.label,
                    what=condition.key.describe(),
                    accuracy=self.measure.measured(answers, labels),
                    shipped=self.measure.value(shipped, labels),
                )
            )
            progress(i + 1, len(keys), f"key condition {name}")
        return out, evidence

    def _changed_in_pieces(self, locked: Model, answered: Array) -> int:
        """How many of the locked model's answers to some raw images change when they come a few at a time."""
        some, labels = self.images.take(self._again).images, self.labels[self._again]
        outputs = torch.cat([locked.outputs(part) for part in some.split(PIECE)])
        return self.measure.changed(self.measure.answers(outputs[:, : self.k], labels), answered[self._again.numpy()])

    def _key_cost(self, n: int = 32) -> float:
        """Milliseconds the key takes for an image it has not seen before, in a batch of ``n``."""
        rng = torch.Generator()
        rng.seed()
        images = torch.randint(0, 256, (n, *self.images.pixels.shape[1:]), generator=rng).float() / 255
        start = time.perf_counter()
        self.key(images)
        return round((time.perf_counter() - start) * 1000 / n, 4)

    def _adapted(self, locked: Model) -> float | None:
        """LP in percent with batch-norm statistics of the attacker's pool; None where there are no batch norms.

        In segmentation on `some` images: their outputs lie in memory together.
        """
        if not locked.has_batch_norm:
            return None
        few = self._few()
        outputs = locked.adapted(self.pool, self.images.subset(few) if self.dense else self.images)
        return self.measure.value(self.measure.answers(outputs[:, : self.k], self.labels[few]), self.labels[few])

    def _few(self) -> Tensor:
        """Places of the images that the adapted model is judged on."""
        return self.some if self.dense else torch.arange(len(self.images))

    def _lock_flags(self, v: LockVerdict, LP_of_few: float) -> list[Flag]:
        flags = (
            red_flags.no_op(v.UP, v.LP, v.victim_authorised, v.oracle),
            # A mask of one class lies below the best constant mask, and tells nothing.
            None if self.dense else red_flags.below_floor(v.LP, self.floor),
            red_flags.not_selective(v.UP, v.LP),
            red_flags.opens_when_dropped(v.LP, v.LP_shipped),
            red_flags.lives_in_batch_norm(LP_of_few, v.LP_after_batch_norm),
        )
        return [flag for flag in flags if flag is not None]

    def _name(self, what: str) -> str:
        """Of the evidence behind a number."""
        return f"{self.measure.prefix}/{what}"

    def _of(self, model: Model, images: Images | KeyedImages, labels: Tensor | None = None) -> tuple[Array, Array]:
        """What ``model`` answers to ``images`` over the K real classes, and over all outputs it ships."""
        if labels is None:
            labels = self.authorised_labels if images is self.authorised else self.labels
        real, shipped = [], []
        for at, outputs in self._outputs(model, images):
            real.append(self.measure.answers(outputs[:, : self.k], labels[at]))
            shipped.append(self.measure.answers(outputs, labels[at]))
        return np.concatenate(real), np.concatenate(shipped)

    def _outputs(self, model: Model, images: Images | KeyedImages) -> Iterator[tuple[slice, Tensor]]:
        """Places of ``images``, and what `Model.outputs` says there: images and masks need not fit into memory."""
        if isinstance(images, Images):
            if not self.dense:
                yield slice(None), model.outputs(images)
                return
            parts: Iterator[Tensor] = (batch.images for batch in images.batches(BATCH))
        else:
            parts = (some for chunk in images.chunks() for some in (chunk.split(BATCH) if self.dense else [chunk]))
        done = 0
        for part in parts:
            yield slice(done, done + len(part)), model.outputs(part)
            done += len(part)

    def _classes(self, outputs: Tensor) -> npt.NDArray[Any]:
        """The real class of each image or pixel, for samples."""
        classes = outputs[:, : self.k].argmax(1)
        return np.asarray((classes.byte() if self.dense else classes).numpy())

    def _predict(self, predictor: Answerer, images: Judged, labels: Tensor) -> Array:
        return self._in_batches(predictor, images, labels, self._order(len(images)), BATCH)

    def _order(self, n: int) -> Tensor:
        """(n,) int64: the order in which images come, always alike.

        It is shuffled, since a set may be sorted by class, and then a place would tell the class. It is drawn from the
        judge's own labels, so that nobody who lacks them can know it.
        """
        return torch.randperm(n, generator=torch.Generator().manual_seed(self._secret))

    def _in_batches(self, predictor: Answerer, images: Judged, labels: Tensor, order: Tensor, size: int) -> Array:
        """What ``predictor`` answers to ``images`` when they come in ``order``, in batches of ``size``."""
        batches = order.split(size)
        parts = predictor.scores(_read(images, at) for at in batches)
        answers = np.concatenate(
            [self.measure.answers(scores, labels[at]) for at, scores in zip(batches, parts, strict=True)]
        )
        return np.asarray(answers[np.argsort(order.numpy())])

    def answers(self, predictor: Answerer, some: bool = False) -> Array:
        """What a submission answers on the judged images, or on `some` of them."""
        if some:
            return self._predict(predictor, self.images.subset(self.some), self.labels[self.some])
        return self._predict(predictor, self.images, self.labels)

    def score(self, answers: Array) -> float:
        """Percent that ``answers`` to all judged images reach, or to `some` of them."""
        return self.measure.value(answers, self.labels if len(answers) == len(self.labels) else self.labels[self.some])

    def measured(self, answers: Array) -> Measured:
        """The same for all judged images, with its interval."""
        return self.measure.measured(answers, self.labels)

    def named(self, answers: Array) -> Evidence:
        """``answers`` to all judged images as the evidence behind RP."""
        return {self._name("RP"): answers}

    def validate(self, predictor: Answerer) -> tuple[Measured, Evidence]:
        """The predictor on judge-validation images: what a control, and the worst of an ensemble, is chosen by."""
        answers = self._predict(predictor, self.validation, self.validation_labels)
        return self.measure.measured(answers, self.validation_labels), {self._name("RP_validation"): answers}

    def predictor(
        self, predictor: Answerer, answers: Array | None = None, authorised: bool = True
    ) -> tuple[AttackVerdict, Evidence]:
        """RP, the predictor on authorised images, and its red flags.

        Args:
            answers: those of the same predictor to all judged images, where they are known.
            authorised: whether it is judged on authorised images too.
        """
        predicted = self.answers(predictor) if answers is None else answers
        evidence: Evidence = self.named(predicted)
        after = None
        if authorised:
            there = self._predict(predictor, self.authorised, self.authorised_labels)
            after = self.measure.measured(there, self.authorised_labels)
            evidence[self._name("authorised_after")] = there
        flags = []
        at = self._again
        some, labels = self.images.take(at).images, self.labels[at]
        if not predictor.transductive:  # `predicted` had these images in other batches
            changed = self.measure.changed(self._in_pieces(predictor, some, labels), predicted[at.numpy()])
            flags.append(red_flags.depends_on_batch(changed, len(some)))
        rng = torch.Generator().manual_seed(2)
        noisy = (some + (torch.rand(some.shape, generator=rng) - 0.5) * (4 / 255)).clamp(0, 1)
        exact = self.measure.value(predicted[at.numpy()], labels)
        near = self.measure.value(self._predict(predictor, noisy, labels), labels)
        flags.append(red_flags.too_good_on_labels(exact, near))
        verdict = AttackVerdict(
            RP=self.measured(predicted),
            authorised_after=after,
            flags=[flag for flag in flags if flag is not None],
        )
        return verdict, evidence

    def _in_pieces(self, predictor: Answerer, images: Judged, labels: Tensor) -> Array:
        """What ``predictor`` answers when ``images`` come in another order and in batches of another size."""
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
        return self._in_batches(predictor, images, labels, order, PIECE)

    def samples(self, locked: Model, predictor: Answerer | None) -> Evidence:
        """A few judged images, raw, after the key and after the attacker's transform, with answers."""
        at = self.some[self._shown]
        raw = self.images.take(at).images
        key = self.authorised.at(self._shown_authorised)
        images = {"raw": raw, "key": key}
        answers = {
            "labels": self.labels[at].numpy(),
            "pred_raw": self._classes(locked.outputs(raw)),
            "pred_key": self._classes(under(locked, self.key).outputs(key)),
        }
        if predictor is not None:
            order = self._order(len(raw))
            scores = torch.cat(list(predictor.scores([raw[order]])))
            answers["pred_guess"] = self._classes(scores[torch.argsort(order)])
            seen = predictor.transformed(raw)
            if seen is not None:
                images["guess"] = seen
        pictures: Evidence = {f"samples/{n}": _pixels(x) for n, x in images.items()}
        return pictures | {f"samples/{n}": x for n, x in answers.items()}


def _read(images: Judged, at: Tensor) -> Tensor:
    """(M, 3, H, W) float32 in [0, 1] at ``at`` (M,) int64."""
    if isinstance(images, Tensor):
        return images[at]
    return images.take(at).images if isinstance(images, Images) else images.at(at)


def _pixels(images: Tensor) -> npt.NDArray[np.uint8]:
    return np.asarray((images * 255).round().byte().numpy())


def _one_a_class(labels: Array, n: int) -> Array:
    firsts = [int(np.flatnonzero(labels == k)[0]) for k in np.unique(labels)]
    return np.array(firsts[:n])
