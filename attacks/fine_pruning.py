"""Fine-pruning: channels are removed by their activity on the attacker's images, and the rest is trained."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from attacks.kit import tuning
from attacks.kit.selection import class_shares, most_accurate, most_informative, mutual_information
from bench import models
from bench.augment import jitter
from bench.contracts import Acceptance, Attack, AttackerView, Batch, Classifier, Predictor, Run, ThreatModel, param
from bench.gradients import gradients_inside
from bench.pixels import rows
from bench.predictors import Direct


class FinePruning(Attack):
    """Channels of the embedding are pruned, then the model is fine-tuned.

    `resting` prunes the least active channels on unauthorised images, as the paper does against backdoors. `busiest`
    prunes those with the highest |weight| · activity there, where a lock acts. `ratio` prunes those with the highest
    ratio of unauthorised to authorised activity. `auto` tries all three and trains the best pruned model. Training is
    by cross-entropy with labels, else by mutual information.
    """

    title = "fine-pruning"
    paper = "Liu, Dolan-Gavitt, Garg: Fine-Pruning, RAID 2018, arXiv 1805.12185"
    selection = (
        "channels-then-last",
        "channels by own labels, or without labels by mutual information; then the model after the last step",
    )
    deviations = (
        "channels of what the head sees, in any architecture; the paper prunes the last convolutional layer, which is "
        "the same in a plain network",
        "a fixed share; the paper prunes until accuracy on clean images drops, which takes labels",
    )
    tasks = ("classification", "segmentation")
    defaults = {"threat.access": "weights", "threat.share": 0.1, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 3}

    which: str = param("auto", "channels that are pruned", choices=("auto", "resting", "busiest", "ratio"))
    prune: float = param(0.3, "share of the channels that is pruned", ge=0, le=0.99)
    steps: int = param(400, "optimiser steps after pruning", ge=0, le=100_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate with labels", ge=1e-6, le=1)
    free_rate: float = param(1e-3, "peak learning rate without labels", ge=1e-6, le=1)
    batch: int = param(64, "images a step", ge=2, le=4096)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), images=True, authorised=self.which == "ratio")

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        labelled = target.threat.share > 0
        images = target.labelled if labelled else target.unlabelled
        orders = self._orders(target, run)
        candidates: dict[str, Classifier] = {}
        for name, order in orders.items():
            candidates[name] = copy.deepcopy(target.classifier)
            with torch.no_grad():
                first_of_head(candidates[name])[:, order[: int(self.prune * len(order))]] = 0.0
        shares = None if labelled else class_shares(target.classifier, images)
        if labelled:
            best, scores = most_accurate(candidates, images)
        else:
            best, scores = most_informative(candidates, images, shares)
        model = candidates[best]
        weight = first_of_head(model)
        channels = orders[best][: int(self.prune * len(orders[best]))]
        mask = torch.ones(weight.shape[1], device=weight.device)
        mask[channels] = 0.0
        mask = mask.view(-1, *(1,) * (weight.ndim - 2))

        def loss(batch: Batch) -> Tensor:
            if batch.labelled:
                return tuning.cross_entropy(model, batch)
            return -mutual_information(model.logits(batch.images), shares)

        if self.steps:
            run.submit(Direct(copy.deepcopy(model)), what=f"pruned: {best}", channels=len(channels), scores=scores)
            rate = self.rate if labelled else self.free_rate
            with gradients_inside([(weight, mask)]):  # pruned channels stay pruned
                run.fit(
                    model, loss, self.steps, images, rate=rate, batch=self.batch, augment=jitter, name="fine-tune",
                )  # fmt: skip
        return Direct(model)

    def _orders(self, target: AttackerView, run: Run) -> dict[str, Tensor]:
        """Channels (D,) by name of the rule, those to prune first first."""
        model = target.classifier
        own = target.unlabelled if target.threat.unlabelled else target.labelled
        activity = mean_activity(model, own.images.to(run.device))
        orders = {
            "resting": activity.argsort(),
            "busiest": (activity * _strength(first_of_head(model).detach())).argsort(descending=True),
        }
        if target.threat.authorised > 0:
            authorised = mean_activity(model, target.authorised.images.to(run.device))
            orders["ratio"] = (activity / (authorised + 0.01 * authorised.mean() + 1e-8)).argsort(descending=True)
        if self.which == "auto":
            return orders
        return {self.which: orders[self.which]}


@torch.no_grad()
def mean_activity(model: Classifier, images: Tensor, batch: int = 256) -> Tensor:
    """(D,) mean magnitude of every channel of the embedding over ``images`` (N, 3, H, W), and over its pixels."""
    sums, count = [], 0
    for part in images.split(batch):
        embedded = rows(model.embed(part))
        sums.append(embedded.abs().sum(0))
        count += len(embedded)
    return torch.stack(sums).sum(0) / count


def first_of_head(model: Classifier) -> nn.Parameter:
    """The weight (out, D) of the layer that reads the embedding; (out, D, h, w) of a convolution."""
    weights = [p for name in models.head_names(model) if (p := model.get_parameter(name)).ndim > 1]
    matrices = [p for p in weights if p.ndim == 2] or weights
    return matrices[-1]  # `head_names` gives the layer of the outputs first


def _strength(weight: Tensor) -> Tensor:
    """(D,) sum of the magnitudes by which a layer (out, D, …) reads each channel."""
    total = weight.abs().sum(0)
    return total if total.ndim == 1 else total.flatten(1).sum(1)
