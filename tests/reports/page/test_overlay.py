"""Masks over images, and the strips of a record of segmentation."""

from __future__ import annotations

import numpy as np
import pytest

from reports.page import samples
from reports.page.overlay import IGNORED, image_iou, overlay
from tests.helpers.example_records import record


def test_only_objects_are_tinted() -> None:
    image = np.full((3, 2, 2), 100, dtype=np.uint8)
    mask = np.array([[0, 1], [2, IGNORED]], dtype=np.uint8)
    out = overlay(image, mask)
    assert out[:, 0, 0].tolist() == [100, 100, 100]
    assert len({tuple(out[:, i, j]) for i in range(2) for j in range(2)}) == 4
    assert (overlay(image, np.full((2, 2), 250, dtype=np.uint8)) != 100).any(), "any class has a colour"


def test_the_iou_of_one_image_by_hand() -> None:
    true = np.array([[0, 1], [1, IGNORED]], dtype=np.uint8)
    predicted = np.array([[0, 0], [1, 5]], dtype=np.uint8)
    assert image_iou(predicted, true) == pytest.approx(50)
    assert image_iou(predicted, np.full((2, 2), IGNORED, dtype=np.uint8)) is None


def test_strips_of_masks_show_the_truth_first() -> None:
    one = record("modellock", "norm-adaptation", scenario="shapes-seg")
    one.metric = "mIoU"
    masks = np.ones((2, 4, 4), dtype=np.uint8)
    evidence = {
        "samples/raw": np.zeros((2, 3, 4, 4), dtype=np.uint8), "samples/labels": masks, "samples/pred_raw": masks * 0,
        "samples/key": np.zeros((2, 3, 4, 4), dtype=np.uint8), "samples/pred_key": masks, "samples/pred_guess": masks,
    }  # fmt: skip
    strips = samples.strips(one, evidence, "norm-adaptation", 8)
    assert [strip.kind for strip in strips] == ["truth", "raw", "key", "guess"]
    assert [s.answer for s in strips[1].samples] == ["IoU 0", "IoU 0"]
    assert [s.answer for s in strips[3].samples] == ["IoU 100", "IoU 100"]
