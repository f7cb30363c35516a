"""Attacks on a small classifier of pixels, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from toy_masks import SPEC, ToySegmenter, toy_masks

from bench import models, registry
from bench.contracts import Budget, Classifier, Images, Predictor, ThreatModel
from bench.harness.views import AttackerView
from bench.predictors import Queried
from bench.training import Run, metered

POOL = toy_masks(24, 1)


class Edits(Run):
    """A run whose editor inverts images where the prompt names monet, and darkens them else."""

    def edits(
        self, images: torch.Tensor, prompts: Sequence[str], settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, torch.Tensor]]:
        for prompt in prompts:
            self._spend("edited", len(images))
            yield prompt, 1 - images if "monet" in prompt else images / 2


def unlock(
    name: str,
    params: Mapping[str, Any],
    threat: Mapping[str, Any],
    locked: Classifier | None = None,
    budget: Budget | None = None,
) -> tuple[Predictor, Run]:
    """What the attack hands back under ``threat``, and its run; by default one output beyond K is shipped."""
    full = ThreatModel(**{"access": "weights", "share": 0.0, "wordlist": "none", "known": "none", **threat})
    model = locked or ToySegmenter.of(SPEC, extra=1, seed=4)
    granted: dict[str, Any] = {"classifier": model} if full.access == "weights" else {}
    if full.share:
        granted["labelled"] = POOL.subset(torch.arange(12))
    if full.unlabelled:
        granted["unlabelled"] = POOL.unlabelled()
    if full.authorised:
        granted["authorised"] = toy_masks(8, 5)
    if full.leaked:
        raw = toy_masks(6, 6).unlabelled()
        granted["leaked_pairs"] = (raw, Images(255 - raw.pixels))
    if full.wordlist != "none":
        granted["words"] = ("monet", "oil pastel", "cubism")
    parts = {"prompt": "with monet", "settings": {}, "editor": "miniature"}
    run = Edits(7, budget=budget)

    def answer(images: torch.Tensor) -> torch.Tensor:
        return models.outputs(model, images)

    view = AttackerView(
        SPEC, full, run.budget, granted, {p: parts[p] for p in full.parts() if p in parts},
        lambda extra: ToySegmenter.of(SPEC, extra, seed=9), answer if full.access in ("logits", "labels") else None,
        run.meter,
    )  # fmt: skip
    torch.manual_seed(0)
    with metered(run):
        predictor = registry.INSTALLED.make("attack", name, params).unlock(view, run)
    for handed_in in [predictor, *(s.predictor for s in run.submissions)]:
        for part in handed_in.modules():
            if isinstance(part, Queried):
                part.answer = answer
    return predictor, run
