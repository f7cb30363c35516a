"""AdaLoc: the largest weights are the key; what ships lacks them, and later updates stay inside them."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.contracts import Batch, Classifier, DefenderNeeds, DefenderView, Key, Lock, Run, param
from bench.contracts.withheld import difference
from bench.parameters import layer_weights
from locks.kit.inside import fit_inside


class AdaLoc(Lock):
    """The weights of largest magnitude are taken out; who holds them has the model.

    Later training of the rightful user changes these weights alone. What shipped before it stays right, and a new key
    is enough.
    """

    title = "AdaLoc"
    paper = "Wang, Ma, Feng, Yan, Liu, Sun, Wang, Xue, Bai: AdaLoc, arXiv 2511.18772"
    published = ("ada_loc.csv",)
    key = "weights"
    tasks = ("classification", "segmentation")
    deviations = (
        "reconstruction from the abstract: how many weights are the key, and that each layer has its share",
        "reconstruction: weights that are taken out are zero in what ships; `fill=noise` is ours, and hides where",
        "`which=random` and `which=smallest` are controls",
    )
    quick = {"update": 2}

    share: float = param(0.05, "share of each layer's weights that is the key", ge=1e-5, le=1)
    which: str = param("largest", "which weights, by magnitude", choices=("largest", "smallest", "random"))
    fill: str = param(
        "zero", "what ships in their place; `noise`: normal, with the spread of the layer's other weights",
        choices=("zero", "noise"),
    )  # fmt: skip
    update: int = param(
        0, "optimiser steps by which the rightful user trains on, inside the key", ge=0, le=100_000, unit="steps"
    )
    rate: float = param(1e-3, "learning rate of that training", ge=1e-6, le=1)
    batch: int = param(64, "images a step", ge=2, le=4096)

    def needs(self) -> DefenderNeeds:
        return DefenderNeeds(
            authorised=self.update > 0, authorised_labels=self.update > 0, unauthorised=False, unauthorised_labels=False
        )

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        rng = run.rng("key weights")
        masks = {name: self._places(weight.detach(), rng) for name, weight in layer_weights(victim).items()}
        shipped = without(victim, masks, run.rng("fill") if self.fill == "noise" else None)
        working = victim.eval()
        if self.update:

            def loss(batch: Batch) -> Tensor:
                return F.cross_entropy(working.logits(batch.images), batch.labels)

            fit_inside(working, masks, loss, self.update, data.authorised, run, self.rate, self.batch, "update")
        withheld = difference(dict(working.named_parameters()), dict(shipped.named_parameters()))
        run.withhold(withheld)
        held, of = sum(map(len, withheld.values())), sum(weight.numel() for weight in victim.parameters())
        run.note(withheld=held, share=round(held / of, 8))
        return shipped

    def _places(self, weight: Tensor, rng: torch.Generator) -> Tensor:
        """Where the key is in ``weight``: truth values in its shape, at least one of them true."""
        n = max(1, round(self.share * weight.numel()))
        if self.which == "random":
            order = torch.randperm(weight.numel(), generator=rng).to(weight.device)
        else:
            order = weight.abs().flatten().argsort(descending=self.which == "largest", stable=True)
        out = torch.zeros(weight.numel(), dtype=torch.bool, device=weight.device)
        out[order[:n]] = True
        return out.view_as(weight)


@torch.no_grad()
def without(model: Classifier, masks: dict[str, Tensor], rng: torch.Generator | None = None) -> Classifier:
    """A copy of ``model`` whose entries in ``masks`` are 0, or normal with the spread of the others in their layer."""
    out = copy.deepcopy(model)
    for name, at in masks.items():
        weight: nn.Parameter = out.get_parameter(name)
        weight[at] = 0.0
        if rng is not None and bool((~at).any()):
            noise = torch.randn(int(at.sum()), generator=rng).to(weight)
            weight[at] = weight[~at].std(unbiased=False) * noise
    return out
