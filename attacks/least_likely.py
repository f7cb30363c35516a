"""Least likely: the class that a locked model avoids is the answer; no labels."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor

from attacks.kit.information import Recipe, balanced, maximise, own_statistics, train_on_answers, usual_rate
from attacks.kit.selection import most_informative
from bench import models
from bench.contracts import Acceptance, Attack, AttackerView, Classifier, Predictor, Run, ThreatModel, param
from bench.predictors import Direct


class LeastLikely(Attack):
    """The outputs change their sign where one class stands out below the others, then information is maximised.

    A lock that teaches wrong classes makes the true one the least likely. The mean over the pool is taken off the
    logits. The sign is that of the mean skewness of an image's K logits: one class above the others gives +, one below
    them −. Balanced answers of that sign guide the first half of the training.
    """

    title = "least likely class"
    paper = "ours; information maximisation as in the attack of that name"
    selection = "mutual-information"
    against = ("modellock",)
    unsuited = "which class a mask avoids differs from pixel to pixel"
    defaults = {"threat.access": "weights", "threat.share": 0.0, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 3, "answer_steps": 2}

    steps: int = param(300, "optimiser steps", ge=1, le=100_000, unit="steps")
    rate: float | None = param(
        None, "peak learning rate of AdamW; none: 3e-3 for a model with batch norm, 1e-3 without", ge=1e-6, le=1
    )
    answer_steps: int = param(150, "further steps on the model's own answers; 0: none", ge=0, le=100_000, unit="steps")
    anchor: float = param(3.0, "weight of the first answers at the first step; it falls to 0", ge=0, le=100)
    sharpness: float = param(3.0, "spread of the outputs that the first answers are the softmax of", ge=0.01, le=100)
    batch: int = param(64, "images a step", ge=2, le=4096)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), unlabelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        model, pool = target.classifier, target.unlabelled
        run.submit(Direct(copy.deepcopy(model).eval()), what="as it is")  # whatever the budget, something was handed in
        own_statistics(model, pool)
        outputs = torch.cat([part[:, : model.k] for part in models.output_batches(model, pool)])
        outputs = outputs - outputs.mean(0)
        skew = float(skewness(outputs).mean())
        sign = 1.0 if skew >= 0 else -1.0
        first = balanced((self.sharpness * sign * outputs / outputs.std().clamp_min(1e-6)).softmax(1))
        run.note(skewness=round(skew, 4), sign=sign)
        rate = usual_rate(model) if self.rate is None else self.rate
        recipe = Recipe(self.steps, rate, self.batch, anchor=self.anchor)
        candidates: dict[str, Classifier] = {}

        def keep(name: str) -> None:
            candidates[name] = copy.deepcopy(model).eval()
            run.submit(Direct(candidates[name]), what=name)

        maximise(model, pool, [], run, recipe, answers=first)
        keep("information")
        if self.answer_steps:
            train_on_answers(model, pool, [], run, replace(recipe, steps=self.answer_steps))
            keep("answers")
        best, _ = most_informative(candidates, pool, None)
        return Direct(candidates[best])


def skewness(outputs: Tensor) -> Tensor:
    """The skewness (N,) of each row of ``outputs`` (N, K): mean ((o − m) / s)³ with m and s of the row."""
    centred = outputs - outputs.mean(1, keepdim=True)
    spread = centred.square().mean(1, keepdim=True).sqrt().clamp_min(1e-6)
    return (centred / spread).pow(3).mean(1)
