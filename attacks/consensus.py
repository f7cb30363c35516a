"""Consensus: wrong edits of the attacker's own vote on pseudo-labels, and the locked model trains on them. Adaptive."""

from __future__ import annotations

import copy
import random

import torch
from torch import Tensor

from attacks.kit.input import subset
from attacks.kit.known import edit_settings
from attacks.kit.maps import jittered
from attacks.kit.norms import affine_parameters
from attacks.kit.selection import class_shares, highest, information_and_mass, mutual_information
from bench import models
from bench.augment import jitter
from bench.contracts import (
    Acceptance,
    Attack,
    AttackerView,
    Batch,
    Classifier,
    Images,
    Predictor,
    Run,
    ThreatModel,
    param,
)
from bench.editors.vocabulary import KEY_TEMPLATE
from bench.predictors import Direct


class Consensus(Attack):
    """Self-training on labels that wrong edits and adapted norm layers agree on.

    ModelLock trains edited images to keep their label, and leads raw ones away, perhaps to an extra output. The attack
    therefore drops extra outputs and adapts the norm layers to raw images. Edits with random prompts are further views,
    on which part of the locked model still answers. Views vote; a vote weighs by how informative a view is and how far
    it agrees with the others. Then all layers are trained on raw and edited views alike.
    """

    title = "consensus"
    paper = "ours, against Gao et al., 2024; pseudo-labels after SHOT, Liang et al., ICML 2020"
    keys = ("edit",)
    against = ("modellock",)
    selection = (
        "averaged-mutual-information",
        "highest mutual information of answers averaged over moved copies of the attacker's images; no label",
    )
    tasks = ("classification", "segmentation")
    defaults = {
        "threat.access": "weights",
        "threat.share": 0.0,
        "threat.wordlist": "styles",
        "threat.known": "editor+settings",
        "threat.listed": False,
    }
    quick = {"steps": 3, "adapt": 2, "rounds": 1}

    prompts: int = param(4, "wrong edits that vote", ge=0, le=1000, unit="prompts")
    images: int = param(400, "unlabelled images, at most", ge=2, le=100_000, unit="images")
    adapt: int = param(150, "steps on the norm layers", ge=0, le=100_000, unit="steps")
    steps: int = param(150, "steps of each round of self-training", ge=1, le=100_000, unit="steps")
    rounds: int = param(2, "rounds of voting and self-training", ge=1, le=100)
    rate: float = param(5e-4, "peak learning rate of self-training", ge=1e-6, le=1)
    temperature: float = param(
        0.2, "of the votes' weights, in nats: small follows the best view alone", ge=1e-3, le=100
    )
    information: float = param(0.3, "weight of mutual information beside the pseudo-labels", ge=0, le=100)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), unlabelled=True, words=self.prompts > 0)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        locked = target.classifier
        raw = subset(target.unlabelled, self.images, run.rng("images"))
        student = self._adapt(copy.deepcopy(locked), raw, run)
        candidates = {"as it is": locked, "adapted": student}
        run.submit(Direct(student), what="adapted")
        views = [raw.images, *self._edits(raw, target, run)]
        for number in range(self.rounds):
            votes = [models.outputs(model, view) for model in (locked, student) for view in views]
            labels = vote(votes, locked.k, self.temperature).to(run.device)
            student = copy.deepcopy(student)
            self._train(student, views, labels, run, number)
            candidates[f"round {number + 1}"] = student
            run.submit(Direct(student), what=f"round {number + 1}")
        if target.spec.is_dense:
            seeds = [run.seed(f"moved/{i}") for i in range(3)]
            shares = class_shares(locked, raw)
            scores = {name: _steady_information(model, raw.images, seeds, shares) for name, model in candidates.items()}
            return Direct(candidates[highest(scores)])
        rng = run.rng("moved")
        copies = [raw.images, *(jitter(raw.images, rng) for _ in range(3))]
        scores = {name: _robust_information(model, copies) for name, model in candidates.items()}
        return Direct(candidates[highest(scores)])

    def _edits(self, raw: Images, target: AttackerView, run: Run) -> list[Tensor]:
        """The images after each of a few prompts that are most likely wrong."""
        if not self.prompts:
            return []
        words = list(target.wordlist())
        words = random.Random(run.seed("prompts")).sample(words, min(self.prompts, len(words)))
        settings = edit_settings(target.known)
        out = []
        for prompt, edited in run.edits(raw.images, [KEY_TEMPLATE.format(word) for word in words], settings):
            run.guess(prompt)
            out.append(edited)
        return out

    def _adapt(self, model: Classifier, raw: Images, run: Run) -> Classifier:
        """Batch-norm statistics of raw images, then mutual information on every norm layer."""
        models.reestimate_batch_norm(model, raw)
        affine, shares = affine_parameters(model), class_shares(model, raw)

        def loss(batch: Batch) -> Tensor:
            return -mutual_information(model.logits(batch.images), shares)

        if affine and self.adapt:
            run.fit(
                model, loss, self.adapt, raw, rate=3e-3, decay=0.0, batch=128, parameters=affine, train_mode=False,
                augment=jitter, name="adapt",
            )  # fmt: skip
        return model

    def _train(self, student: Classifier, views: list[Tensor], labels: Tensor, run: Run, number: int) -> None:
        """Cross-entropy on the consensus of views, three quarters of them raw, each image by its confidence."""
        raw = Images((views[0] * 255).round().byte())
        edited = Images((torch.cat(views[1:]) * 255).round().byte()) if len(views) > 1 else raw
        weights = labels.amax(1)
        weights = weights / weights.mean()
        is_dense, moves = labels.ndim > 2, run.rng(f"self-train/{number}/moves")
        shares = class_shares(student, raw)

        def loss(r: Batch, e: Batch) -> Tensor:
            at = torch.cat([r.there, e.there % len(raw)]).to(labels.device)
            images, goals, share = torch.cat([r.images, e.images]), labels[at], weights[at]
            if is_dense:
                images, maps = jittered(images, torch.cat([goals, share[:, None]], 1), moves)
                goals, share = maps[:, :-1], maps[:, -1]
            outputs = student.logits(images)
            each = -(goals * outputs.log_softmax(1)).sum(1)
            return (share * each).mean() - self.information * mutual_information(outputs[: len(r.images)], shares)

        # Statistics stay those of raw images, which is what the student will be asked about.
        run.fit(
            student, loss, self.steps, raw, edited,
            rate=self.rate, batch=(48, 16), augment=None if is_dense else jitter, train_mode=False,
            name=f"self-train/{number}",
        )  # fmt: skip


