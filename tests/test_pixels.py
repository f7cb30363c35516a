"""Answers and labels of pixels as rows, against cases worked out by hand."""

from __future__ import annotations

import pytest
import torch
from toy_masks import SPEC, ToySegmenter, toy_masks

from bench import pixels
from bench.contracts import IGNORE
from bench.predictors import Constant, Direct, LogitMap

MAPS = torch.arange(24).view(2, 3, 2, 2).float()
MASKS = torch.tensor([[[0, 1], [2, IGNORE]], [[2, 2], [0, 0]]])


def test_rows_are_pixels_in_order_and_images_stay() -> None:
    rows = pixels.rows(MAPS)
    assert rows.shape == (8, 3)
    assert rows[0].tolist() == [0, 4, 8]
    assert rows[5].tolist() == [13, 17, 21]
    assert pixels.rows(rows) is rows


def test_pixels_that_are_not_judged_have_no_row() -> None:
    rows, labels = pixels.judged_rows(MAPS, MASKS)
    assert labels.tolist() == [0, 1, 2, 2, 2, 0, 0]
    assert torch.equal(rows, pixels.rows(MAPS)[[0, 1, 2, 4, 5, 6, 7]])


def test_some_pixels_of_each_image_keep_their_labels() -> None:
    rows, labels = pixels.some_rows(MAPS, MASKS, 3, torch.Generator().manual_seed(0))
    assert rows.shape == (2, 3, 3)
    everything = {tuple(r): int(y) for r, y in zip(pixels.rows(MAPS).tolist(), MASKS.flatten(), strict=True)}
    for row, label in zip(rows.flatten(0, 1).tolist(), labels.flatten().tolist(), strict=True):
        assert everything[tuple(row)] == label
    whole, _ = pixels.some_rows(MAPS, None, 100, torch.Generator().manual_seed(0))
    assert sorted(whole.flatten(0, 1).tolist()) == pixels.rows(MAPS).tolist()


def test_one_hot_of_classes_and_of_masks() -> None:
    labels = torch.tensor([2, 0])
    assert torch.equal(pixels.one_hot(labels, 3), torch.nn.functional.one_hot(labels, 3).float())
    hot = pixels.one_hot(MASKS, 3)
    assert hot.shape == (2, 3, 2, 2)
    assert hot[0, :, 1, 0].tolist() == [0, 0, 1]
    assert hot[0, :, 1, 1].tolist() == [0, 0, 0]


def test_a_score_is_accuracy_or_mean_iou_over_judged_pixels() -> None:
    assert pixels.score(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 2]), 3) == pytest.approx(200 / 3)
    predicted = torch.tensor([[[0, 0], [2, 1]], [[2, 0], [0, 0]]])
    # class 0: 3 in both, 5 in either; class 1: 0 of 1; class 2: 2 of 3
    assert pixels.score(predicted, MASKS, 3) == pytest.approx(100 * (3 / 5 + 0 + 2 / 3) / 3)


def test_the_main_class_is_the_most_frequent_object() -> None:
    masks = torch.tensor([[[0, 0], [0, 2]], [[1, 1], [2, 0]], [[0, 0], [0, IGNORE]]])
    assert pixels.main_class(masks, 3).tolist() == [2, 1, 0]
    assert pixels.main_class(torch.zeros(2, 2, 2).long(), 3).tolist() == [0, 0]
    labels = torch.tensor([3, 1])
    assert pixels.main_class(labels, 3) is labels


def test_the_usual_predictors_answer_for_every_pixel() -> None:
    images = toy_masks(3, 0).images
    constant = Constant(3, 2, is_dense=True)
    assert constant.predict(images).argmax(1).unique().tolist() == [2]
    assert constant.predict(images).shape == (3, 3, 16, 16)
    assert Constant(**constant.arguments()).predict(images).equal(constant.predict(images))
    assert Constant(3, 2).arguments() == {"k": 3, "label": 2}
    direct = Direct(ToySegmenter.of(SPEC, extra=1))
    weight, bias = torch.randn(3, 4), torch.randn(3)
    scores = LogitMap(direct, 3, 4).set(weight, bias).predict(images)
    expected = torch.einsum("km,nmhw->nkhw", weight, direct.outputs(images)) + bias.view(1, 3, 1, 1)
    torch.testing.assert_close(scores, expected)
