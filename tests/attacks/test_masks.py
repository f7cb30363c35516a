"""Attacks on tasks in which every pixel has a class."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toy_mask_attacks import unlock
from toy_masks import SPEC, ToySegmenter, toy_masks, trained

from bench import models, pixels, registry
from bench.predictors import Direct, Edited, describe

PER_PIXEL = [n for n, i in registry.INSTALLED.all("attack").items() if "segmentation" in i.tasks]
OTHERS = [n for n in registry.INSTALLED.all("attack") if n not in PER_PIXEL]
EDITORS = ("prompt-search", "wrong-editor", "consensus")

EVERYTHING = {"share": 0.5, "authorised": 0.3, "leaked": 6, "wordlist": "styles", "known": "prompt+editor+settings"}
VARIANTS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    *((name, {}, {}) for name in PER_PIXEL if name not in EDITORS),
    ("consensus", {"prompts": 0}, {}),
    ("benign", {"change": "half"}, {}), ("benign", {"change": "resize"}, {}),
    ("logit-surgery", {}, {"share": 0.0}), ("logit-surgery", {}, {"access": "logits"}),
    ("norm-adaptation", {}, {"share": 0.0}),
    ("finetune", {"layers": "lora"}, {}), ("finetune", {"layers": "head", "head": "new", "noise": 0.2}, {}),
    ("finetune", {"data": "both", "select": "held-out", "augment": "recolour"}, {}),
    ("transntl", {"select": "last"}, {}),
    ("distillation", {"match": "feature"}, {}), ("distillation", {}, {"access": "labels"}),
    ("distillation", {"match": "hard"}, {"share": 0.0, "authorised": 0.0}),
    ("edit-imitation", {"choose": "label-free"}, {"access": "logits"}),
    ("learned-input", {"select": "held-out"}, {}), ("learned-input", {"form": "visual-prompt"}, {}),
    ("mask-recovery", {}, {"share": 0.0}), ("fine-pruning", {}, {"share": 0.0}), ("interpolation", {}, {"share": 0.0}),
    ("from-scratch", {"trials": 9}, {"access": "none"}), ("from-scratch", {}, {"share": 0.0, "authorised": 0.0}),
    ("information-maximisation", {"augment": "recolour"}, {"share": 0.0, "authorised": 0.0}),
    ("disguise", {}, {"access": "logits"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "params", "threat"), VARIANTS)
def test_an_attack_on_pixels_hands_back_scores_of_every_pixel(
    name: str, params: dict[str, Any], threat: dict[str, Any]
) -> None:
    """It trains a few steps: what is under test are the shapes of every loss and score on the way."""
    quick = dict(registry.load(registry.INSTALLED.find("attack", name)).quick)  # type: ignore[attr-defined]
    locked = ToySegmenter.of(SPEC, extra=1, seed=4)
    if name == "mask-recovery":
        with torch.no_grad():
            locked.stages[0][0].weight[0] = 0.0  # type: ignore[index]
    predictor, run = unlock(name, quick | params, EVERYTHING | threat, locked)
    images = toy_masks(5, 2).images
    for one in [predictor.eval(), *(s.predictor.eval() for s in run.submissions)]:
        with torch.no_grad():
            scores = one.predict(images)
        assert scores.shape == (5, 3, 16, 16)
        assert scores.isfinite().all()
    assert describe(predictor)["predictor"]


@pytest.mark.parametrize("name", OTHERS)
def test_an_attack_that_does_not_run_on_pixels_says_why(name: str) -> None:
    info = registry.INSTALLED.find("attack", name)
    assert info.unsuited, f"{name} does not run on segmentation: why?"
    assert not info.unsuited.endswith(".")
    assert info.unsuited[0].islower() or info.unsuited.startswith("CLIP")


@pytest.mark.parametrize(
    "name", [n for n, i in registry.INSTALLED.all("lock").items() if "segmentation" not in i.tasks]
)
def test_a_lock_that_does_not_run_on_pixels_says_why(name: str) -> None:
    assert registry.INSTALLED.find("lock", name).unsuited


def test_prompt_search_finds_the_edit_that_opens_pixels_with_and_without_labels() -> None:
    """The model is trained for one edit, since only a lock that works on it tells the key from other prompts."""
    for threat in ({"share": 0.5}, {"share": 0.0}):
        full = {"access": "logits", "wordlist": "styles", "known": "editor+settings", **threat}
        predictor, _ = unlock("prompt-search", {"first": 4, "most": 8, "refine": 0}, full, trained(inverted=True))
        assert isinstance(predictor, Edited)
        assert "monet" in predictor.prompt, threat


def test_edits_of_an_attacker_take_part_per_pixel() -> None:
    """Two steps each: the votes of several edits and the settings' scores are maps."""
    predictor, _ = unlock("consensus", {"prompts": 2, "steps": 2, "adapt": 2, "rounds": 1}, EVERYTHING)
    assert predictor.predict(toy_masks(2, 3).images).shape == (2, 3, 16, 16)
    predictor, run = unlock("wrong-editor", {"candidates": 2, "most": 4}, EVERYTHING)
    assert isinstance(predictor, Edited)
    assert run.meter.edited == 12
    predictor, _ = unlock("distillation", {"ask": "guess", "guesses": 2, "steps": 2, "rounds": 1}, EVERYTHING)
    assert predictor.predict(toy_masks(2, 3).images).shape == (2, 3, 16, 16)


def miou(predictor: Any) -> float:
    test = toy_masks(40, 2)
    with torch.no_grad():
        return pixels.score(predictor.predict(test.images).argmax(1), test.labels, 3)


@pytest.mark.parametrize("access", ["weights", "logits"])
def test_logit_surgery_puts_permuted_pixels_back(access: str) -> None:
    """The model is trained, so that an output means a class; then its classes trade names and decoys lead beyond K."""
    model = models.widen(trained(), 1, 0)
    with torch.no_grad():
        order = torch.tensor([1, 2, 0])
        model.last.weight[:3], model.last.bias[:3] = model.last.weight[order].clone(), model.last.bias[order].clone()
        model.last.weight[3], model.last.bias[3] = 0.0, 20.0
    oracle = miou(Direct(trained()))
    assert miou(Direct(model)) < oracle / 2
    predictor, _ = unlock("logit-surgery", {}, {"access": access, "share": 0.5}, model)
    assert miou(predictor) > oracle - 5


def test_fine_tuning_with_masks_learns_the_task_anew() -> None:
    """Trained for 60 steps: masks that did not move with their images would teach it blurred edges and no more."""
    params = {"steps": 60, "head_steps": 20, "rate": 2e-2}
    predictor, _ = unlock("finetune", params, {"share": 0.5, "unlabelled": False}, ToySegmenter.of(SPEC))
    assert miou(predictor) > 60
