"""Persistence: what the rightful user's own changes to the model do to its lock."""

from __future__ import annotations

import copy

import torch

from attacks.kit import tuning
from attacks.rounding import round_weights
from bench import models
from bench.contracts import Acceptance, Attack, AttackerView, Classifier, Predictor, Run, ThreatModel, param
from bench.parameters import layer_weights
from bench.predictors import Direct

ORDER = ("finetune", "prune", "quantise")


class Persistence(Attack):
    """The rightful user fine-tunes on authorised images, prunes and quantises, with no mind to the lock.

    RP says whether that opens the lock on unauthorised images; `authorised_after` says whether the rightful user still
    has what the lock let through. Each change is handed in on its way; the last one counts.
    """

    title = "persistence"
    paper = "after a position paper on what benign changes do to protections, ICML 2026, arXiv 2605.28597"
    selection = "none"
    deviations = (
        "fine-tuning, then pruning, then rounding, in one row (`change=all`); steps, rate and bits are ours",
        "pruning is by magnitude, the same share in every layer but the head",
    )
    tasks = ("classification", "segmentation")
    defaults = {
        "threat.access": "weights", "threat.share": 0.0, "threat.unlabelled": False, "threat.authorised": 0.1,
        "threat.wordlist": "none", "threat.known": "none",
    }  # fmt: skip
    quick = {"steps": 2}

    change: str = param(
        "all", "what the user does; `all`: one after the other", choices=("all", "finetune", "prune", "quantise")
    )
    steps: int = param(
        200,
        "optimiser steps on authorised images",
        ge=1,
        le=100_000,
        unit="steps",
        where={"change": ("all", "finetune")},
    )
    rate: float = param(3e-4, "peak learning rate", ge=1e-6, le=1, where={"change": ("all", "finetune")})
    batch: int = param(64, "images a step", ge=1, le=4096, where={"change": ("all", "finetune")})
    prune: float = param(0.2, "share of weights set to 0", ge=0, le=0.99, where={"change": ("all", "prune")})
    bits: int = param(8, "bits of a weight, its sign among them", choices=(8, 4), where={"change": ("all", "quantise")})

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), authorised=self.change in ("all", "finetune"))

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        model = target.classifier
        for change in ORDER if self.change == "all" else (self.change,):
            if change == "finetune":
                run.fit(
                    model, lambda batch: tuning.cross_entropy(model, batch), self.steps, target.authorised,
                    rate=self.rate, batch=self.batch, name="own fine-tuning",
                )  # fmt: skip
            elif change == "prune":
                without_least(model, self.prune)
            else:
                round_weights(model, self.bits)
            run.submit(Direct(copy.deepcopy(model)), after=change)
        return Direct(model)


@torch.no_grad()
def without_least(model: Classifier, share: float) -> None:
    """Set the ``share`` of least magnitude of every convolution's and linear layer's weights but the head's to 0."""
    head = models.head_names(model)
    for name, weight in layer_weights(model).items():
        if name not in head:
            flat = weight.view(-1)
            flat[flat.abs().argsort()[: round(share * len(flat))]] = 0.0
