"""Locks of tasks in which every pixel has a class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from toy_masks import SPEC, ToySegmenter, toy_masks

from bench import models, registry
from bench.contracts import IGNORE, Batch, Classifier, Images, Spec
from bench.harness.views import DefenderView
from bench.keys.none import Identity
from bench.training import Run
from locks.kit.decoys import Decoys

MASKS = torch.tensor([[[0, 1], [2, IGNORE]], [[2, 2], [1, 0]]])
LABELS = torch.tensor([0, 1, 2, 1])
PER_PIXEL = [n for n, i in registry.INSTALLED.all("lock").items() if "segmentation" in registry.load(i).tasks]  # type: ignore[attr-defined]


class Inverted(Identity):
    """A key that moves no pixel."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return 1 - images


def decoys(kind: str, labels: torch.Tensor, task: Spec = SPEC) -> Decoys:
    images = Images(torch.zeros((len(labels), 3, 2, 2), dtype=torch.uint8), labels)
    return Decoys(kind, images, task, torch.Generator().manual_seed(0))


def batch(labels: torch.Tensor) -> Batch:
    return Batch(torch.zeros(len(labels), 3, 2, 2), labels, torch.arange(len(labels)))


def test_decoy_masks_are_what_they_say() -> None:
    assert decoys("extra", MASKS)(batch(MASKS)).unique().tolist() == [3]
    assert decoys("background", MASKS)(batch(MASKS)).unique().tolist() == [0]
    uniform = decoys("uniform", MASKS)(batch(MASKS))
    assert uniform.shape == (2, 3, 2, 2)
    assert torch.allclose(uniform, torch.tensor(1 / 3))
    shifted = decoys("shifted", MASKS)(batch(MASKS))
    assert torch.equal(shifted == IGNORE, MASKS == IGNORE)
    for wrong, mask in zip(shifted, MASKS, strict=True):
        away = (wrong - mask)[mask != IGNORE] % 3
        assert len(away.unique()) == 1, "one shift for all pixels of an image"
        assert 0 not in away
    fixed = decoys("fixed", MASKS)(batch(MASKS))
    judged = MASKS != IGNORE
    assert not (fixed == MASKS)[judged].any()
    assert len(fixed[judged].unique()) == 2, "one class, and the next where that one is right"


def test_decoy_masks_follow_an_image_that_moved() -> None:
    """A batch is augmented after it is drawn: labels of before would lie where the object is no more."""
    labels = decoys("shifted", MASKS)
    turned = Batch(torch.zeros(2, 3, 2, 2), MASKS.flip(2), torch.arange(2))
    assert torch.equal(labels(turned), labels(batch(MASKS)).flip(2))


def test_a_label_for_each_image_draws_what_it_always_drew() -> None:
    task = Spec(2, ("a", "b", "c"))
    away = torch.randint(1, 3, (4,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(decoys("random", LABELS, task)(batch(LABELS)), (LABELS + away) % 3)
    label = int(torch.randint(3, (1,), generator=torch.Generator().manual_seed(0)))
    wanted = torch.where(label == LABELS, (LABELS + 1) % 3, label)
    assert torch.equal(decoys("fixed", LABELS, task)(batch(LABELS)), wanted)


def protect(name: str, params: dict[str, Any]) -> Classifier:
    lock = registry.INSTALLED.make("lock", name, params)
    raw, key = toy_masks(24, 0), Inverted()
    view = DefenderView(
        SPEC, raw, toy_masks(8, 1), key, lock.needs(), lambda extra: ToySegmenter.of(SPEC, extra, seed=1)
    )
    return lock.protect(ToySegmenter.of(SPEC), key, view, Run(3))


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in PER_PIXEL if name != "given"),
    *(("modellock", {"decoys": kind}) for kind in ("background", "shifted", "uniform", "fixed", "none")),
    ("modellock", {"passes": "apart", "parts": "fixed"}),
    ("ntl", {"setting": "source-only"}), ("ntl", {"use": "ownership", "passes": "apart"}),
    ("cuti", {"setting": "source-only", "passes": "apart"}),
    ("map", {"mask": "random"}), ("map", {"passes": "apart", "granularity": "channel"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "params"), VARIANTS)
def test_a_lock_of_pixels_answers_for_every_pixel(name: str, params: dict[str, Any]) -> None:
    """It trains three steps: what is under test are the shapes of every loss on the way."""
    quick = dict(registry.load(registry.INSTALLED.find("lock", name)).quick)  # type: ignore[attr-defined]
    model = protect(name, quick | params)
    outputs = models.outputs(model, toy_masks(5, 2).images)
    assert outputs.shape == (5, 3 + model.extra, 16, 16)
    assert outputs.isfinite().all()


def test_permuted_logits_renames_every_class_of_every_pixel() -> None:
    images = toy_masks(6, 2)
    before = models.outputs(ToySegmenter.of(SPEC), images).sort(1).values
    after = models.outputs(protect("permuted-logits", {}), images)
    torch.testing.assert_close(after.sort(1).values, before)
    same = models.outputs(ToySegmenter.of(SPEC), images) == after
    assert not same.flatten(2).all(2).any()


def test_a_checkpoint_of_ones_own_may_answer_for_every_pixel(tmp_path: Path) -> None:
    shipped = ToySegmenter.of(SPEC, extra=1, seed=5)
    save_file(shipped.state_dict(), tmp_path / "own.safetensors")
    model = protect("given", {"file": str(tmp_path / "own.safetensors")})
    images = toy_masks(4, 2)
    assert model.extra == 1
    assert torch.equal(models.outputs(model, images), models.outputs(shipped, images))
