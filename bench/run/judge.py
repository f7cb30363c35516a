"""The judge: it alone holds judge-validation and test images, and scores every lock and every predictor."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench import metrics, models
from bench.contracts import Classifier, Key, Predictor
from bench.datasets.scenario import Scenario
from bench.records import Condition, Flag, Measured

BATCH = 64
SOME = 200
"""Images that near and wrong keys, and an attack's earlier guesses, are judged on, the first of the test split; the
right key, no key and the predictor that an attack ends with get all of it."""
SAMPLES = 8
"""Images that a record keeps to look at, each of another class."""
NO_OP, MARGIN, DROPPED, NORM, LABELS = 2.0, 2.0, 10.0, 10.0, 20.0
"""Thresholds of the red flags in points; docs/flags.md explains each."""

Progress = Callable[[int, int, str], None]


@dataclass
class Verdict:
    """What the judge measured, and the evidence for it."""

    measured: dict[str, Measured] = field(default_factory=dict)
    conditions: list[Condition] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)
    evidence: dict[str, np.ndarray] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


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
        self._before_key = other.images(self.authorised_index)
        self.key, self.device = key, torch.device(device)
        assert self.images.labels is not None
        assert self._before_key.labels is not None
        self.labels = self.images.labels.numpy()
        self.authorised_labels = self._before_key.labels.numpy()
        self.floor = metrics.floor(self.labels)
        self._authorised: Tensor | None = None

    @property
    def authorised(self) -> Tensor:
        """The judged images of the authorised side, after the key."""
        if self._authorised is None:
            self._authorised = self.key(self._before_key.images)
        return self._authorised

    def _score(self, predicted: np.ndarray, labels: np.ndarray | None = None) -> Measured:
        labels = self.labels if labels is None else labels
        low, high = metrics.image_interval(predicted == labels)
        return Measured(
            value=round(metrics.accuracy(predicted, labels), 4), n=len(labels), low=round(low, 4), high=round(high, 4)
        )

    def lock(self, victim: Classifier | None, locked: Classifier, seed: int, progress: Progress) -> Verdict:
        """UP, LP, both as shipped, the victim (if any) on both sides, key conditions, the lock's red flags."""
        out = Verdict()
        locked = locked.to(self.device)
        raw = self.images.images
        k = locked.k

        def note(name: str, outputs: Tensor, labels: np.ndarray) -> None:
            predicted = outputs.argmax(1).numpy()
            out.evidence[f"pred/{name}"] = predicted
            out.measured[name] = self._score(predicted, labels)

        if victim is not None:
            victim = victim.to(self.device)
            note("victim_authorised", models.logits(victim, self.authorised)[:, :k], self.authorised_labels)
            note("oracle", models.logits(victim, raw)[:, :k], self.labels)
        for side, images, labels in (("UP", self.authorised, self.authorised_labels), ("LP", raw, self.labels)):
            outputs = models.logits(locked, images)
            note(side, outputs[:, :k], labels)
            note(f"{side}_shipped", outputs, labels)
        keys = {"right": self.key, **self.key.conditions(seed)}
        for i, (name, key) in enumerate(keys.items()):
            n = len(raw) if name == "none" else min(SOME, len(raw))
            labels = self.authorised_labels if name == "right" else self.labels[:n]
            keyed = self.authorised if name == "right" else key(raw[:n])
            outputs = models.logits(locked, keyed)
            predicted = outputs[:, :k].argmax(1).numpy()
            shipped = metrics.accuracy(outputs.argmax(1).numpy(), labels)
            out.evidence[f"pred/condition/{name}"] = predicted
            kind, slash, _ = name.partition("/")
            if slash and f"samples/{kind}" not in out.evidence:  # the first near and the first wrong key, to look at
                at = _one_a_class(labels, SAMPLES)
                out.evidence |= {f"samples/{kind}": _pixels(keyed[at]), f"samples/pred_{kind}": predicted[at]}
                out.evidence[f"samples/labels_{kind}"] = labels[at]
            out.conditions.append(
                Condition(
                    name=name,
                    what=in_words(key),
                    accuracy=self._score(predicted, labels),
                    shipped=round(shipped, 4),
                )
            )
            progress(i + 1, len(keys), f"key condition {name}")
        self._lock_flags(out, locked)
        out.notes["key_ms_per_image"] = self._key_cost()
        out.notes["key_megabytes"] = round(getattr(self.key, "megabytes", lambda: 0.0)(), 3)
        out.notes["extra_parameters"] = None if victim is None else _parameters(locked) - _parameters(victim)
        return out

    def _key_cost(self, n: int = 32) -> float:
        """Milliseconds the key takes for an image it has not seen before, in a batch of ``n``."""
        rng = torch.Generator()
        rng.seed()
        images = torch.randint(0, 256, (n, *self.images.pixels.shape[1:]), generator=rng).float() / 255
        start = time.perf_counter()
        self.key(images)
        return round((time.perf_counter() - start) * 1000 / n, 4)

    def _lock_flags(self, out: Verdict, locked: Classifier) -> None:
        value = {name: m.value for name, m in out.measured.items()}
        sides = (("UP", "victim_authorised"), ("LP", "oracle"))
        if "oracle" in value and all(abs(value[side] - value[before]) < NO_OP for side, before in sides):
            out.flags.append(Flag(name="lock-is-a-no-op", detail=f"UP and LP within {NO_OP:g} points of the victim"))
        if value["LP"] + MARGIN < self.floor:
            detail = f"LP {value['LP']:.1f} is below the floor {self.floor:.1f}: wrong answers tell the right one"
            out.flags.append(Flag(name="lp-below-floor", detail=detail))
        if value["UP"] <= value["LP"] + MARGIN:
            out.flags.append(Flag(name="up-not-above-lp", detail=f"UP {value['UP']:.1f}, LP {value['LP']:.1f}"))
        if value["LP"] > value["LP_shipped"] + DROPPED:
            detail = f"LP is {value['LP']:.1f} over the real classes, {value['LP_shipped']:.1f} as shipped"
            out.flags.append(Flag(name="opens-when-outputs-dropped", detail=detail))
        if models.has_batch_norm(locked):
            again = copy.deepcopy(locked)
            models.reestimate_batch_norm(again, self.pool.images.to(self.device))
            reached = metrics.accuracy(
                models.logits(again, self.images.images)[:, : locked.k].argmax(1).numpy(), self.labels
            )
            out.notes["LP_after_batch_norm"] = round(reached, 4)
            if reached > value["LP"] + NORM:
                detail = f"re-estimated batch-norm statistics raise LP from {value['LP']:.1f} to {reached:.1f}"
                out.flags.append(Flag(name="lives-in-batch-norm", detail=detail))

    def _predict(self, predictor: Predictor, images: Tensor) -> np.ndarray:
        if predictor.transductive:  # a fresh copy, fixed shuffled batches
            predictor = copy.deepcopy(predictor)
            order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        else:
            order = torch.arange(len(images))
        parts = []
        with torch.no_grad():
            for at in order.split(BATCH):
                parts.append(predictor.predict(images[at].to(self.device)).float().cpu())
        scores = torch.empty(len(images), parts[0].shape[1])
        scores[order] = torch.cat(parts)
        return scores.argmax(1).numpy()

    def answers(self, predictor: Predictor, few: bool = False) -> np.ndarray:
        """What a submission answers on the judged images, or on the first `SOME` of them: (N,) classes."""
        images = self.images.images
        return self._predict(predictor.to(self.device), images[:SOME] if few else images)

    def score(self, answers: np.ndarray) -> float:
        """Percent of ``answers`` to the first judged images, (n,), that are right."""
        return round(metrics.accuracy(answers, self.labels[: len(answers)]), 4)

    def validate(self, predictor: Predictor) -> Measured:
        """The predictor on judge-validation images: what a control, and the worst of an ensemble, is chosen by."""
        assert self.validation.labels is not None
        predicted = self._predict(predictor.to(self.device), self.validation.images)
        return self._score(predicted, self.validation.labels.numpy())

    def predictor(self, predictor: Predictor, answers: np.ndarray | None = None) -> Verdict:
        """RP, the predictor on authorised images, and its red flags.

        Args:
            answers: what `answers` told of the same predictor, where it has been asked already.
        """
        out = Verdict()
        predictor = predictor.to(self.device)
        predicted = self.answers(predictor) if answers is None else answers
        out.evidence["pred/RP"] = predicted
        out.measured["RP"] = self._score(predicted)
        after = self._predict(predictor, self.authorised)
        out.evidence["pred/authorised_after"] = after
        out.measured["authorised_after"] = self._score(after, self.authorised_labels)
        some = self.images.images[:BATCH]
        if not predictor.transductive:  # `predicted` had these images together and in order
            off = int((self._in_pieces(predictor, some) != predicted[:BATCH]).sum())
            if off > 1:  # one image may lie on the border between two classes
                detail = f"{off} of {len(some)} answers changed when the batch was permuted and split"
                out.flags.append(Flag(name="depends-on-batch", detail=detail))
        rng = torch.Generator().manual_seed(2)
        noisy = (some + (torch.rand(some.shape, generator=rng) - 0.5) * (4 / 255)).clamp(0, 1)
        exact = metrics.accuracy(predicted[:BATCH], self.labels[:BATCH])
        near = metrics.accuracy(self._predict(predictor, noisy), self.labels[:BATCH])
        if exact > near + LABELS:
            detail = f"{exact:.1f} on test images, {near:.1f} on copies moved by 2/255"
            out.flags.append(Flag(name="too-good-on-labels", detail=detail))
        return out

    def _in_pieces(self, predictor: Predictor, images: Tensor) -> np.ndarray:
        """What ``predictor`` answers when ``images`` come in another order and in batches of another size."""
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))
        answers = np.empty(len(images), dtype=np.int64)
        with torch.no_grad():
            for at in order.split(23):
                answers[at.numpy()] = predictor.predict(images[at].to(self.device)).argmax(1).cpu().numpy()
        return answers

    def samples(self, locked: Classifier, predictor: Predictor | None, n: int = SAMPLES) -> dict[str, np.ndarray]:
        """A few judged images, raw, after the key and after the attacker's transform, with answers."""
        from bench.predictors import Edited

        raw = self.images.images[_one_a_class(self.labels, n)]
        at = _one_a_class(self.labels, n)
        key = self.authorised[_one_a_class(self.authorised_labels, n)]
        out = {"raw": raw, "key": key}
        answers = {
            "labels": torch.from_numpy(self.labels)[at],
            "pred_raw": models.logits(locked, raw)[:, : locked.k].argmax(1),
            "pred_key": models.logits(locked, key)[:, : locked.k].argmax(1),
        }
        if predictor is not None:
            answers["pred_guess"] = torch.from_numpy(self._predict(predictor, raw))
            if isinstance(predictor, Edited):
                from bench.editors import session
                from bench.editors.settings import EditSettings

                settings = EditSettings.from_json(predictor.settings)
                out["guess"] = session.engine(settings.editor).keyed(raw, predictor.prompt, settings)
        pictures = {f"samples/{n}": _pixels(x) for n, x in out.items()}
        return pictures | {f"samples/{n}": x.numpy() for n, x in answers.items()}


def _pixels(images: Tensor) -> np.ndarray:
    return np.asarray((images * 255).round().byte().numpy())


def _one_a_class(labels: np.ndarray, n: int) -> np.ndarray:
    firsts = [int(np.flatnonzero(labels == k)[0]) for k in np.unique(labels)]
    return np.array(firsts[:n])


def in_words(key: Any) -> str:
    """A key condition in words."""
    value: Mapping[str, Any] = key.to_json()
    if "prompt" in value:
        s = value["settings"]
        return (
            f"“{value['prompt']}”, α {s['alpha']:g}, {s['steps']} steps, guidance {s['guidance']:g}, seed {s['seed']}"
        )
    if "none" in value:
        return str(value["none"])
    return ", ".join(f"{k} {v}" for k, v in value.items() if k not in ("method", "secret"))


def _parameters(model: Classifier) -> int:
    return sum(p.numel() for p in model.parameters())
