"""Learned input: train what stands in front of the frozen locked model until clean images classify."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.kit.access import ask
from attacks.kit.front import InFront
from attacks.kit.input import Pattern, Residual, Transform
from bench import pixels
from bench.augment import jitter
from bench.contracts import Acceptance, Attack, AttackerView, Batch, Images, Predictor, Run, ThreatModel, param
from bench.predictors import Direct
from bench.training import holdout


class LearnedInput(Attack):
    """An input transform is trained on labelled images; the model stays frozen.

    The loss is cross-entropy over the K real classes. A visual prompt is one pattern for all images. A network sees the
    image, and can classify by itself: how well, its score against the calibration lock `destroyed` shows.
    """

    title = "learned input"
    paper = (
        "adversarial reprogramming, Elsayed, Goodfellow, Sohl-Dickstein, ICLR 2019; "
        "visual prompting, Bahng et al., 2022, arXiv 2203.17274"
    )
    deviations = (
        "classes keep their outputs: the locked model was trained on them, so no label mapping is needed",
        "the prompt is initialised to 0 and optimised by AdamW, where visual prompting has SGD",
    )
    tasks = ("classification", "segmentation")
    defaults = {"threat.access": "weights", "threat.share": 0.1, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 3}

    form: str = param("network", "what stands in front", choices=("visual-prompt", "network"))
    border: int = param(
        0, "a visual prompt's frame; 0: a pattern over the whole image", ge=0, le=1024, unit="pixels",
        where={"form": ("visual-prompt",)},
    )  # fmt: skip
    width: int = param(24, "channels of the network", ge=1, le=512, where={"form": ("network",)})
    steps: int = param(400, "optimiser steps", ge=1, le=100_000, unit="steps")
    rate: float = param(3e-3, "peak learning rate of AdamW, ten times that for a visual prompt", ge=1e-6, le=1)
    batch: int = param(32, "images a step", ge=1, le=4096)
    select: str = param(
        "last", "`held-out`: the best of start and four stages on a fifth of the labelled images, not trained on",
        choices=("last", "held-out"),
    )  # fmt: skip

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), labelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        model = target.classifier.eval().requires_grad_(False)
        torch.manual_seed(run.seed("transform"))
        size, prompt = target.spec.size, self.form == "visual-prompt"
        front: Transform = Pattern(size, self.border) if prompt else Residual(size, self.width)
        train = target.labelled
        validation: Images | None = None
        if self.select == "held-out":
            train, rest = holdout(train, 0.2, run.rng("held out"))
            validation = rest if len(rest) else None

        def loss(batch: Batch) -> Tensor:
            return F.cross_entropy(model.logits(front(batch.images)), batch.labels)

        stages = 4 if validation is not None else 1
        fronts = [copy.deepcopy(front)]
        for part in range(stages):
            run.fit(
                front, loss, max(1, self.steps // stages), train,
                rate=self.rate * (10 if prompt else 1), batch=self.batch, decay=0.0 if prompt else 0.05,
                augment=jitter, name=f"input/{part}",
            )  # fmt: skip
            fronts.append(copy.deepcopy(front))
            run.submit(InFront.of(Direct(model), front), part=part)
        if validation is None:
            return InFront.of(Direct(model), front)
        right = [_right(target, stage.cpu(), validation) for stage in fronts]
        return InFront.of(Direct(model), fronts[max(range(len(fronts)), key=lambda i: (right[i], i))])


@torch.no_grad()
def _right(target: AttackerView, front: Transform, images: Images) -> float:
    """Accuracy, or mean IoU, of the locked model on labelled ``images`` behind ``front``; percent."""
    answers = ask(target, front(images.images))[:, : target.spec.k].argmax(1)
    return pixels.score(answers, images.labels, target.spec.k)
