"""TENT: the locked model adapts its norm layers on each batch of the test stream, by entropy, without labels."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from attacks.kit.norms import affine_parameters
from bench import models
from bench.contracts import Acceptance, Attack, AttackerView, Classifier, Predictor, Run, ThreatModel, param


class Tent(Attack):
    """The norm layers minimise entropy on each batch of the test stream.

    It is the mean entropy over the K real classes; scales and shifts are what is trained. Batch norms take the
    statistics of the batch at hand. Answers are those before the batch's own update.
    """

    title = "TENT"
    paper = (
        "Wang, Shelhamer, Liu, Olshausen, Darrell: Tent: Fully Test-Time Adaptation by Entropy Minimization, ICLR 2021"
    )
    selection = "last"
    deviations = (
        "layer and group norms are adapted too, where the paper has batch norm only",
        "batches have the judge's size, 64 where the paper has 200; a batch of one image takes the running statistics",
        "entropy is over the K real classes: extra outputs are dropped",
        "updates follow the stream that the judge shows, after the attack has ended, so no meter counts them",
    )
    tasks = ("classification", "segmentation")
    defaults = {
        "threat.access": "weights",
        "threat.share": 0.0,
        "threat.unlabelled": False,
        "threat.wordlist": "none",
        "threat.known": "none",
    }
    quick = {"steps": 3}

    steps: int = param(1, "updates on each batch", ge=1, le=100, unit="steps")
    rate: float = param(1e-2, "learning rate of Adam", ge=1e-6, le=1)
    statistics: str = param(
        "batch",
        "of batch norm: those of the `batch` at hand, or the `stored` ones of the locked model",
        choices=("batch", "stored"),
    )
    answer: str = param(
        "before", "which answers count: `before` a batch's update (online) or `after`", choices=("before", "after")
    )

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",))

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        run.meter.steps = None  # unknown, not 0
        return Adapting(copy.deepcopy(target.classifier), self.steps, self.rate, self.statistics, self.answer)


class Adapting(Predictor):
    """A classifier that changes while it predicts."""

    transductive = True

    def __init__(self, classifier: Classifier, steps: int, rate: float, statistics: str, answer: str) -> None:
        super().__init__()
        self.classifier, self.k = classifier, classifier.k
        self.config: dict[str, Any] = {"steps": steps, "rate": rate, "statistics": statistics, "answer": answer}
        self.optimiser: torch.optim.Optimizer | None = None

    def arguments(self) -> dict[str, Any]:
        return dict(self.config)

    def _prepare(self, n: int) -> list[nn.Parameter]:
        """Set every layer's mode for a batch of ``n`` and return the affine parameters."""
        self.classifier.eval()
        for norm in models.batch_norms(self.classifier):
            # In training mode the running statistics follow the stream: what a batch of one is answered by.
            norm.train(self.config["statistics"] == "batch" and n > 1)
        return affine_parameters(self.classifier)

    def predict(self, images: Tensor) -> Tensor:
        affine = self._prepare(len(images))
        answers = None
        with torch.enable_grad():
            if self.optimiser is None and affine:
                self.classifier.requires_grad_(False)
                for p in affine:
                    p.requires_grad_(True)
                self.optimiser = torch.optim.Adam(affine, lr=self.config["rate"])
            if self.optimiser is not None:
                for _ in range(self.config["steps"]):
                    logits = self.classifier.logits(images)
                    answers = logits.detach() if answers is None else answers
                    entropy = -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()
                    self.optimiser.zero_grad(set_to_none=True)
                    entropy.backward()
                    self.optimiser.step()
        if answers is None or self.config["answer"] == "after":
            with torch.no_grad():
                answers = self.classifier.logits(images)
        return answers
