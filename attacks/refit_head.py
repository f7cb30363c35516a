"""Refit head: the last layer is fitted anew to frozen features, in closed form and at every depth."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from attacks.kit.depths import OnFeatures, Ridge, all_features, axes_of
from attacks.kit.input import subset
from attacks.kit.output_maps import margin
from bench.contracts import Acceptance, Attack, AttackerView, Images, Predictor, Run, ThreatModel, param
from bench.predictors import Direct

RIDGES = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)
"""λ over the number of labelled images, of which one is chosen."""


class RefitHead(Attack):
    """A linear head on the locked model's frozen features, without a step of gradient descent.

    W = argmin Σ ‖e_y − W A x − b‖² + λ ‖W‖², on the embedding and on the activation after each stage. A whitens the
    features, so that their condition number is 1, or leaves them. Depth, A and λ are chosen by leaving each labelled
    image out. Where a class has one label, nothing is left to learn it from: then unlabelled images choose, by how far
    the best answer lies above the second. What resists fine-tuning by its loss surface does not resist this; what a
    head can read at any depth, it reads.
    """

    title = "refit head"
    paper = "ours; linear probing after Alain and Bengio, 2016, arXiv 1610.01644; ridge regression by its closed form"
    selection = (
        "leave-one-out-or-margin",
        "highest accuracy on labelled images that are left out; where a class has one label, how far the best answer "
        "to unlabelled images lies above the second",
    )
    against = ("condition-number", "clamp", "encoder-lock", "enl-dee", "sophon", "ntp")
    unsuited = "it fits one embedding for each image"
    defaults = {"threat.access": "weights", "threat.share": 0.1, "threat.wordlist": "none", "threat.known": "none"}

    depth: str = param(
        "any", "`embedding`: what the locked head sees; `any`: also after each stage", choices=("any", "embedding")
    )
    axes: str = param(
        "any", "`whitened`: features of condition number 1; `plain`: as they are; `any`: both are tried",
        choices=("any", "whitened", "plain"),
    )  # fmt: skip
    places: int = param(2, "side of the grid in which an activation is averaged", ge=1, le=16)
    pool: int = param(2000, "unlabelled images that the whitening is read off, at most", ge=0, le=1_000_000)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), labelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        model, labelled = target.classifier.eval(), target.labelled
        run.submit(Direct(model), what="as it is")  # whatever the budget, something was handed in
        free = self._free(target, run)
        own = all_features(model, labelled, self.depth == "any", self.places)
        other = {} if free is None else all_features(model, free, self.depth == "any", self.places)
        alone = int(torch.bincount(labelled.labels)[labelled.labels].min()) < 2
        best: tuple[float, float] | None = None
        chosen: Predictor = Direct(model)
        facts: dict[str, Any] = {}
        for i, (depth, x) in enumerate(own.items()):
            every = torch.cat([x, other[depth]]) if other else x
            middle = every.mean(0)
            for name, axes in axes_of(every).items():
                if self.axes not in ("any", name):
                    continue
                along = (x - middle) @ axes
                fits = Ridge.fits(along, labelled.labels, model.k, [ridge * len(x) for ridge in RIDGES])
                for ridge, fit in zip(RIDGES, fits, strict=True):
                    score = fit.score(labelled.labels)
                    if alone:
                        free_along = (other[depth] - middle) @ axes if other else None
                        score = (self._without_leaving_out(fit, free_along, depth, name, ridge), 0.0)
                    if best is not None and score <= best:
                        continue
                    weight = fit.weight @ axes.T
                    head = OnFeatures(model, depth, self.places, x.shape[1]).to(run.device)
                    best, chosen = score, head.set(weight, fit.bias - weight @ middle)
                    by = {"margin": round(score[0], 4)} if alone else {"left_out": round(100 * score[0], 2)}
                    facts = {**head.describe(), "axes": name, "ridge": ridge, **by}
            run.progress(i + 1, len(own), "depths")
        run.submit(chosen, **facts)
        return chosen

    @staticmethod
    def _without_leaving_out(fit: Ridge, free: Tensor | None, depth: int | None, axes: str, ridge: float) -> float:
        """How good a head is where no labelled image can be left out; without unlabelled images the plainest is best.

        Args:
            free: (M, R) unlabelled features along the axes.
        """
        if free is not None:
            return margin(free @ fit.weight.T + fit.bias)
        return -float(depth is not None) - float(axes != "plain") - abs(math.log10(ridge) + 1) / 100

    def _free(self, target: AttackerView, run: Run) -> Images | None:
        """Images that say how features vary; None where there are none but the labelled ones."""
        if not self.pool or not target.threat.unlabelled:
            return None
        return subset(target.unlabelled, self.pool, run.rng("pool"))
