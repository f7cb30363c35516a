"""Red team: pseudo-labels by the agreement of many views of each image, then a student that needs no view.

A lock hides what a model knows from one kind of image. It cannot hide it from every generic change of that image: in
some views the images look like authorised ones, and the model answers. Which views those are shows without a label:
over the pool the answers are then sure one by one and spread over the classes together (mutual information).
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import models
from bench.augment import recolour
from bench.contracts import Attack, AttackerView, Batch, Classifier, Images, Predictor, Run, ThreatModel, param
from bench.predictors import Direct


class ConsensusOfViews(Attack):
    """Draw generic views, keep those of most mutual information, and train the model on what they agree upon."""

    title = "Consensus of views"
    paper = "ours"
    selection = "last"
    quick = {"views": 4, "steps": 4, "rounds": 1}
    defaults = {"threat.access": "weights", "threat.share": 0.0}

    views: int = param(120, "views drawn", ge=2, le=10_000)
    searched: int = param(200, "pool images a view is scored on", ge=8, le=100_000)
    voters: int = param(8, "best views, which vote", ge=1, le=1000)
    rounds: int = param(2, "rounds of training; after each the student labels the pool anew", ge=1, le=20)
    steps: int = param(250, "optimiser steps a round", ge=1, le=100_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate", ge=1e-6, le=1)
    start: str = param("locked", "weights the student starts from", choices=("locked", "public"))
    information: float = param(1.0, "weight of the information term on augmented target images", ge=0, le=10)

    def accepts(self, threat: ThreatModel) -> Any:
        """Weights and unlabelled images; labelled and authorised ones are used where granted."""
        return threat.grants(["weights"], unlabelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        """The student, on images as they are."""
        threat, pool = target.threat, target.unlabelled
        labelled = target.labelled if threat.share > 0 else None
        authorised = target.authorised if threat.authorised > 0 else None
        p = self._consensus(target.classifier, pool, run)
        student = copy.deepcopy(target.classifier) if self.start == "locked" else target.public_model().to(run.device)
        for i in range(self.rounds):
            self._train(student, pool, balanced(p), labelled, authorised, run, f"student/{i}")
            run.submit(Direct(copy.deepcopy(student)), round=i)
            p = self._answers(student, pool, run, f"answers/{i}")
        return Direct(student)

    @torch.no_grad()
    def _consensus(self, locked: Classifier, pool: Images, run: Run) -> Tensor:
        """(N, K) mean answer of the best views over the pool."""
        rng = run.rng("views")
        images = pool.images.to(run.device)
        some = images[torch.randperm(len(images), generator=rng)[: self.searched].to(images.device)]
        seen = []
        for i in range(self.views):
            settings = draw(rng)
            seen.append((information(answers(locked, view(some, settings))), settings))
            run.progress(i + 1, self.views, "views")
        seen.sort(key=lambda v: -v[0])
        best = []
        for _, settings in seen[: self.voters]:
            p, statistics = self._best_of_statistics(locked, images, settings)
            best.append((information(p), settings, statistics, p))
        self.trace = [(round(v[0], 3), v[1], v[2]) for v in best]
        weights = (torch.tensor([v[0] for v in best]) / 0.1).softmax(0)
        return sum(w * v[3] for w, v in zip(weights, best, strict=True))

    def _best_of_statistics(self, locked: Classifier, images: Tensor, settings: dict[str, Any]) -> tuple[Tensor, str]:
        """Answers with the running statistics as shipped, or with those of the view, whichever informs more."""
        shown = view(images, settings)
        p = answers(locked, shown)
        if not any(isinstance(m, torch.nn.BatchNorm2d) for m in locked.modules()):
            return p, "shipped"
        adapted = copy.deepcopy(locked)
        models.reestimate_batch_norm(adapted, shown, batch=200)
        q = answers(adapted, shown)
        return (q, "view") if information(q) > information(p) else (p, "shipped")

    @torch.no_grad()
    def _answers(self, student: Classifier, pool: Images, run: Run, name: str) -> Tensor:
        """(N, K) mean answer of the student over the images and 7 augmented copies."""
        rng, images = run.rng(name), pool.images.to(run.device)
        p = answers(student, images)
        for _ in range(7):
            p = p + answers(student, recolour(images, rng))
        return p / 8

    def _train(
        self, student: Classifier, pool: Images, p: Tensor, labelled: Images | None, authorised: Images | None,
        run: Run, name: str,
    ) -> None:  # fmt: skip
        p = p.to(run.device)
        sure = p.max(1).values
        weight = (sure / sure.mean()).clamp(max=1.5)
        sources = [pool] + [s for s in (labelled, authorised) if s is not None]

        def loss(t: Batch, *others: Batch) -> Tensor:
            images = torch.cat([t.images, *(o.images for o in others)])
            logits = student.logits(images)
            n = len(t.images)
            out = (weight[t.index] * F.cross_entropy(logits[:n], p[t.index], reduction="none")).mean()
            out = out - self.information * information_of(logits[:n].softmax(1))
            at = n
            for o in others:
                out = out + F.cross_entropy(logits[at : at + len(o.images)], o.labels)
                at += len(o.images)
            return out

        run.fit(
            student, loss, self.steps, *sources, rate=self.rate, batch=[64] + [32] * (len(sources) - 1),
            augment=recolour, name=name,
        )  # fmt: skip
        models.reestimate_batch_norm(student, pool)


def answers(model: Classifier, images: Tensor) -> Tensor:
    """(N, K) probabilities."""
    return models.logits(model, images).softmax(1)


def information_of(p: Tensor) -> Tensor:
    """Entropy of the mean of ``p`` (N, K) less the mean of its entropy, nats."""
    mean = p.mean(0)
    return -(mean * mean.clamp(min=1e-8).log()).sum() + (p * p.clamp(min=1e-8).log()).sum(1).mean()


def information(p: Tensor) -> float:
    """`information_of` as a share of log K."""
    return float(information_of(p)) / math.log(p.shape[1])


def balanced(p: Tensor, rounds: int = 10, sharpness: float = 2.0) -> Tensor:
    """Sinkhorn: ``p`` (N, K) sharpened, its columns brought to equal sums, its rows to 1."""
    q = p.clamp(min=1e-6) ** sharpness
    for _ in range(rounds):
        q = q / q.sum(0, keepdim=True)
        q = q / q.sum(1, keepdim=True)
    return q


def draw(rng: torch.Generator) -> dict[str, Any]:
    """Settings of a generic view."""

    def one_of(*values: Any) -> Any:
        return values[int(torch.randint(len(values), (1,), generator=rng))]

    return {
        "colour": one_of("own", "grey", "grey", "axis"),
        "polarity": one_of("own", "light", "light", "dark"),
        "stretch": one_of(0.0, 0.02, 0.1, 0.2),
        "crop": one_of("none", "box", "square", "aspect"),
        "margin": one_of(0.0, 0.05, 0.1),
        "grid": one_of(0, 6, 8, 8, 10, 12, 16),
        "gain": one_of(0.7, 1.0, 1.0, 1.3),
    }


def view(images: Tensor, s: dict[str, Any]) -> Tensor:
    """``images`` (N, 3, S, S) in [0, 1] under the settings of `draw`."""
    x, size = images, images.shape[-1]
    if s["colour"] == "grey":
        x = x.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    elif s["colour"] == "axis":  # along the first principal colour of the image
        flat = x.flatten(2) - x.flatten(2).mean(2, keepdim=True)
        _, vectors = torch.linalg.eigh(flat @ flat.transpose(1, 2))
        line = (vectors[:, :, -1:] * flat).sum(1)
        line = line * torch.sign(vectors[:, :, -1].sum(1, keepdim=True))
        low, high = line.amin(1, keepdim=True), line.amax(1, keepdim=True)
        x = ((line - low) / (high - low).clamp(min=1e-6)).view(len(x), 1, size, size).expand(-1, 3, -1, -1)
    edge = torch.cat([x[:, :, 0], x[:, :, -1], x[:, :, :, 0], x[:, :, :, -1]], 2).median(2).values
    if s["polarity"] != "own":
        ground = edge.mean(1)
        middle = x.mean((1, 2, 3)) * 0 + (x.amax((1, 2, 3)) + x.amin((1, 2, 3))) / 2
        swap = (ground > middle) if s["polarity"] == "light" else (ground < middle)
        x = torch.where(swap[:, None, None, None], 1 - x, x)
    if s["stretch"]:
        flat = x.flatten(1)
        low = flat.quantile(s["stretch"], 1)[:, None, None, None]
        if s["polarity"] == "light":  # the ground goes to 0
            edge = torch.cat([x[:, :, 0], x[:, :, -1], x[:, :, :, 0], x[:, :, :, -1]], 2).mean(1).median(1).values
            low = edge[:, None, None, None] + s["stretch"] * 0.5
        high = flat.quantile(1 - s["stretch"] / 4, 1)[:, None, None, None]
        x = ((x - low) / (high - low).clamp(min=0.05)).clamp(0, 1)
    if s["crop"] != "none":
        x = cropped(x, s["crop"], s["margin"])
    if s["grid"]:
        x = F.interpolate(x, size=(s["grid"],) * 2, mode="area")
        x = F.interpolate(x, size=(size, size), mode="bicubic", align_corners=False)
    return (x * s["gain"]).clamp(0, 1)


def cropped(x: Tensor, form: str, margin: float) -> Tensor:
    """``x`` cropped to where it differs from its ground, enlarged again; boxes of the columns' and rows' mass."""
    size = x.shape[-1]
    edge = torch.cat([x[:, :, 0], x[:, :, -1], x[:, :, :, 0], x[:, :, :, -1]], 2).median(2).values
    ink = (x - edge[:, :, None, None]).abs().mean(1)
    ink = F.avg_pool2d(ink[:, None], 3, 1, 1)[:, 0]
    on = ink > 0.35 * ink.amax((1, 2), keepdim=True)
    at = (torch.arange(size, device=x.device) + 0.5) / size * 2 - 1

    def ends(seen: Tensor) -> tuple[Tensor, Tensor]:
        low = torch.where(seen, at, torch.full_like(at, 9.0)).amin(1) - 1 / size
        high = torch.where(seen, at, torch.full_like(at, -9.0)).amax(1) + 1 / size
        return low, high

    left, right = ends(on.any(1))
    top, bottom = ends(on.any(2))
    width, height = (right - left) / 2 + margin, (bottom - top) / 2 + margin
    if form == "square":
        width = height = torch.maximum(width, height)
    elif form == "aspect":  # between the box and the square
        side = torch.maximum(width, height)
        width, height = (width + side) / 2, (height + side) / 2
    theta = torch.zeros(len(x), 2, 3, device=x.device)
    theta[:, 0, 0], theta[:, 1, 1] = width, height
    theta[:, 0, 2], theta[:, 1, 2] = (left + right) / 2, (top + bottom) / 2
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)
