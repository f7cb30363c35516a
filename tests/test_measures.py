"""Measures: mean IoU by hand and against torchmetrics, floors, intervals, what counts as another answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_jaccard_index

from bench import measures, metrics
from bench.contracts import IGNORE, IGNORED, Spec

K = 3


def _one_hot(classes: torch.Tensor, outputs: int = K) -> torch.Tensor:
    return torch.nn.functional.one_hot(classes, outputs).movedim(-1, 1).float()


def _floor(measure: measures.Measure, labels: torch.Tensor) -> float:
    return measure.value(measure.constant(labels), labels)


def _masks(n: int, seed: int = 0, k: int = K) -> torch.Tensor:
    return torch.randint(k, (n, 8, 8), generator=torch.Generator().manual_seed(seed))


def test_mean_iou_by_hand() -> None:
    true, predicted = torch.tensor([[[0, 1], [1, 1]]]), torch.tensor([[[0, 0], [1, 1]]])
    counts = measures.confusion(predicted, true, K)
    assert counts.tolist() == [[[1, 0, 0, 0], [1, 2, 0, 0], [0, 0, 0, 0]]]
    assert metrics.mean_iou(counts[0]) == pytest.approx(100 * (1 / 2 + 2 / 3) / 2), "class 2 is nowhere"
    assert metrics.class_iou(counts[0]) == [pytest.approx(50), pytest.approx(200 / 3), None]


def test_a_pixel_of_no_real_class_counts_as_missed() -> None:
    true, predicted = torch.tensor([[[0, 1], [1, 1]]]), torch.tensor([[[0, 1], [K, K + 1]]])
    counts = measures.confusion(predicted, true, K)
    assert counts[0, 1].tolist() == [0, 1, 0, 2]
    assert metrics.mean_iou(counts[0]) == pytest.approx(100 * (1 + 1 / 3) / 2)


@pytest.mark.parametrize(("stored", "mark"), [(torch.int64, IGNORE), (torch.uint8, IGNORED)])
def test_ignored_pixels_count_nowhere(stored: torch.dtype, mark: int) -> None:
    true, predicted = _masks(4), _masks(4, 1)
    marked = true.clone()
    marked[:, :4] = mark
    assert (
        measures.confusion(predicted, marked.to(stored), K).tolist()
        == measures.confusion(predicted[:, 4:], true[:, 4:], K).tolist()
    )


@pytest.mark.parametrize("k", [2, 5, 11])
def test_mean_iou_is_that_of_torchmetrics(k: int) -> None:
    true, predicted = _masks(30, 2, k), _masks(30, 3, k)
    true[:, :2] = IGNORE
    measure = measures.MeanIoU(k)
    value = measure.value(measure.answers(_one_hot(predicted, k), true), true)
    theirs = multiclass_jaccard_index(predicted, true, k, average="macro", ignore_index=IGNORE)
    assert value == pytest.approx(100 * float(theirs), abs=1e-3)


def test_the_floor_is_the_best_mask_that_is_the_same_for_all() -> None:
    true = torch.zeros(10, 4, 4, dtype=torch.int64)
    true[:, :2] = 1
    assert _floor(measures.MeanIoU(2), true) == 100, "the most frequent class of every pixel"
    flipped = torch.cat([true, 1 - true])
    assert _floor(measures.MeanIoU(2), flipped) == pytest.approx(100 * (1 / 2) / 2), "one class everywhere"
    assert _floor(measures.Accuracy(), torch.tensor([0, 0, 0, 1])) == 75


def test_the_interval_covers_the_value_and_shrinks_with_images() -> None:
    measure = measures.MeanIoU(K)
    widths = []
    for n in (10, 160):
        true = _masks(n, 4)
        predicted = torch.where(torch.rand(true.shape, generator=torch.Generator().manual_seed(5)) < 0.7, true, 0)
        found = measure.measured(measure.answers(_one_hot(predicted), true), true)
        assert found.metric == "mIoU"
        assert found.n == n
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.4), "√16"


def test_draws_of_every_image_once_are_the_value() -> None:
    counts = measures.confusion(_masks(7, 6), _masks(7, 7), K)
    assert metrics.mean_iou_draws(counts, np.ones((2, 7))) == pytest.approx(metrics.mean_iou(counts.sum(0)))


def test_no_judged_pixel_has_no_mean_iou() -> None:
    with pytest.raises(ValueError, match="no pixel"):
        metrics.mean_iou(np.zeros((K, K + 1), dtype=np.int64))


def test_a_pixel_or_two_make_no_other_answer() -> None:
    true = _masks(3)
    measure = measures.MeanIoU(K)
    same, near, far = true.clone(), true.clone(), true.clone()
    near[0, 0, 0] = (near[0, 0, 0] + 1) % K
    far[0] = (far[0] + 1) % K
    first = measure.answers(_one_hot(same), true)
    assert measure.changed(first, measure.answers(_one_hot(near), true)) == 0
    assert measure.changed(first, measure.answers(_one_hot(far), true)) == 1


def test_the_measure_follows_the_kind_of_task() -> None:
    assert measures.of(Spec(8, ("a", "b"))).name == "accuracy"
    assert measures.of(Spec(8, ("a", "b"), "segmentation")).name == "mIoU"


def test_resamples_without_a_judged_pixel_do_not_count() -> None:
    """Of two images one has no judged pixel: a quarter of the resamples draws that one alone."""
    true = torch.stack([torch.zeros(4, 4).long(), torch.full((4, 4), IGNORE)])
    found = measures.MeanIoU(2).measured(measures.confusion(torch.zeros(2, 4, 4).long(), true, 2), true)
    assert (found.low, found.value, found.high) == (100, 100, 100)


@pytest.mark.parametrize("n", [0, 7, 200, 1100])
def test_a_part_of_the_images_has_every_class_of_a_sorted_set(n: int) -> None:
    at = metrics.at_random(n)
    assert len(at) == min(n, 200)
    assert len(set(at.tolist())) == len(at)
    assert (np.diff(at) > 0).all()
    if n == 1100:
        assert set((at // 110).tolist()) == set(range(10)), "the first 200 would be two classes of ten"
