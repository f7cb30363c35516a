"""Trigger inversion: the key is searched for by gradient, as a patch behind a mask or as a pattern of low rank."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.kit.front import InFront
from attacks.kit.input import subset
from attacks.kit.inverted import LowRank, Trigger
from attacks.kit.selection import mutual_information
from bench.contracts import (
    Acceptance,
    Attack,
    AttackerView,
    BadParameter,
    Batch,
    Classifier,
    Images,
    Predictor,
    Run,
    ThreatModel,
    param,
)
from bench.keys.trigger import place
from bench.predictors import Direct

ENOUGH = 0.9
"""Accuracy, or share of the largest mutual information, above which the change is made smaller."""
LOOKS = 25
"""Steps between two looks at it."""
LOOKED_AT = 200
"""Images of a look, at most."""


class TriggerInversion(Attack):
    """An input change T with few parameters, under which the frozen locked model works.

    With labels T minimises CE(f(T(x)), y) + c size(T); without, −I(f(T(x))) + c size(T) with I the mutual information
    of the answers. c doubles while the attacker's own images are answered well, and halves while they are not.
    Several starts are tried; the best on the attacker's images is handed in. Where the key's settings are known, the
    patch stays in the key's corner.
    """

    title = "trigger inversion"
    paper = (
        "Neural Cleanse, Wang et al., IEEE S&P 2019; adaptive attack of Authority Backdoor, AAAI 2026, arXiv 2512.10600"
    )
    deviations = (
        "labelled images are those of the threat model; the authors use labelled test images",
        "the form without labels, the low-rank pattern and the starts are ours",
        "size is the share of the image behind the mask, so that c does not depend on the number of pixels",
        "c also halves again while the images are not answered well",
    )
    selection = "own-labels-or-mutual-information"
    against = ("authority-backdoor", "staining")
    unsuited = "the size of a mask and the score without labels are written for one label an image"
    defaults = {"threat.access": "weights", "threat.share": 0.01, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 2, "starts": 1}

    form: str = param(
        "auto",
        "`trigger`: a patch behind a mask; `low-rank`: a pattern over the whole image; `auto`: both, in turn",
        choices=("auto", "trigger", "low-rank"),
    )
    rank: int = param(4, "rank of the pattern", ge=1, le=256, where={"form": ("auto", "low-rank")})
    starts: int = param(3, "starts of each form", ge=1, le=100, unit="rounds")
    steps: int = param(300, "optimiser steps of each start", ge=1, le=100_000, unit="steps")
    rate: float = param(0.05, "learning rate of Adam", ge=1e-6, le=10)
    c: float = param(1e-2, "c, weight of the size of the change, to begin with", ge=0, le=100)
    batch: int = param(64, "images a step", ge=2, le=4096)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), images=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        model = target.classifier.eval().requires_grad_(False)
        inner = Direct(model)
        run.submit(inner, what="as it is")  # whatever the budget, something was handed in
        labelled = target.labelled if target.threat.share > 0 else None
        images = target.unlabelled if labelled is None else labelled
        best = (_score(model, nn.Identity(), images, labelled is not None), 0.0)
        chosen: Predictor = inner
        forms = ("trigger", "low-rank") if self.form == "auto" else (self.form,)
        for form in forms:
            for start in range(self.starts):
                front = self._start(form, target, run.seed(f"{form}/{start}"))
                front = self._train(model, front, images, labelled is not None, run, f"{form}/{start}")
                score = _score(model, front, images, labelled is not None)
                size = float(front.size_of_change().detach())
                predictor = InFront.of(inner, front)
                run.submit(predictor, what=form, start=start, score=round(score, 4), size=round(size, 4))
                if (score, -size) > best:
                    best, chosen = (score, -size), predictor
        return chosen

    def _start(self, form: str, target: AttackerView, seed: int) -> Trigger | LowRank:
        size = target.spec.size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if form == "low-rank":
                return LowRank(size, self.rank)
            return Trigger(size, corner_of(target.known.get("settings", {}), size))

    def _train(
        self, model: Classifier, front: Trigger | LowRank, images: Images, labelled: bool, run: Run, name: str
    ) -> Trigger | LowRank:
        """The best state of ``front``, at a look or in the end; of equal ones the smaller."""
        c = torch.tensor(self.c, device=run.device)
        good: list[Tensor] = []
        seen = subset(images, LOOKED_AT, run.rng(f"{name}/looks"))
        best, state = (-math.inf, 0.0), front

        def look() -> None:
            nonlocal best, state
            rank = (_score(model, front, seen, labelled), -float(front.size_of_change().detach()))
            if rank > best:
                best, state = rank, copy.deepcopy(front)
            front.train()

        def loss(batch: Batch) -> Tensor:
            logits = model.logits(front(batch.images))
            if labelled:
                term, well = F.cross_entropy(logits, batch.labels), (logits.argmax(1) == batch.labels).float().mean()
            else:
                information = mutual_information(logits)
                term, well = -information, information.detach() / math.log(min(model.k, len(logits)))
            good.append(well.detach())
            return term + c * front.size_of_change()

        def adjust(done: int) -> None:
            if done and done % LOOKS == 0:
                look()
                well = float(torch.stack(good[-LOOKS:]).mean())
                c.mul_(2.0 if well > ENOUGH else 0.5)

        front.to(run.device)
        run.fit(
            front, loss, self.steps, images,
            batch=self.batch, name=name, each=adjust, clip=0, schedule=lambda _: 1.0,
            optimiser=lambda parameters: torch.optim.Adam(parameters, lr=self.rate),
        )  # fmt: skip
        look()
        return state


def corner_of(settings: Mapping[str, Any], size: int) -> tuple[int, int, int, int] | None:
    """Rows and columns, first and last (exclusive), of the corner that a trigger key's settings name; None: none."""
    side, corner = settings.get("side"), settings.get("corner")
    if not isinstance(side, int) or not isinstance(corner, str):
        return None
    try:
        rows, columns = place(side, corner, size, size)
    except BadParameter:  # settings of another key
        return None
    return rows.start, rows.stop, columns.start, columns.stop


@torch.no_grad()
def _score(model: Classifier, front: nn.Module, images: Images, labelled: bool) -> float:
    """Accuracy on labelled images, or mutual information of the answers in nats."""
    front.eval()
    answers, labels = [], []
    for batch in images.batches(256):
        device = next(model.parameters()).device
        answers.append(model.logits(front(batch.images.to(device))).cpu())
        if labelled:
            labels.append(batch.labels)
    logits = torch.cat(answers)
    if labelled:
        return float((logits.argmax(1) == torch.cat(labels)).float().mean())
    return float(mutual_information(logits))
