"""Fine-pruning: channels that rest on the attacker's images are removed, and the rest is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attacks import _tuning
from attacks._selection import mutual_information
from bench import models
from bench.contracts import Attack, AttackerView, Batch, Classifier, Predictor, Run, ThreatModel, param
from bench.predictors import Direct
from bench.training import jitter


class FinePruning(Attack):
    """Prune the channels of the embedding that are least active on un-authorised images, then fine-tune.

    With labels by cross-entropy; without, by mutual information on un-labelled images. A lock may hide in channels
    that the attacker's images do not use, as a backdoor does.
    """

    title = "fine-pruning"
    paper = "Liu, Dolan-Gavitt, Garg: Fine-Pruning, RAID 2018, arXiv 1805.12185"
    selection = "last"
    deviations = (
        "channels of what the head sees, in any architecture; the paper prunes the last convolutional layer, which is "
        "the same in a plain network",
        "a fixed share; the paper prunes until accuracy on clean images drops, which takes labels",
    )
    defaults = {"threat.access": "weights", "threat.share": 0.1, "threat.wordlist": "none", "threat.known": "none"}

    prune: float = param(0.3, "share of the channels that is pruned", ge=0, le=0.99)
    steps: int = param(400, "optimiser steps after pruning", ge=0, le=100_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate with labels", ge=1e-6, le=1)
    free_rate: float = param(1e-4, "peak learning rate without: the objective has no other anchor", ge=1e-6, le=1)
    batch: int = param(64, "images a step", ge=2, le=4096)

    def accepts(self, threat: ThreatModel) -> bool:
        return threat.access == "weights" and (threat.share > 0 or threat.unlabelled)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        model = target.classifier
        labelled = target.threat.share > 0
        images = target.labelled if labelled else target.unlabelled
        seen = target.unlabelled if target.threat.unlabelled else images
        activity = mean_activity(model, seen.images.to(run.device))
        weight = first_of_head(model)
        alive = torch.ones(weight.shape[1], device=weight.device)
        alive[activity.argsort()[: int(self.prune * len(activity))]] = 0.0
        with torch.no_grad():
            weight.mul_(alive)
        hook = weight.register_hook(lambda gradient: gradient * alive)  # pruned channels stay pruned

        def loss(batch: Batch) -> Tensor:
            if batch.labels is not None:
                return _tuning.cross_entropy(model, batch)
            return -mutual_information(model(batch.images)[:, : model.k])

        if self.steps:
            run.submit(Direct(model), what="pruned", channels=int((alive == 0).sum()))
            rate = self.rate if labelled else self.free_rate
            run.fit(
                model, loss, self.steps, images, rate=rate, batch=self.batch, augment=jitter, name="fine-tune",
            )  # fmt: skip
        hook.remove()
        return Direct(model)


@torch.no_grad()
def mean_activity(model: Classifier, images: Tensor, batch: int = 256) -> Tensor:
    """(D,) mean magnitude of every channel of the embedding over ``images`` (N, 3, H, W)."""
    sums = [model.embed(part).abs().sum(0) for part in images.split(batch)]
    return torch.stack(sums).sum(0) / len(images)


def first_of_head(model: Classifier) -> nn.Parameter:
    """The weight (out, D) of the layer that reads the embedding."""
    matrices = [p for name in models.head_names(model) if (p := model.get_parameter(name)).ndim == 2]
    return matrices[-1]  # `head_names` gives the layer of the outputs first
