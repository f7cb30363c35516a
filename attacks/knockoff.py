"""Knockoff nets: a student learns a locked model's answers to images that are not the task's at all."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.kit.access import ANSWERS
from attacks.kit.input import to_pixels
from attacks.kit.students import (
    affordable,
    all_labelled,
    answers_to,
    learn,
    soft_targets,
    student,
    with_own_statistics,
)
from bench.contracts import Acceptance, Attack, AttackerView, Classifier, Images, Predictor, Run, ThreatModel, param
from bench.predictors import Direct
from bench.synthesis import surrogates


class Knockoff(Attack):
    """A student learns the locked model's answers to procedural images.

    Each round queries the surrogates that the student is least sure of, far from one another in its embedding, and
    trains the student on all answers so far. Where the view has images, mosaics of them are among the surrogates. True
    labels are learned beside the answers. With unlabelled images the student ends with their batch-norm statistics.
    """

    title = "knockoff nets"
    paper = "Orekondy, Schiele, Fritz: Knockoff Nets, CVPR 2019"
    selection = "last"
    unsuited = "its surrogate images hold no objects, so that answers to their pixels teach no shapes"
    defaults = {"threat.access": "logits", "threat.share": 0.0, "threat.wordlist": "none", "threat.known": "none"}
    deviations = (
        "the transfer set is procedural (strokes, blobs, waves, clouds, mosaics), not ImageNet",
        "adaptive selection scores single images by the student's margin and greedy k-centre distance; the paper's "
        "bandit runs over labels of the transfer set, which surrogates have none of",
        "for images whose answer is an extra output the student learns the K real logits, renormalised; under "
        "access=labels they are left out",
    )
    quick = {"steps": 3, "queries": 80, "rounds": 1}

    student: str = param("same", "the victim's architecture (`same`), vit, cnn, or a timm name")
    start: str = param("public", "weights the student starts from", choices=("public", "random"))
    choose: str = param("adaptive", "how surrogates are chosen", choices=("adaptive", "random"))
    queries: int = param(2000, "surrogates queried in all", ge=1, le=1_000_000, unit="images")
    rounds: int = param(4, "rounds of querying and learning; the student is handed in after each", ge=1, le=50)
    steps: int = param(600, "optimiser steps in all", ge=1, le=100_000, unit="steps")
    rate: float = param(3e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(64, "images a step", ge=2, le=4096)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(ANSWERS)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        k, size = target.spec.k, target.spec.size
        mine = target.unlabelled if target.threat.unlabelled else all_labelled(target)
        own = None if mine is None else mine.images
        rng = run.rng("surrogates")
        model = student(self.student, self.start, target, run)
        pixels = torch.zeros(0, 3, size, size, dtype=torch.uint8)
        targets, weight = torch.zeros(0, k), torch.zeros(0)
        last = copy.deepcopy(model)
        run.submit(Direct(last), images=0)
        for part in range(self.rounds):
            n = affordable(target, run, self.queries * (part + 1) // self.rounds - self.queries * part // self.rounds)
            pool = surrogates(3 * n if self.choose == "adaptive" and part else n, size, rng, own)
            images = pool[informative(model, pool, n)] if len(pool) > n else pool
            new = soft_targets(answers_to(target, images), k, target.threat.access == "labels")
            targets, weight = torch.cat([targets, new[0]]), torch.cat([weight, new[1]])
            pixels = torch.cat([pixels, to_pixels(images)])
            steps = self.steps * (part + 1) // self.rounds - self.steps * part // self.rounds
            if steps and len(pixels):
                learn(
                    model, Images(pixels), targets, weight, run, steps, self.rate, self.batch, f"student/{part}",
                    all_labelled(target),
                )  # fmt: skip
            last = with_own_statistics(model, target, run)
            run.submit(Direct(last), images=len(pixels))
        return Direct(last)


@torch.no_grad()
def informative(model: Classifier, images: Tensor, n: int) -> Tensor:
    """(n,) indices of images (N, 3, H, W): the narrowest margins, then spread out by greedy k-centres in half of them.

    Args:
        n: at most N; twice as many of the least sure are considered.
    """
    model.eval()
    device = next(model.parameters()).device
    embedding = torch.cat([model.embed(part.to(device)) for part in images.split(256)])
    best = model.head(embedding)[:, : model.k].softmax(1).topk(2, dim=1).values
    unsure = (best[:, 0] - best[:, 1]).argsort()[: 2 * n]
    return unsure[k_centres(F.normalize(embedding[unsure], dim=1), n)].cpu()


def k_centres(points: Tensor, n: int) -> Tensor:
    """(n,) indices into points (N, D): the first, then each time the one farthest from all taken."""
    centres = torch.zeros(n, dtype=torch.int64, device=points.device)
    away = torch.full((len(points),), torch.inf, device=points.device)
    for i in range(1, n):
        away = torch.minimum(away, (points - points[centres[i - 1]]).square().sum(1))
        centres[i] = away.argmax()
    return centres
