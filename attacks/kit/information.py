"""Information maximisation: confident and balanced answers to unlabelled images, and right ones to labelled images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.kit.selection import mutual_information
from bench import models
from bench.augment import jitter, recolour
from bench.contracts import Augment, Batch, Classifier, Images, Run
from bench.placement import uniform


def mixed(images: Tensor, rng: torch.Generator) -> Tensor:
    """`recolour` of a random half of the images (N, 3, H, W), `jitter` of the others."""
    half = uniform((len(images), 1, 1, 1), rng, images.device) < 0.5
    return torch.where(half, recolour(images, rng), jitter(images, rng))


AUGMENTATIONS: dict[str, Augment] = {"jitter": jitter, "recolour": recolour, "mixed": mixed}


@dataclass(frozen=True)
class Recipe:
    """How a model is trained by information maximisation.

    Args:
        steps: optimiser steps.
        rate: peak learning rate of AdamW.
        batch: images of each source a step.
        augment: how images are varied, of `AUGMENTATIONS`.
        labelled: weight of the cross-entropy on labelled images.
        anchor: weight of the cross-entropy to given answers at the first step; it falls to 0 over the first half.
    """

    steps: int
    rate: float
    batch: int = 64
    augment: str = "jitter"
    labelled: float = 1.0
    anchor: float = 0.0


def maximise(
    model: Classifier,
    pool: Images,
    labelled: list[Images],
    run: Run,
    recipe: Recipe,
    answers: Tensor | None = None,
    name: str = "information",
    beside: Images | None = None,
    shares: Tensor | None = None,
) -> None:
    """Train ``model`` in place: minimises w Σ CE(f(x_l), y) + a CE(f(x_u), q) − I(f(x_u)) over K classes.

    I = H(mean p) − mean H(p). Each source passes the model by itself, so that batch norm normalises every side by its
    own statistics. In the end batch norms have those of ``pool``.

    Args:
        pool: x_u, unlabelled images that the model is to answer.
        labelled: x_l, sets of labelled images of either side.
        answers: q, (N, K) probabilities of the classes of ``pool``, or those times a weight of each image; without them
            a is 0.
        beside: x_l that pass the model together with the pool: of its side, and too few for statistics of their own.
        shares: of the classes among pixels, as `attacks.kit.selection.class_shares` has them.
    """

    def loss(logits: Tensor, pool: Batch, step: int) -> Tensor:
        out = -mutual_information(logits, shares)
        anchor = recipe.anchor * max(0.0, 1 - 2 * step / recipe.steps)
        if answers is not None and anchor:
            out = out + anchor * F.cross_entropy(logits, pool.of(answers))
        return out

    _train(model, pool, labelled, run, recipe, name, beside, loss)


def balanced(scores: Tensor, rounds: int = 10, sharpness: float = 2.0) -> Tensor:
    """Probabilities (N, K), ``sharpness`` times ``scores`` in the exponent, that give all classes equal mass.

    Sinkhorn's rounds run on logarithms: a class that a lock answers always, however surely, hides no other. What is
    added to the scores of an image or of a class changes nothing.

    Args:
        scores: (N, K), logits or log-probabilities, finite.

    Returns:
        Rows sum to 1; columns nearly to N / K.
    """
    q = sharpness * scores
    for _ in range(rounds):
        q = q.log_softmax(0)
        q = q.log_softmax(1)
    return q.exp()


def logs(p: Tensor) -> Tensor:
    """Logarithms of probabilities ``p``, for `balanced`; what is under a millionth counts as that."""
    return p.clamp_min(1e-6).log()


def train_on_answers(
    model: Classifier,
    pool: Images,
    labelled: list[Images],
    run: Run,
    recipe: Recipe,
    name: str = "answers",
    beside: Images | None = None,
) -> None:
    """A round of self-training in place: cross-entropy on the model's own answers to ``pool``, and on true labels.

    The answers are fixed before the round; images are varied, so that the model learns to answer changed ones alike.
    Arguments are those of `maximise`.
    """
    answers = models.answers(model, pool)
    if answers.ndim > 1:  # masks move with the images
        pool = pool.with_masks(answers)

    def loss(logits: Tensor, pool: Batch, _step: int) -> Tensor:
        labels = pool.labels if answers.ndim > 1 else pool.of(answers)
        return F.cross_entropy(logits, labels)

    _train(model, pool, labelled, run, recipe, name, beside, loss)


def _train(
    model: Classifier,
    pool: Images,
    labelled: list[Images],
    run: Run,
    recipe: Recipe,
    name: str,
    beside: Images | None,
    loss_of_pool: Callable[[Tensor, Batch, int], Tensor],
) -> None:
    """Minimise ``loss_of_pool`` (of logits, their batch, the step) plus w CE of labels, then take statistics."""
    step = 0

    def count(number: int) -> None:
        nonlocal step
        step = number

    def loss(unlabelled: Batch, *others: Batch) -> Tensor:
        n, with_it = len(unlabelled), others[:1] if beside is not None else ()
        logits = model.logits(torch.cat([unlabelled.images, *(b.images for b in with_it)]))
        out = loss_of_pool(logits[:n], unlabelled, step)
        for batch in with_it:
            out = out + recipe.labelled * F.cross_entropy(logits[n:], batch.labels)
        for batch in others[len(with_it) :]:
            out = out + recipe.labelled * F.cross_entropy(model.logits(batch.images), batch.labels)
        return out

    run.fit(
        model, loss, recipe.steps, pool, *([] if beside is None else [beside]), *labelled,
        rate=recipe.rate, batch=recipe.batch, augment=AUGMENTATIONS[recipe.augment], name=name, each=count,
    )  # fmt: skip
    own_statistics(model, pool)


def usual_rate(model: Classifier) -> float:
    """Peak learning rate of AdamW for information maximisation: 3e-3 for a model with batch norm, 1e-3 without.

    Tuned on seeds 1000 and 1001: the miniature ViT loses its classes at 3e-3, the CNN mixes some up at 1e-3.
    """
    return 3e-3 if models.has_batch_norm(model) else 1e-3


def own_statistics(model: Classifier, images: Images) -> None:
    """Batch-norm statistics of ``images`` from here on, where ``model`` has any; the images are read in batches."""
    if models.has_batch_norm(model):
        models.reestimate_batch_norm(model, images)
