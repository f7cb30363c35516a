"""What the harness costs: a cell against a plain script that trains, edits and scores the same.

Run with ``pytest tests/benchmarks/test_bench_overhead.py --benchmark-only``; the ratio is in ``extra_info``.
The plain script calls the same recipe in one process: no store, no isolation, no evidence, no flags.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import models, plan, registry, victim
from bench.contracts import Budget, Classifier, DefenderNeeds, Meter, ThreatModel
from bench.editors import session
from bench.identity import Settings
from bench.judge import SOME
from bench.keys.vocabulary import wordlist
from bench.runner import Context, run_cell
from bench.scenario import draw_share, load
from bench.store import Store
from bench.training import Run
from bench.views import AttackerView, DefenderView

CELL = plan.make_cell("modellock", "prompt-search", "digits", "vit", {})


@pytest.fixture(autouse=True)
def _two_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    session.use()


def _accuracy(model: Any, images: torch.Tensor, labels: torch.Tensor, k: int) -> float:
    return float((models.logits(model, images)[:, :k].argmax(1) == labels).float().mean())


def _plain(cache: Path) -> float:
    """Victim, key, lock, both sides, every key condition, prompt search, the guess on both sides."""
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    session.use("cpu", "float32", cache)
    scenario = load("digits", 0)
    spec, parts = scenario.spec, scenario.splits
    data, test = scenario.images(parts.defender), scenario.images(parts.test)
    original = victim.train("vit", spec, data, Run(1))

    def public(extra: int) -> Classifier:
        return models.build("vit", spec, extra)

    first = DefenderView(spec, data, data, None, DefenderNeeds(raw=True), public)
    key = registry.make("key", "edit", {}).make(first, Run(2))
    lock = registry.make("lock", "modellock", {})
    view = DefenderView(spec, data, data, key, lock.needs(), public)
    locked = lock.protect(original, key, view, Run(3))
    assert test.labels is not None
    keyed = key(test.images)
    scores = [_accuracy(locked, images, test.labels, 10) for images in (keyed, test.images)]
    for condition in key.conditions(4).values():
        scores.append(_accuracy(locked, condition(test.images[:SOME]), test.labels[:SOME], 10))
    labelled = scenario.images(draw_share(scenario.dataset.labels, parts.attacker, 0.01, len(parts.defender), 5))
    session.use("cpu", "auto", None)
    granted = {"labelled": labelled, "words": wordlist("published")}
    threat = ThreatModel(access="logits")
    known = {"settings": key.parts()["settings"]}
    run = Run(6)

    def answer(images: torch.Tensor) -> torch.Tensor:
        return models.logits(locked, images)

    target = AttackerView(spec, threat, Budget(), granted, known, public, answer, Meter())
    registry.make("attack", "prompt-search", {}).unlock(target, run)
    session.use("cpu", "float32", cache)
    settings = key.settings
    for submission in run.submissions:
        prompt = submission.predictor.prompt
        guessed = session.engine(settings.editor).keyed(test.images, prompt, settings)
        scores.append(_accuracy(locked, guessed, test.labels, 10))
    return max(scores)


def test_a_cell_against_a_plain_script(benchmark: Any, tmp_path: Path) -> None:
    start = time.perf_counter()
    _plain(tmp_path / "edits.sqlite")
    plain = time.perf_counter() - start

    def cell() -> None:
        record = run_cell(CELL, Context(Store(tmp_path / "store"), Settings(), lambda *_: None))
        assert record.status == "ok", record.error

    benchmark.pedantic(cell, rounds=1, warmup_rounds=0)
    benchmark.extra_info |= {
        "plain_seconds": round(plain, 1),
        "cell_over_plain": round(benchmark.stats.stats.min / plain, 3),
    }
