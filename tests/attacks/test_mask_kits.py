"""What attacks on pixels share, against cases worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from toy_masks import SPEC, ToySegmenter, toy_masks, trained

from attacks.consensus import _steady_information, vote
from attacks.fine_pruning import mean_activity
from attacks.kit import selection, students, tuning
from attacks.kit.maps import jittered
from attacks.kit.output_maps import even_out, leave_images_out, rename
from attacks.kit.pseudo_labels import with_pseudo_labels
from bench import models, pixels
from bench.augment import jitter, moved, other_colours, recolour
from bench.contracts import IGNORE, Images, Spec


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_mutual_information_of_pixels_leaves_the_background_free() -> None:
    """A half, a tenth or nearly all of the pixels may be background: two objects are even, and answers are sure."""
    for background in (10, 2, 18):
        labels = torch.tensor([0] * background + [1, 2] * ((20 - background) // 2)).view(1, 4, 5)
        sure = 30 * pixels.one_hot(labels, 3)
        assert float(selection.mutual_information(sure)) == pytest.approx(math.log(2), abs=1e-3)
    one = 30 * pixels.one_hot(torch.tensor([0] * 10 + [1] * 10).view(1, 4, 5), 3)
    assert float(selection.mutual_information(one)) == pytest.approx(0, abs=1e-3)
    assert float(selection.mutual_information(torch.zeros(1, 3, 4, 5))) == pytest.approx(math.log(2) - math.log(3))


def test_objects_that_are_nearly_nowhere_are_worth_nothing() -> None:
    few = torch.tensor([0.99, 0.005, 0.005])
    assert float(selection.object_balance(few)) == pytest.approx(math.log(2) * 0.01 / selection.LEAST, rel=1e-5)
    assert float(selection.object_balance(torch.tensor([0.5, 0.5]))) == pytest.approx(math.log(2))


def test_mass_is_a_mean_over_pixels() -> None:
    outputs = torch.tensor([0.0, 0.0, 0.0, 2.0]).view(1, 4, 1, 1).expand(2, 4, 3, 3)
    mass = math.log(3 / (3 + math.exp(2)))
    information = float(selection.mutual_information(outputs[:, :3]))
    assert float(selection.information_and_mass(outputs, 3)) == pytest.approx(information + mass, rel=1e-5)


def test_information_of_a_model_is_that_of_all_its_pixels() -> None:
    model, images = ToySegmenter.of(SPEC, extra=1), toy_masks(9, 0)
    whole = float(selection.mutual_information(models.logits(model, images)))
    assert selection.information(model, images) == pytest.approx(whole, abs=1e-5)


def test_a_guess_is_scored_on_judged_pixels() -> None:
    outputs = torch.tensor([[2.0, 0.0], [0.0, 0.0]]).view(1, 2, 1, 2)
    log_p = outputs.log_softmax(1)[0, :, 0]
    assert selection.guess_score(outputs, torch.tensor([[[0, IGNORE]]]), 2) == pytest.approx(float(log_p[0, 0]))
    both = float(log_p[0, 0] + log_p[1, 1]) / 2
    assert selection.guess_score(outputs, torch.tensor([[[0, 1]]]), 2) == pytest.approx(both)


def test_the_best_of_two_models_of_pixels_is_found_by_masks_and_without() -> None:
    """One is trained, so that it is right."""
    candidates = {"fresh": ToySegmenter.of(SPEC), "trained": trained()}
    best, scores = selection.most_accurate(candidates, toy_masks(8, 3))
    assert best == "trained"
    assert scores["trained"] > 2 * scores["fresh"]
    assert selection.most_informative(candidates, toy_masks(8, 3))[0] == "trained"


def test_priors_reach_their_goal() -> None:
    outputs, goal = maps(200, 3), torch.tensor([0.7, 0.2, 0.1])
    shares = (outputs + even_out(outputs, 100, goal)).softmax(1).mean(0)
    torch.testing.assert_close(shares, goal, atol=1e-3, rtol=0)
    even = (outputs + even_out(outputs, 100)).softmax(1).mean(0)
    torch.testing.assert_close(even, torch.full((3,), 1 / 3), atol=1e-3, rtol=0)


def test_images_that_are_left_out_judge_a_map_by_mean_iou() -> None:
    labels = torch.tensor([[0, 1, 2, IGNORE]] * 4)
    outputs = 10 * torch.eye(3)[(labels.clamp_min(0) + 1) % 3]
    fit = lambda o, y: (rename(o, y, 3, 3), torch.zeros(3))  # noqa: E731
    assert leave_images_out(fit, outputs, labels, 3)[0] == 1.0
    scores = leave_images_out(lambda _o, _y: (torch.eye(3), torch.zeros(3)), outputs, labels, 3)
    assert scores[0] == 0.0
    assert scores[1] == pytest.approx(-10, abs=1e-3)
    seen: list[int] = []
    leave_images_out(lambda o, y: (seen.append(len(o)), fit(o, y))[1], outputs, labels, 3)
    assert seen == [9] * 4, "three judged pixels of each of the three other images"


def test_pseudo_masks_keep_the_surest_pixels_of_each_class() -> None:
    model, free, own = trained(), toy_masks(12, 4).unlabelled(), toy_masks(2, 5)
    both = with_pseudo_labels(model, own, free, 0.5)
    assert len(both) == 3 * 2 + 12
    assert torch.equal(both.labels[:6], own.labels.repeat(3, 1, 1))
    p = models.logits(model, free).softmax(1)
    confidence, label = p.max(1)
    masks = both.labels[6:]
    for k in range(3):
        here = label == k
        kept, left = confidence[here & (masks == k)], confidence[here & (masks == IGNORE)]
        assert len(kept) == round(0.5 * int(here.sum()))
        assert kept.min() >= left.max()
    assert torch.equal(masks[masks != IGNORE], label[masks != IGNORE])


def test_label_noise_changes_its_share_of_the_judged_pixels() -> None:
    images = toy_masks(10, 0)
    noisy = tuning.with_label_noise(images, 0.25, 3, torch.Generator().manual_seed(0))
    changed = noisy.labels != images.labels
    assert int(changed.sum()) == round(0.25 * int((images.labels != IGNORE).sum()))
    assert not changed[images.labels == IGNORE].any()


@pytest.mark.parametrize("hard", [False, True])
def test_targets_of_pixels_are_those_of_their_rows(hard: bool) -> None:
    outputs = maps(2, 4, 3, 3)
    targets, weight = students.soft_targets(outputs, 3, hard)
    by_row, weights = students.soft_targets(pixels.rows(outputs), 3, hard)
    torch.testing.assert_close(pixels.rows(targets), by_row)
    assert torch.equal(weight.flatten(), weights)
    logits = maps(2, 3, 3, 3, seed=1)
    whole = students.divergence(logits, targets, weight)
    torch.testing.assert_close(whole, students.divergence(pixels.rows(logits), by_row, weights))


def test_maps_move_as_their_images_do() -> None:
    images = torch.rand(4, 3, 16, 16)
    rng = torch.Generator().manual_seed(3)
    out, same = jittered(images, images, rng)
    assert torch.equal(out, same)
    assert torch.equal(out, jitter(images, torch.Generator().manual_seed(3)))
    masks = toy_masks(4, 0).labels.clamp_min(0)
    _, soft = jittered(images, pixels.one_hot(masks, 3), torch.Generator().manual_seed(3))
    torch.testing.assert_close(soft.sum(1), torch.ones(4, 16, 16))
    nearest = moved(masks, torch.Generator().manual_seed(3))
    assert (soft.argmax(1) == nearest).float().mean() > 0.95  # they differ at most where two classes are half each


def test_other_colours_move_nothing() -> None:
    images = toy_masks(3, 0).images
    rng = torch.Generator().manual_seed(0)
    expected = other_colours(jitter(images, rng), rng)
    assert torch.equal(recolour(images, torch.Generator().manual_seed(0)), expected)
    flat = torch.full((3, 3, 8, 8), 0.5)
    flat[:, :, :4] = 0.0
    out = other_colours(flat, torch.Generator().manual_seed(0))
    assert torch.equal(out, out[..., :1].expand_as(out)), "what is the same along a row stays so"


def test_a_vote_of_pixels_is_a_weighted_mean_of_maps() -> None:
    votes = [maps(3, 4, 2, 2, seed=i) for i in range(3)]
    mean = torch.stack([v[:, :3].softmax(1) for v in votes]).mean(0)
    torch.testing.assert_close(vote(votes, 3, 1e6), mean)
    sure = 30 * pixels.one_hot(torch.tensor([[[0, 1], [2, 0]]] * 3), 4)
    torch.testing.assert_close(vote([votes[0], sure], 3, 0.01), sure[:, :3].softmax(1), atol=1e-3, rtol=0)


def test_steady_answers_are_worth_more_than_answers_that_ignore_a_move() -> None:
    """The trained model's answers move with the image; those of a model of places do not."""

    class Places(ToySegmenter):
        def forward(self, images: torch.Tensor, edit_stage: object = None) -> torch.Tensor:
            answer = torch.zeros(3, 16, 16)
            answer[0, ::2], answer[1, 1::2] = 20.0, 20.0
            return answer.expand(len(images), -1, -1, -1)

    places, images = Places(ToySegmenter.of(SPEC).spec), toy_masks(8, 0).images
    still = float(selection.mutual_information(models.logits(places, images)))
    assert _steady_information(places, images, [0, 1]) < 0.7 * still
    own = float(selection.mutual_information(models.logits(trained(), images)))
    assert _steady_information(trained(), images, [0, 1]) > 0.7 * own