def vote(votes: list[Tensor], k: int, temperature: float, rounds: int = 3) -> Tensor:
    """Consensus (N, K) of logits (N, K + extra) of several views of the same images; maps of maps.

    A view weighs exp(s / temperature), s its label-free score plus the mean log probability that the consensus gives
    to its answers: a view that is sure of itself but alone loses its weight.
    """
    p = torch.stack([outputs[:, :k].softmax(1) for outputs in votes])
    own = torch.stack([information_and_mass(outputs, k) for outputs in votes])
    weight = (own / temperature).softmax(0)
    for _ in range(rounds):
        consensus = torch.einsum("v,vnk...->nk...", weight, p)
        answers = p.argmax(2)
        agreement = torch.stack([consensus.gather(1, s[:, None]).clamp_min(1e-3).log().mean() for s in answers])
        weight = ((own + agreement) / temperature).softmax(0)
    return torch.einsum("v,vnk...->nk...", weight, p)


def _robust_information(model: Classifier, copies: list[Tensor]) -> float:
    """Mutual information of the answers averaged over ``copies`` of the same images: unsteady answers score low."""
    p = torch.stack([models.logits(model, x).softmax(1) for x in copies]).mean(0)
    return float(mutual_information(p.clamp_min(1e-8).log()))


def _steady_information(model: Classifier, images: Tensor, seeds: list[int], shares: Tensor | None = None) -> float:
    """As `_robust_information`, of pixels: answers to moved images are averaged with answers that moved alike.

    Args:
        model: a candidate.
        images: (N, 3, H, W).
        seeds: of the moves.
        shares: of the classes, as `class_shares` has them.
    """
    p = models.logits(model, images).softmax(1)
    total = 0.0
    for seed in seeds:
        copies, moved = jittered(images, p, torch.Generator().manual_seed(seed))
        both = (moved + models.logits(model, copies).softmax(1)) / 2
        total += float(mutual_information(both.clamp_min(1e-8).log(), shares))
    return total / len(seeds)
