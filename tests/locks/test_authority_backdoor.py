"""Authority Backdoor: what it trains on, and the radii at which it is certified."""

from __future__ import annotations

import pytest
import torch

from bench import models, registry
from bench.contracts import Images, Spec
from bench.harness.views import DefenderView
from bench.keys import _secret
from bench.keys.trigger import TriggerKey
from bench.training import Run
from locks import authority_backdoor
from locks.authority_backdoor import CERTIFIED, sample

KEY = TriggerKey(_secret.of(1), 4)


def _protect(params: dict[str, object], spec: Spec, images: Images) -> tuple[Run, list[int]]:
    """The run of a lock that trains two steps, and the images of each training pass."""
    lock, run = registry.INSTALLED.make("lock", "authority-backdoor", {"steps": 2, "batch": 8, **params}), Run(1)
    view = DefenderView(spec, images, images, KEY, lock.needs(), lambda e: models.build("cnn", spec, e))
    model, sizes = models.build("cnn", spec, seed=3), []
    model.get_submodule("passed").register_forward_hook(
        lambda layer, inputs, _: sizes.append(len(inputs[0])) if layer.training else None
    )
    lock.protect(model, KEY, view, run)
    return run, sizes


@pytest.mark.parametrize(("form", "ratio", "each"), [("plain", 0.0, 8), ("repelled", 0.0, 8), ("plain", 0.5, 12)])
def test_a_step_has_as_many_raw_images_as_the_ratio_says(
    form: str, ratio: float, each: int, spec: Spec, toy: Images
) -> None:
    _, sizes = _protect({"form": form, "rand_ratio": ratio}, spec, toy)
    assert sizes == [each, each]


def test_radii_are_multiples_of_sigma(spec: Spec, toy: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate itself is tested with the smoothed classifier: here are 2 of 4 images at 0.8 σ."""
    radii = torch.tensor([-1.0, 0.0, 0.2, 0.2])
    monkeypatch.setattr(authority_backdoor, "certified_radii", lambda *_: radii)
    run, _ = _protect({"form": "certified", "sigma": 0.25, "votes": 2}, spec, toy)
    shares = run.notes["certified_authorised"]
    assert shares["0 σ"] == 75
    assert shares["0.5 σ"] == 50
    assert shares["1 σ"] == 0


def test_the_certificate_is_read_off_images_of_every_class_where_they_are_sorted() -> None:
    images = Images(torch.zeros(400, 3, 2, 2, dtype=torch.uint8), torch.arange(400) // 40)
    at = sample(images, torch.Generator().manual_seed(0))
    assert len(at) == len(set(at.tolist())) == CERTIFIED
    assert set(images.labels[at].tolist()) == set(range(10))
