"""What extraction attacks share: students, targets from locked answers, budgets of queries."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.kit.access import ask
from attacks.kit.maps import jittered
from bench import models
from bench.augment import jitter, varied
from bench.contracts import AttackerView, Batch, Classifier, Images, Run
from bench.pixels import one_hot

ROUND = 64
"""Images in one query, so that a budget is used up to its last image."""


def student(name: str, start: str, target: AttackerView, run: Run) -> Classifier:
    """A fresh classifier of the task's K classes.

    Args:
        name: ``same`` for the victim's architecture, else as `bench.models.build` takes it.
        start: ``public`` or ``random`` weights.

    Raises:
        UserError: no such model, or its public weights cannot be had.
    """
    seed = run.seed("student")
    if name != "same":
        return models.build(name, target.spec, weights=start, seed=seed).to(run.device)
    model = target.public_model()
    if start == "random":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = models.rebuild(model.spec)
    return model.to(run.device)


def affordable(target: AttackerView, run: Run, n: int) -> int:
    """How many of ``n`` images the rest of the query budget covers; all of them where the attacker has the weights."""
    if target.threat.access == "weights" or run.budget.queries is None:
        return n
    return max(0, min(n, run.budget.queries - (run.meter.queries or 0)))


def answers_to(target: AttackerView, images: Tensor) -> Tensor:
    """(N, K + extra) answers to images (N, 3, H, W), or (N, K + extra, H, W), `ROUND` at a time.

    Raises:
        BudgetSpent: the query budget does not cover them.
    """
    if not len(images):
        return torch.zeros(0, target.spec.k, *(images.shape[2:] if target.spec.is_dense else ()))
    return torch.cat([ask(target, part) for part in images.split(ROUND)])


def soft_targets(outputs: Tensor, k: int, hard: bool, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """What a student learns from locked answers (N, K + extra): probabilities (N, K) and weights (N,) of the images.

    An answer in an extra output says "not for you"; its K real outputs, renormalised, still rank the classes. A hard
    label has no rest to renormalise: one beyond K teaches nothing, and weighs 0. Answers to pixels give maps,
    (N, K, H, W) and (N, H, W).
    """
    if hard:
        label = outputs.argmax(1)
        return one_hot(label.clamp(max=k - 1), k), (label < k).float()
    return (outputs[:, :k] / temperature).softmax(1), torch.ones_like(outputs[:, 0])


def divergence(logits: Tensor, targets: Tensor, weight: Tensor, temperature: float = 1.0) -> Tensor:
    """Hinton's soft-target loss: T² · Σ w KL(targets ‖ softmax(logits / T)) / Σ w, for answers softened by T."""
    each = F.kl_div((logits / temperature).log_softmax(1), targets, reduction="none").sum(1)
    return temperature**2 * (weight * each).sum() / weight.sum().clamp_min(1e-8)


def learn(
    model: Classifier,
    images: Images,
    targets: Tensor,
    weight: Tensor,
    run: Run,
    steps: int,
    rate: float,
    batch: int,
    name: str,
    labelled: Images | None = None,
    temperature: float = 1.0,
    more: Callable[[Batch], Tensor] | None = None,
    beside: nn.Module | None = None,
) -> None:
    """Train ``model`` on jittered ``images`` towards ``targets`` (N, K), and on ``labelled`` ones by their labels.

    Targets that are maps (N, K, H, W) move with their images.

    Args:
        weight: (N,) of each image in the soft term, or (N, H, W) of each pixel.
        more: a further loss of the batch of ``images``.
        beside: a module of that loss, trained with the student.
    """

    is_dense, rng = targets.ndim > 2, run.rng(f"{name}/moves")

    def loss(soft: Batch, true: Batch | None = None) -> Tensor:
        n = len(soft.images)
        answers, weights = (soft.of(t) for t in (targets, weight))
        if is_dense:
            moved, maps = jittered(soft.images, torch.cat([answers, weights[:, None]], 1), rng)
            soft, answers, weights = soft.with_images(moved), maps[:, :-1], maps[:, -1]
            true = None if true is None else varied(true, jitter, rng)
        logits = model.logits(soft.images if true is None else torch.cat([soft.images, true.images]))
        out = divergence(logits[:n], answers, weights, temperature)
        if true is not None:
            out = out + F.cross_entropy(logits[n:], true.labels)
        return out if more is None else out + more(soft)

    sources = [images] if labelled is None else [images, labelled]
    own = [*model.parameters(), *([] if beside is None else beside.parameters())]
    groups = [
        {"params": [p for p in own if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in own if p.ndim <= 1], "weight_decay": 0.0},
    ]
    augment = None if is_dense else jitter
    run.fit(model, loss, steps, *sources, rate=rate, batch=batch, augment=augment, name=name, parameters=groups)


def with_own_statistics(model: Classifier, target: AttackerView, run: Run) -> Classifier:
    """A copy of ``model`` in evaluation mode, with the batch-norm statistics of unlabelled images where there are any.

    A student that learned from other images has the statistics of those.
    """
    student = copy.deepcopy(model).eval()
    if target.threat.unlabelled and models.has_batch_norm(student):
        models.reestimate_batch_norm(student, target.unlabelled)
    return student


def all_labelled(target: AttackerView) -> Images | None:
    """The labelled images that the view holds, of either side; None where there are none."""
    sets = [target.labelled] if target.threat.share > 0 else []
    if target.threat.authorised > 0:
        sets.append(target.authorised)
    if not sets:
        return None
    images, labels = Images(torch.cat([s.pixels for s in sets])), torch.cat([s.labels for s in sets])
    return images.with_masks(labels) if labels.ndim > 1 else Images(images.pixels, labels)
