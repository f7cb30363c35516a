"""Mask recovery: weights that a lock has set to zero are filled in again."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.kit import tuning
from attacks.kit.selection import class_shares, most_accurate, most_informative, mutual_information
from attacks.kit.zeros import Zeros, find_zeros, refill
from bench import models
from bench.augment import jitter
from bench.contracts import (
    Acceptance,
    Attack,
    AttackerView,
    Batch,
    Classifier,
    Images,
    Predictor,
    Run,
    ThreatModel,
    param,
)
from bench.gradients import gradients_inside
from bench.predictors import Direct


class MaskRecovery(Attack):
    """Weights that are exactly zero are filled in again.

    Weights that are not zero stay as they are, bit for bit. A model without zeros comes back unchanged. The fill is the
    public model's weights, random ones, or trained ones. Training minimises −MI(p) on unlabelled images, plus
    cross-entropy on labelled ones. With labels the trained fill is handed back: a few labels are too few to train and
    to choose by. Without labels, mutual information on images held out from training chooses.
    """

    title = "mask recovery"
    paper = "ours; it inverts the pruning of MAP, Peng et al., CVPR 2024"
    selection = (
        "last-or-mutual-information",
        "with labels, the model after the last step; without, highest mutual information on images held out",
    )
    against = ("map",)
    tasks = ("classification", "segmentation")
    defaults = {"threat.access": "weights", "threat.share": 0.0, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 3}

    fill: str = param(
        "auto",
        "`public`: the public model's weights; `neighbours`: random, with the filter's own statistics; "
        "`train`: the pruned positions alone are trained, from the public fill, batch-norm statistics "
        "re-estimated where the view has unlabelled images; `auto`: all, and the best is chosen",
        choices=("auto", "public", "neighbours", "train"),
    )
    steps: int = param(
        200, "optimiser steps of `train`", ge=1, le=100_000, unit="steps", where={"fill": ("auto", "train")}
    )
    rate: float = param(1e-2, "peak learning rate of `train`", ge=1e-6, le=1, where={"fill": ("auto", "train")})
    batch: int = param(64, "images a step", ge=2, le=4096)
    information: float = param(1.0, "weight of mutual information where there are labels too", ge=0, le=10)
    held_out: float = param(
        0.3,
        "share of the unlabelled images to choose by, without labels, which training does not see",
        ge=0.05,
        le=0.9,
    )

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), images=self.fill in ("auto", "train"))

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        model = target.classifier
        zeros = self._places(target)
        facts = {"zeros": sum(int(z.sum()) for z in zeros.values()), "layers": len(zeros)}
        if not zeros:
            run.submit(Direct(model), **facts, what="no weight is zero: the model as it is")
            return Direct(model)
        candidates = {"as it is": model, **self._fills(target, zeros, run)}
        if self.fill not in ("auto", "train"):
            run.submit(Direct(candidates[self.fill]), **facts, what=self.fill)
            return Direct(candidates[self.fill])
        labelled = target.labelled if target.threat.share > 0 else None
        free = validation = target.unlabelled if target.threat.unlabelled else None
        if labelled is None and free is not None:  # what is trained for information must not be judged by it
            free, validation = tuning.split(free, self.held_out, run.rng("held out"))
        start = "public"
        if target.threat.unlabelled and models.has_batch_norm(model):
            for kind in [name for name in candidates if name != "as it is"]:
                candidate = copy.deepcopy(candidates[kind])
                models.reestimate_batch_norm(candidate, target.unlabelled)
                candidates[f"{kind}, statistics"] = candidate
            start = "public, statistics"
        if self.fill == "auto":
            for name, candidate in candidates.items():  # whatever the budget, something was handed in
                run.submit(Direct(candidate), **facts, what=name)
            if labelled is not None:  # a few labels say little: another start has to be right on two more of them
                better, scores = most_accurate(candidates, labelled)
                more = 0.0 if target.spec.is_dense else 100 / len(labelled) + 1e-6  # a mask has many pixels
                start = better if scores[better] > scores[start] + more else start
        ready = start
        if self.fill == "auto" and validation is not None and labelled is None:
            ready, _ = most_informative(candidates, validation, class_shares(model, validation))
        run.submit(Direct(candidates[ready]), **facts, what=ready)  # what is handed in if the budget ends in training
        filling = copy.deepcopy(candidates[start])
        self._train(filling, zeros, labelled, free, run)
        if target.threat.unlabelled and models.has_batch_norm(model):
            models.reestimate_batch_norm(filling, target.unlabelled)
        if self.fill == "train" or labelled is not None or validation is None:
            run.submit(Direct(filling), **facts, what="train", start=start)
            return Direct(filling)
        candidates = {"train": filling, **dict(reversed(candidates.items()))}
        best, scores = most_informative(candidates, validation, class_shares(model, validation))
        run.submit(Direct(candidates[best]), **facts, what=best, scores=scores)
        return Direct(candidates[best])

    def _places(self, target: AttackerView) -> Zeros:
        """Weights that are filled in."""
        return find_zeros(target.classifier)

    def _fills(self, target: AttackerView, zeros: Zeros, run: Run) -> dict[str, Classifier]:
        """The model with them filled in, by name of the fill; training starts from ``public``."""
        model, fills = target.classifier, {}
        if self.fill in ("auto", "public", "train"):
            fills["public"] = refill(model, zeros, public=target.public_model(model.extra))
        if self.fill in ("auto", "neighbours"):
            fills["neighbours"] = refill(model, zeros, rng=run.rng("fill"))
        return fills

    def _train(self, model: Classifier, zeros: Zeros, labelled: Images | None, free: Images | None, run: Run) -> None:
        """Train the positions of ``zeros`` alone, on whichever of the two sets there are."""
        weights = [model.get_parameter(name) for name in zeros]
        # No weight decay, and an Adam step of a gradient that was always 0 is 0: the other weights do not move.
        share = 1.0 if labelled is None else self.information
        shares = None if free is None else class_shares(model, free, labelled)

        def loss(*batches: Batch) -> Tensor:
            out = torch.zeros((), device=run.device)
            for batch in batches:
                logits = model.logits(batch.images)
                if batch.labelled:
                    out = out + F.cross_entropy(logits, batch.labels)
                else:
                    out = out - share * mutual_information(logits, shares)
            return out

        groups = [{"params": weights, "lr": self.rate, "weight_decay": 0.0}]
        with gradients_inside(zip(weights, zeros.values(), strict=True)):
            run.fit(
                model, loss, self.steps, *(images for images in (labelled, free) if images is not None),
                batch=self.batch, parameters=groups, train_mode=False, augment=jitter, name="refill",
            )  # fmt: skip