def test_activity_is_a_mean_over_pixels() -> None:
    model, images = ToySegmenter.of(SPEC), toy_masks(5, 0)
    expected = model.embed(images.images).abs().mean((0, 2, 3))
    torch.testing.assert_close(mean_activity(model, images.images, batch=2), expected)


def test_all_labels_of_pixels_lie_in_one_set() -> None:
    class View:
        labelled, authorised = toy_masks(3, 0), toy_masks(2, 1)
        threat = type("Threat", (), {"share": 0.1, "authorised": 0.1})

    both = students.all_labelled(View())  # type: ignore[arg-type]
    assert isinstance(both, Images)
    assert torch.equal(both.labels, torch.cat([View.labelled.labels, View.authorised.labels]))


def test_equal_shares_are_plain_mutual_information() -> None:
    logits = torch.randn((30, 4), generator=torch.Generator().manual_seed(3))
    plain = float(selection.mutual_information(logits))
    assert float(selection.mutual_information(logits, torch.full((4,), 0.25))) == pytest.approx(plain, abs=1e-5)


def test_with_its_shares_the_right_mask_scores_higher_than_a_balanced_one() -> None:
    """Nine pixels in ten are background: balance alone prefers a mask that is half wrong."""
    right, balanced = torch.zeros(1, 10, 10).long(), torch.zeros(1, 10, 10).long()
    right[:, 0], balanced[:, :5] = 1, 1
    shares = torch.tensor([0.9, 0.1])
    score = {
        name: [float(selection.mutual_information(20 * pixels.one_hot(mask, 2), s)) for s in (None, shares)]
        for name, mask in (("right", right), ("balanced", balanced))
    }
    assert score["right"][0] < score["balanced"][0]
    assert score["right"][1] > score["balanced"][1]
    assert score["right"][1] == pytest.approx(-0.9 * math.log(0.9) - 0.1 * math.log(0.1), abs=1e-4)


def test_class_shares_are_those_of_masks_or_of_adapted_answers() -> None:
    model, images = trained(), toy_masks(20, 5)
    counts = torch.bincount(images.labels[images.labels >= 0], minlength=3) / (images.labels >= 0).sum()
    torch.testing.assert_close(selection.class_shares(model, images, images), counts)
    found = selection.class_shares(model, images)
    assert found is not None
    assert float(found.sum()) == pytest.approx(1)
    assert float((found - counts).abs().max()) < 0.15
    assert selection.class_shares(models.build("cnn", Spec(32, ("a", "b")), 0, "random", 0), images) is None
