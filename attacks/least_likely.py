"""Least likely: the class that a locked model avoids is the answer; no labels."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.information_maximisation import InformationMaximisation
from attacks.kit.information import balanced
from attacks.kit.output_maps import sign_of, skewness
from bench import models
from bench.contracts import Classifier, Images, Run, param


class LeastLikely(InformationMaximisation):
    """The outputs change their sign where one class stands out below the others, then information is maximised.

    A lock that teaches wrong classes makes the true one the least likely. The mean over the pool is taken off the
    logits. The sign is that of the mean skewness of an image's K logits: one class above the others gives +, one below
    them −. Balanced answers of that sign guide the first half of the training.
    """

    title = "least likely class"
    paper = "ours; information maximisation as in the attack of that name"
    against = ("modellock",)
    tasks = ("classification",)
    unsuited = "which class a mask avoids differs from pixel to pixel"
    unsuited_values = {}

    anchor: float = param(3.0, "weight of the first answers at the first step; it falls to 0", ge=0, le=100)
    sharpness: float = param(3.0, "spread of the outputs that the first answers are the softmax of", ge=0.01, le=100)

    def first_answers(self, model: Classifier, pool: Images, run: Run) -> Tensor:
        """Balanced answers by the outputs, or by their negative where one class stands out below the others."""
        outputs = torch.cat([part[:, : model.k] for part in models.output_batches(model, pool)])
        outputs = outputs - outputs.mean(0)
        sign = sign_of(outputs)
        run.note(skewness=round(float(skewness(outputs).mean()), 4), sign=sign)
        return balanced(self.sharpness * sign * outputs / outputs.std().clamp_min(1e-6))
