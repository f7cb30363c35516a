"""Looks of images by hand, the search for one, and attacks in a row."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from attacks.kit import canonical, composition, front, likeness, looks
from attacks.kit.access import ask, handle
from attacks.kit.canonical import CHOICES, Canonical, Look
from bench import models, registry
from bench.contracts import Classifier, ThreatModel
from bench.predictors import Constant, Direct, Queried, describe, rebuild
from bench.training import Run
from tests.helpers.toy_locks import POOL, SPEC, TEST, accuracy, inverted, locked, run_attack


def square(ground: float = 0.0, ink: float = 1.0, left: int = 4, top: int = 20, side: int = 8) -> Tensor:
    """One image (1, 3, 32, 32) with a square."""
    image = torch.full((1, 3, 32, 32), ground)
    image[..., top : top + side, left : left + side] = ink
    return image


def random_looks() -> st.SearchStrategy[Look]:
    return st.builds(Look, **{name: st.sampled_from(values) for name, values in CHOICES.items()})


@given(random_looks(), st.integers(0, 2**31))
def test_any_look_of_any_image_is_an_image(look: Look, seed: int) -> None:
    images = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(seed))
    images[0] = 0.25  # nothing in it
    changed = Canonical.of(look)(images)
    assert changed.shape == images.shape
    assert bool(changed.isfinite().all())
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1


def test_the_default_look_changes_nothing() -> None:
    assert torch.equal(Canonical()(TEST.images[:4]), TEST.images[:4])
    assert Look().changes == {}


@pytest.mark.parametrize(
    ("kind", "ground", "ink"),
    [("kept", 0.9, 0.2), ("inverted", 0.1, 0.8), ("dark", 0.1, 0.8), ("light", 0.9, 0.2), ("distance", 0.0, 1.0)],
)
def test_the_ground_of_a_light_image(kind: str, ground: float, ink: float) -> None:
    torch.testing.assert_close(canonical.with_ground(square(0.9, 0.2), kind), square(ground, ink))


def test_the_ground_is_dark_whatever_it_was_and_images_are_turned_one_by_one() -> None:
    both = torch.cat([square(0.9, 0.2), square(0.1, 0.8)])
    torch.testing.assert_close(canonical.with_ground(both, "dark"), square(0.1, 0.8).repeat(2, 1, 1, 1))


def test_the_content_box_of_a_square_is_the_square() -> None:
    torch.testing.assert_close(
        canonical.box(square(left=4, top=20, side=8)), torch.tensor([[-0.75, 0.25, -0.25, 0.75]])
    )


def test_the_crop_puts_content_in_the_middle_at_the_size_asked_for() -> None:
    changed = canonical.cropped(square(left=2, top=22, side=8), fill=0.5, square=False)
    expected = square(left=8, top=8, side=16)
    assert torch.equal(changed > 0.4, expected > 0.4)
    wide = square()
    wide[..., 24:28, :] = 0  # twice as wide as high
    assert torch.equal(canonical.cropped(wide, 0.5, square=True) > 0.4, expected > 0.4)


def test_stretching_undoes_gain_and_shift() -> None:
    images = TEST.images[2:3]  # striped: it has both ends
    torch.testing.assert_close(canonical.stretched(0.3 * images + 0.2), canonical.stretched(images), atol=1e-5, rtol=0)


def test_block_means_keep_what_is_constant_on_blocks_and_nothing_finer() -> None:
    fine = torch.zeros(1, 3, 32, 32)
    fine[..., ::2] = 1.0
    torch.testing.assert_close(canonical.on_grid(fine, 8), torch.full_like(fine, 0.5))


def test_blur_keeps_the_mean_and_lowers_the_variance() -> None:
    dot = torch.zeros(1, 3, 32, 32)
    dot[..., 16, 16] = 1.0
    blurred = canonical.blurred(dot, 1.0)
    assert float(blurred.sum()) == pytest.approx(3.0, rel=1e-4)
    # The standard deviation of the kernel is the one asked for.
    at = torch.arange(32) - 16.0
    assert float((blurred[0, 0].sum(0) * at.square()).sum()) == pytest.approx(1.0, rel=0.05)


def test_a_flattened_spectrum_keeps_mean_deviation_and_phase() -> None:
    images = TEST.images[:2]
    flat = canonical.flattened(images, 0.5)
    torch.testing.assert_close(flat.mean((2, 3)), images.mean((2, 3)), atol=1e-5, rtol=0)
    torch.testing.assert_close(flat.std((2, 3)), images.std((2, 3)), atol=1e-5, rtol=0)
    torch.testing.assert_close(canonical.flattened(images, 0.0), images, atol=1e-5, rtol=0)


def test_the_search_finds_the_look_that_a_model_answers() -> None:
    """Only brightness on a dark ground is information to this model."""
    images = torch.cat([square(0.9, ink) for ink in (0.1, 0.6)] * 4)

    def ask(x: Tensor) -> Tensor:
        ink = x.amax((1, 2, 3)) * (x[:, 0, 0, 0] < 0.5)
        return 40 * torch.stack([ink - 0.6, 0.6 - ink], 1)

    tried: list[Look] = []
    found = looks.search(images, ask, looks.information_score(2), 2, 1, lambda _count, look, _value: tried.append(look))
    assert found[0][0].ground in ("inverted", "dark")
    assert len(tried) == len(set(tried)) == len(found)
    assert found == sorted(found, key=lambda pair: -pair[1])


def test_labels_decide_where_information_cannot() -> None:
    """Two looks are answered with the same confidence, one of them wrongly."""
    labels, k = torch.tensor([0, 1]), 2
    right, wrong = torch.tensor([[9.0, -9.0], [-9.0, 9.0]]), torch.tensor([[-9.0, 9.0], [9.0, -9.0]])
    blank = torch.zeros(2, 3, 4, 4)
    information, by_label = looks.information_score(k), looks.label_score(labels, k)
    assert information(blank, right) == information(blank, wrong)
    assert by_label(blank, right) > by_label(blank, wrong)


def test_labels_decide_among_looks_that_the_lock_sends_to_an_output_of_its_own() -> None:
    """The predictor drops such outputs, so what they hold says nothing of a look."""
    labels, k = torch.tensor([0, 1]), 2
    right = torch.tensor([[9.0, -9.0, 99.0], [-9.0, 9.0, 99.0]])
    wrong, blank = right[:, [1, 0, 2]], torch.zeros(2, 3, 4, 4)
    by_label = looks.label_score(labels, k)
    assert by_label(blank, right) > by_label(blank, wrong)
    assert by_label(blank, right) == by_label(blank, right[:, :k])


def test_likeness_is_0_for_authorised_images_and_looks_at_no_more_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    class Model:
        def __call__(self, images: Tensor, edit_stage: Any) -> Tensor:
            sizes.append(len(images))
            edit_stage(0, images)
            return images

    class Target:
        threat, authorised, classifier = ThreatModel(authorised=0.5), POOL, Model()

    target: Any = Target()
    like = likeness.likeness(target, Run(1), 1 - POOL.images)
    assert like(POOL.images) == pytest.approx(0, abs=1e-6)
    assert like(1 - POOL.images) == pytest.approx(-1, abs=1e-3)
    monkeypatch.setattr(likeness, "PIXELS", 0)
    monkeypatch.setattr(likeness, "FEWEST", 10)
    sizes.clear()
    likeness.likeness(target, Run(1), TEST.images)
    assert sizes == [10, len(TEST)]


@pytest.mark.parametrize("threat", [{}, {"share": 0.1}, {"authorised": 0.1}, {"access": "logits"}])
def test_canonicalisation_opens_a_lock_whose_key_is_a_look(threat: dict[str, Any]) -> None:
    """It trains the lock, in a second: only a model that was trained after a key shows whether the key is found."""
    before = accuracy(Direct(locked("inverted")))
    outcome = run_attack("canonicalise", {"rounds": 0}, "inverted", threat, key=inverted)
    assert accuracy(outcome.predictor) > before + 20
    assert outcome.run.meter.steps == 0


def test_attacks_in_a_row_hand_in_everything_behind_what_came_before() -> None:
    """It trains the lock, as above, and three steps of the second attack."""
    outcome = run_attack("compose", {"adaptation": "interpolation"}, "inverted", {}, key=inverted)
    chain, classifier = composition.taken_apart(outcome.predictor)
    assert [t.spec["form"] for t in chain] == ["canonical"]
    assert isinstance(classifier, Classifier)
    places = [s.note["place"] for s in outcome.run.submissions]
    assert places == sorted(places)
    assert set(places) == {0, 1}
    last = outcome.run.submissions[-1].predictor
    again = rebuild(json.loads(json.dumps(describe(last))), last.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(again.predict(TEST.images[:4]), last.predict(TEST.images[:4]))


def test_the_second_attack_sees_changed_images_and_the_first_one_s_classifier() -> None:
    model = models.build("cnn", SPEC)
    invert = Canonical(ground="inverted")

    class Target:
        threat = ThreatModel()
        unlabelled = POOL.unlabelled()
        labelled = POOL
        spec = SPEC

    view: Any = composition.After(Target(), model, [invert])  # type: ignore[arg-type]
    assert view.classifier is model
    assert torch.equal(view.labelled.pixels, 255 - POOL.pixels)
    assert torch.equal(view.labelled.labels, POOL.labels)
    assert not view.unlabelled.labelled
    assert view.spec is SPEC


def test_an_adaptation_on_the_stream_ends_a_row() -> None:
    outcome = run_attack("compose", {"adaptation": "tent"}, "inverted", {}, key=inverted)
    assert outcome.predictor.transductive
    with pytest.raises(TypeError, match="Constant"):
        composition.taken_apart(front.InFront(Constant(3)))
    assert composition.taken_apart(Queried(3)) == ([], None)


def test_nothing_to_compose_is_refused() -> None:
    nothing = registry.INSTALLED.make("attack", "compose", {"transform": "none", "adaptation": "none"})
    assert "nothing to compose" in nothing.accepts(ThreatModel()).reason


def test_no_map_of_outputs_follows_an_adaptation_on_the_stream() -> None:
    """That combination is refused in words; every other one hands back what the next attack can take."""
    stream = registry.INSTALLED.make("attack", "compose", {"adaptation": "tent", "output": "logit-surgery"})
    assert "tent" in stream.accepts(ThreatModel()).reason
    assert registry.INSTALLED.make("attack", "compose", {"adaptation": "tent"}).accepts(ThreatModel())


def test_the_attack_after_an_extraction_works_on_the_student_not_on_the_interface() -> None:
    student = models.build("cnn", SPEC)

    class Target:
        threat, spec = ThreatModel(access="logits", share=0.1), SPEC

        def query(self, images: Tensor) -> Tensor:
            raise AssertionError("the locked model was asked")

    after: Any = composition.After(Target(), student, [])  # type: ignore[arg-type]
    assert after.threat.share == 0.1
    assert torch.equal(ask(after, TEST.images[:2]), models.outputs(student, TEST.images[:2]))
    inner = handle(after)
    assert isinstance(inner, Direct)
    assert inner.classifier is student
    before: Any = composition.After(Target(), None, [])  # type: ignore[arg-type]
    assert isinstance(handle(before), Queried)


def test_images_that_nothing_changes_are_not_copied() -> None:
    assert front.images_after(POOL, nn.Sequential()) is POOL


def test_a_map_of_outputs_can_follow_a_transform_behind_an_interface() -> None:
    outcome = run_attack(
        "compose", {"adaptation": "none", "output": "logit-surgery"}, "inverted",
        {"access": "logits", "share": 0.1}, key=inverted,
    )  # fmt: skip
    assert accuracy(outcome.predictor) > accuracy(Direct(locked("inverted"))) + 20
