"""NRC: an image's neighbours in embedding space, mutual ones above all, say what its class is."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.kit.adaptation import Course, balance, weak
from attacks.kit.memory_bank import nearest
from bench.contracts import Acceptance, Attack, AttackerView, Batch, Predictor, Run, ThreatModel, param


class NRC(Attack):
    """Each image learns to agree with its neighbours' answers.

    Minimises −Σ_j A_j S_j·p − r Σ_j Σ_m S_m·p − S_i·p − H(mean p): j runs over the K nearest images, m over the
    neighbours of those, S is the bank of answers, and A_j is 1 where the image is in turn near j, else r.
    """

    title = "NRC"
    paper = "Yang, van de Weijer, Herranz, Jui: Exploiting the Intrinsic Neighborhood Structure, NeurIPS 2021"
    selection = "mutual-information"
    deviations = (
        "AdamW instead of SGD, and no bottleneck layer",
        "the banks are computed anew by evaluating the model on all images, which a few hundred of them allow; in "
        "between, a batch refreshes its own rows",
    )
    unsuited = "its neighbours are those of one embedding for each image"
    defaults = {"threat.access": "weights", "threat.share": 0.0, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 3}

    steps: int = param(300, "optimiser steps", ge=1, le=100_000, unit="steps")
    near: int = param(5, "K, neighbours of an image", ge=1, le=100)
    expanded: int = param(5, "M, neighbours of a neighbour", ge=1, le=100)
    other: float = param(0.1, "r, weight of what is not reciprocal", ge=0, le=1)
    every: int = param(20, "steps between two full draws of the banks", ge=1, le=10_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(64, "images a step", ge=2, le=4096)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), unlabelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        course, rng = Course(target, run), run.rng("views")
        memory = course.memory()

        def refresh() -> None:
            memory.refresh(course.model)

        def loss(batch: Batch) -> Tensor:
            embedding, logits = course.both(weak(batch.images, rng))
            p, index = logits.softmax(1), batch.there
            memory.write(index, embedding.detach(), p.detach())
            answers = memory.answers
            near, beyond, affinity = neighbourhood(
                embedding.detach(), memory.embeddings, index, self.near, self.expanded, self.other
            )
            agree = (affinity * (answers[near] * p[:, None]).sum(-1)).sum(1)
            further = self.other * (answers[beyond] * p[:, None, None]).sum((1, 2, 3))
            own = (answers[index] * p).sum(1)
            return balance(p) - (agree + further + own).mean()

        course.fit(loss, self.steps, rate=self.rate, batch=self.batch, refresh=refresh, every=self.every)
        return course.best()


def neighbourhood(
    embedding: Tensor, features: Tensor, index: Tensor, k: int, m: int, r: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Neighbours (B, k) of images, neighbours of those (B, k, m), and the affinity (B, k) of the first.

    Args:
        embedding: (B, D) of the images, whose rows in the bank ``features`` (N, D) are ``index`` (B,).
        r: the affinity of a neighbour that does not have the image among its own m nearest; 1 where it has.
    """
    near = nearest(embedding, features, k, but=index)
    flat = near.flatten()
    beyond = nearest(features[flat], features, m, but=flat).view(*near.shape, -1)
    mutual = (beyond == index[:, None, None]).any(-1)
    return near, beyond, torch.where(mutual, 1.0, r)
