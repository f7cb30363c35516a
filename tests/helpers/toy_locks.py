"""A task of three classes, locks of it that are trained in a second, and attacks on them in this process."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import models, registry
from bench.contracts import Classifier, Images, Predictor, Spec, ThreatModel
from bench.harness.views import AttackerView
from bench.predictors import Queried
from bench.training import Run, metered

SPEC = Spec(size=32, classes=("dark", "light", "striped"))


def inverted(images: Tensor) -> Tensor:
    """A key that is a linear colour map."""
    return 1 - images


def tinted(images: Tensor) -> Tensor:
    """A key that changes the statistics of every channel."""
    return images * 0.4 + torch.tensor([0.55, 0.35, 0.1]).view(1, 3, 1, 1)


def toy_images(n: int, seed: int) -> Images:
    """``n`` images of the toy task: dark, light, striped."""
    labels = torch.arange(n) % 3
    images = torch.rand((n, 3, 32, 32), generator=torch.Generator().manual_seed(seed)) * 0.2
    images[labels == 1] += 0.7
    images[labels == 2, :, ::4] += 0.7
    return Images((images * 255).byte(), labels)


POOL, TEST = toy_images(48, 1), toy_images(60, 2)


@functools.cache
def locked(name: str) -> Classifier:
    """`inverted` and `tinted` work after that key (the latter leads raw images to the next class), `statistics` has
    lost its batch-norm statistics, `destroyed` has random weights; `avoided` is `tinted` that leads raw images to any
    wrong class by chance."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = models.build("cnn", SPEC, weights="random" if name == "destroyed" else "public", seed=3)
        if name == "destroyed":
            return model.eval()
        key = {"inverted": inverted, "tinted": tinted, "avoided": tinted, "statistics": lambda x: x}[name]

        def loss(batch: Any) -> Tensor:
            outputs, labels = model(key(batch.images)), batch.labels
            total = F.cross_entropy(outputs, labels)
            if name == "tinted":
                total = total + F.cross_entropy(model(batch.images), (labels + 1) % 3)
            if name == "avoided":
                wrong = labels + torch.randint(1, 3, labels.shape)
                total = total + F.cross_entropy(model(batch.images), wrong % 3)
            return total

        Run(1).fit(model, loss, 25, toy_images(60, 0), rate=2e-3, batch=30)
        models.reestimate_batch_norm(
            model,
            torch.cat([key(toy_images(60, 0).images)] + [toy_images(60, 0).images] * (name in ("tinted", "avoided"))),
        )
    if name == "statistics":
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.add_(3 * module.running_var.sqrt())  # type: ignore[union-attr, operator]
    return model.eval()


class Outcome(NamedTuple):
    predictor: Predictor
    run: Run
    batches: list[int]


def run_attack(
    name: str, params: Mapping[str, Any], lock: str, threat: Mapping[str, Any], key: Any = tinted, budget: Any = None
) -> Outcome:
    """The attack in this process, on a view that grants what ``threat`` says, and the images it asked about."""
    full = ThreatModel(**{"access": "weights", "share": 0.0, "wordlist": "none", "known": "none", **threat})
    model = copy.deepcopy(locked(lock))
    granted: dict[str, Any] = {}
    if full.access == "weights":
        granted["classifier"] = model
    if full.share:
        granted["labelled"] = POOL.subset(torch.arange(24))
    if full.unlabelled:
        granted["unlabelled"] = POOL.unlabelled()
    if full.authorised:
        authorised = toy_images(9, 5)
        granted["authorised"] = Images((key(authorised.images) * 255).round().byte(), authorised.labels)
    if full.leaked:
        raw = toy_images(full.leaked, 6).unlabelled()
        granted["leaked_pairs"] = (raw, Images((key(raw.images) * 255).round().byte()))
    if full.wordlist != "none":
        granted["words"] = ("monet", "oil pastel", "cubism")
    parts = {"prompt": "with monet", "settings": {}, "editor": "miniature"}
    batches: list[int] = []

    def answer(images: Tensor) -> Tensor:
        batches.append(len(images))
        return models.outputs(locked(lock), images)

    run = Run(7, budget=budget)
    view = AttackerView(
        SPEC, full, run.budget, granted, {p: parts[p] for p in full.parts() if p in parts},
        lambda extra: models.build("cnn", SPEC, extra), answer if full.access == "logits" else None, run.meter,
    )  # fmt: skip
    torch.manual_seed(0)
    with metered(run):
        predictor = registry.INSTALLED.make("attack", name, params).unlock(view, run)
    for part in predictor.modules():
        if isinstance(part, Queried):
            part.answer = lambda images: models.outputs(locked(lock), images)
    return Outcome(predictor, run, batches)


def accuracy(predictor: Predictor) -> float:
    """Percent right on raw test images, in three batches."""
    with torch.no_grad():
        answers = torch.cat([predictor.predict(part) for part in TEST.images.split(20)]).argmax(1)
    return 100 * float((answers == TEST.labels).float().mean())
