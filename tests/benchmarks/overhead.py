"""The same work twice, each as a process of its own: ``python overhead.py plain|cell FOLDER``.

``plain`` is what a researcher's script would do: train, edit and score in one process, with no store, no
isolation, no evidence and no flags. ``cell`` is that cell in the harness, with all of it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bench.guests import process as guests

if __name__ == "__main__" and sys.argv[1] == "cell":
    guests.start()  # as `bench run` does, before torch is imported

import torch

from bench import models, plan, registry, session
from bench.augment import jitter
from bench.contracts import Budget, Classifier, DefenderNeeds, Meter, ThreatModel
from bench.datasets.scenario import draw_share, load
from bench.editors.engine import current as engine_of
from bench.editors.vocabulary import wordlist
from bench.harness import victim
from bench.harness.cell import Context, run_cell
from bench.harness.views import AttackerView, DefenderView
from bench.metrics import SOME
from bench.store import Store
from bench.store.identity import Settings
from bench.training import Run

CELL = plan.make_cell("modellock", "prompt-search", "digits", "vit", {})
THREADS = min(2, os.cpu_count() or 1)


def cell(folder: Path) -> None:
    """`CELL`, measured by the harness into a new store."""
    record = run_cell(CELL, Context(Store(folder / "store"), Settings(threads=THREADS)))
    assert record.status == "ok", record.error


def plain(folder: Path) -> None:
    """Victim, key, lock, both sides of both, every key condition, prompt search, its guesses, the last on both."""
    cache = folder / "edits.sqlite"
    torch.set_num_threads(THREADS)
    session.use("cpu", "float32", cache)
    scenario = load("digits", 0)
    spec, side = scenario.spec, scenario.unauthorised
    parts = side.splits
    data, test = side.images(parts.defender), side.images(parts.test)
    labels = test.labels
    assert labels is not None
    original = victim.train("vit", spec, data, Run(1), jitter)

    def public(extra: int) -> Classifier:
        return models.build("vit", spec, extra)

    def score(model: Classifier, images: torch.Tensor) -> None:
        match = models.outputs(model, images)[:, : spec.k].argmax(1)
        print(float((match == labels[: len(images)]).float().mean()))

    key = (
        registry.current()
        .make("key", "edit", {})
        .make(DefenderView(spec, data, data, None, DefenderNeeds(raw=True), public), Run(2))
    )
    lock = registry.current().make("lock", "modellock", {})
    locked = lock.protect(original, key, DefenderView(spec, data, data, key, lock.needs(), public), Run(3))
    keyed = key(test.images)
    for model in (original, locked):
        score(model, keyed)
        score(model, test.images)
    for condition in key.conditions(4):
        score(locked, condition.key(test.images[:SOME]))
    labelled = side.images(draw_share(side.dataset.labels, parts.attacker, 0.01, len(parts.defender), 5))
    session.use("cpu", "auto", None)
    granted = {"labelled": labelled, "words": wordlist("published")}
    known = {"settings": key.parts()["settings"]}
    run = Run(6)

    def answer(images: torch.Tensor) -> torch.Tensor:
        return models.outputs(locked, images)

    view = AttackerView(spec, ThreatModel(access="logits"), Budget(), granted, known, public, answer, Meter())
    last = registry.current().make("attack", "prompt-search", {}).unlock(view, run)
    session.use("cpu", "float32", cache)
    engine = engine_of("miniature")
    for submission in run.submissions:
        score(locked, engine.keyed(test.images[:SOME], submission.predictor.prompt, key.settings))
    for images in (test.images, keyed):
        score(locked, engine.keyed(images, last.prompt, key.settings))


if __name__ == "__main__":
    {"plain": plain, "cell": cell}[sys.argv[1]](Path(sys.argv[2]))
