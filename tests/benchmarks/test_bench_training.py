"""The training step and the judge against the bare loops they stand for, as ratios within one run.

Run with ``pytest tests/benchmarks/test_bench_training.py --benchmark-only``; ratios are in ``extra_info``.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from stopwatch import seconds

from bench import models
from bench.contracts import Batch, Classifier, Images
from bench.datasets import scenario
from bench.guests.subjects import LocalModel
from bench.harness.judge import Judge
from bench.keys.patch import PatchKey
from bench.training import Run, metered

STEPS, BATCH = 40, 64


@pytest.fixture(scope="module")
def digits() -> scenario.Scenario:
    return scenario.load("digits", 0)


@pytest.fixture(scope="module")
def model(digits: scenario.Scenario) -> Classifier:
    return models.build("cnn", digits.spec)


def test_a_training_step(benchmark: Any, digits: scenario.Scenario, model: Classifier) -> None:
    side = digits.authorised
    images = side.images(side.splits.defender)

    def ours() -> None:
        run = Run(0)

        def loss(batch: Batch) -> torch.Tensor:
            return F.cross_entropy(model(batch.images), batch.labels)

        with metered(run):
            run.fit(model, loss, STEPS, images, batch=BATCH)

    benchmark.pedantic(ours, rounds=3, warmup_rounds=1)
    plain = seconds(lambda: _plain(model, images))
    benchmark.extra_info |= {
        "images_per_second": round(STEPS * BATCH / benchmark.stats.stats.min),
        "over_plain_loop": round(benchmark.stats.stats.min / plain, 3),
    }


def _plain(model: Classifier, images: Images) -> None:
    """The same steps as a script would write them."""
    pixels, labels = images.pixels.float() / 255, images.labels
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(STEPS):
        at = torch.randint(0, len(pixels), (BATCH,))
        loss = F.cross_entropy(model(pixels[at]), labels[at])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()


def test_the_judge(benchmark: Any, digits: scenario.Scenario, model: Classifier) -> None:
    """All of a lock's verdict, against as many bare forward passes."""
    judge, subject = Judge(digits, PatchKey(60)), LocalModel(model)

    def judged() -> int:
        judge.lock(subject, subject)
        return sum(c.accuracy.n for c in judge.conditions(subject, 0, lambda *_: None)[0])

    passed = 4 * len(judge.images) + benchmark.pedantic(judged, rounds=3, warmup_rounds=1)
    images = judge.images.images[torch.arange(passed) % len(judge.images)]
    plain = seconds(lambda: _forward(model, images))
    benchmark.extra_info |= {
        "images": passed,
        "images_per_second": round(passed / benchmark.stats.stats.min),
        "over_bare_forward": round(benchmark.stats.stats.min / plain, 3),
    }


@torch.no_grad()
def _forward(model: Classifier, images: torch.Tensor) -> None:
    model.eval()
    for part in images.split(256):
        model(part)
