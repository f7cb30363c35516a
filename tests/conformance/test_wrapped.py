"""Attacks on locked models of another shape than the victim: several exits, a detector, votes under noise."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from in_process import run_job
from places import PLUGINS
from test_plugins import ATTACKS, TINY, _job

from bench import models, registry
from bench.contracts import Classifier, Images, Spec
from bench.predictors import rebuild
from locks.kit.detector import Guarded
from locks.kit.exits import Routed
from locks.kit.smoothed import Smoothed

KINDS = ("exits", "detector", "votes")


def wrapped(kind: str, inner: Classifier, size: int) -> Classifier:
    """``inner`` as a lock of this kind ships it, with random weights around it."""
    image = torch.rand(1, 3, size, size)
    stages, width = [f[0] for f in inner.eval().features(image)], inner.embed(image).shape[1]
    if kind == "votes":
        return Smoothed.of(inner, 0.2, 3, 1)
    if kind == "exits":
        exits = {"stages": [0], "latent": 4, "widths": [len(stages[0]), width], "temperature": 0.1}
        return Routed({"class": "locks.kit.exits:Routed", "inner": inner.spec, **exits})
    guard = {"form": "channels", "at": 0, "middle": 1, "strength": 3.0, "features": stages[0].numel()}
    model = Guarded({"class": "locks.kit.detector:Guarded", "inner": inner.spec, "channels": len(stages[1]), **guard})
    model.v.normal_()
    return model


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_with_the_weights_runs_on_it(name: str, kind: str, toy: Images, spec: Spec) -> None:
    """Trains for the fewest steps: only `unlock` itself can show whether it runs."""
    registry.use([PLUGINS / "tiny.py"])
    job, _ = _job(registry.current().find("attack", name), TINY, "cpu", toy, spec)
    if job.classifier is None:
        pytest.skip("it asks an interface")
    model = wrapped(kind, models.build(TINY, spec, 0, "public", 2), spec.size).eval()
    done = run_job(replace(job, classifier=(model.spec, model.state_dict())), lambda images: images)
    predictor = rebuild(done.submissions[-1]["spec"], done.states[-1], lambda images: images)
    assert predictor.predict(toy.images[:5]).shape == (5, spec.k)
