"""The public baseline: its probe, its zero-shot answers, what passes the model together, and which trials it makes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from attacks.from_scratch import TRIALS, FromScratch
from attacks.kit import probe
from attacks.kit.information import Recipe, maximise, train_on_answers
from attacks.kit.zero_shot import ZeroShot
from bench import models, predictors
from bench.contracts import AccessDenied, Classifier, Images, Spec, ThreatModel
from bench.harness.views import AttackerView
from bench.training import Run

SPEC = Spec(32, ("circle", "square", "star"))


def images(n: int, value: int = 0, labelled: bool = True) -> Images:
    """``n`` flat images of brightness ``value``, with labels that go round the classes."""
    pixels = torch.full((n, 3, 32, 32), value, dtype=torch.uint8)
    return Images(pixels, torch.arange(n) % SPEC.k if labelled else None)


def cnn(seed: int = 3) -> Classifier:
    return models.build("cnn", SPEC, weights="random", seed=seed)


# The probe


def test_embeddings_are_of_the_images_as_they_are_and_then_of_changed_copies() -> None:
    model, some = cnn(), images(4, 50)

    def invert(pixels: Tensor, _rng: torch.Generator) -> Tensor:
        return 1 - pixels

    embedded = probe.embeddings(model, some, invert, 3, torch.Generator(), batch=3)
    with torch.no_grad():
        plain, changed = model.embed(some.images), model.embed(1 - some.images)
    torch.testing.assert_close(embedded, torch.cat([plain, changed, changed]), rtol=1e-4, atol=1e-5)


def test_the_head_learns_separable_embeddings_and_nothing_else_moves() -> None:
    model = cnn()
    before = {name: p.clone() for name, p in model.named_parameters()}
    embedded = torch.zeros(3, before[models.head_names(model)[0]].shape[1])
    embedded[torch.arange(3), torch.arange(3)] = 1.0  # one axis a class
    labels = torch.tensor([2, 0, 1])
    probe.train_head(model, embedded, labels, steps=100, rate=0.1, rng=torch.Generator())
    assert torch.equal(model.head(embedded).argmax(1), labels)
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == set(models.head_names(model))


# Zero-shot


def test_zero_shot_scores_are_cosines_and_survive_the_way_to_the_judge() -> None:
    predictor = ZeroShot.of("miniature", SPEC, "a photo of {}")
    some = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    scores = predictor.predict(some)
    assert scores.shape == (5, 3)
    assert float(scores.abs().max()) <= predictor.scale + 1e-3
    torch.testing.assert_close(predictor.classes.norm(dim=1), torch.ones(3))
    state = predictor.state_dict()
    assert set(state) == {"classes"}  # CLIP's own weights do not travel
    again = predictors.rebuild(predictors.describe(predictor), state)
    torch.testing.assert_close(again.predict(some), scores)


# What passes the model together


@pytest.mark.parametrize("train", [maximise, train_on_answers])
def test_images_beside_the_pool_pass_with_it_and_those_of_the_other_side_by_themselves(train: Any) -> None:
    model, passes = cnn(), []

    def count(_module: Any, inputs: tuple[Tensor, ...]) -> None:
        if model.training:
            passes.append(sorted(set(inputs[0].mul(255).round().int().flatten(1).amax(1).tolist())))

    handle = model.register_forward_pre_hook(count)
    recipe = Recipe(steps=2, rate=1e-4, batch=4, augment="jitter")
    train(model, images(6, 10, False), [images(5, 200)], Run(0), recipe, beside=images(3, 90))
    handle.remove()
    assert passes == [[10, 90], [200]] * 2


# Trials


class Case(NamedTuple):
    share: float
    unlabelled: bool
    authorised: float
    expected: list[int]  # places in TRIALS


CASES = (
    Case(0.1, True, 0.0, [0, 1, 2, 3, 4, 6, 7, 8]),  # no look is searched: there are no authorised images
    Case(0.0, True, 0.1, [0, 1, 2, 3, 4, 5, 6, 7]),
    Case(0.1, True, 0.1, [0, 1, 2, 3, 4, 5, 6, 7]),
    Case(0.1, False, 0.0, [0, 1, 2, 12]),
    Case(0.0, True, 0.0, []),
    Case(0.0, False, 0.0, []),
)


def view(case: Case, run: Run) -> AttackerView:
    """What an attacker without the model has: nothing else can be asked."""
    threat = ThreatModel(
        access="none", share=case.share, unlabelled=case.unlabelled, authorised=case.authorised, known="none",
        wordlist="none",
    )  # fmt: skip
    granted: dict[str, Any] = {}
    if case.share:
        granted["labelled"] = images(3, 90)
    if case.unlabelled:
        granted["unlabelled"] = images(6, 10, False)
    if case.authorised:
        granted["authorised"] = images(6, 200)
    return AttackerView(
        SPEC, threat, run.budget, granted, {}, lambda extra: models.build("cnn", SPEC, extra, "public", 3), None,
        run.meter,
    )  # fmt: skip


@pytest.fixture
def without_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("case", CASES)
def test_every_trial_that_the_images_allow_is_handed_in(case: Case, without_threads: None) -> None:
    run = Run(0)
    target = view(case, run)
    attack = FromScratch(steps=1, label_steps=1, probe_steps=1, embeddings=20, looked_at=4)
    last = attack.unlock(target, run)
    notes = [dict(s.note) for s in run.submissions]
    assert [n["start"] for n in notes[:2]] == ["nothing", "clip"]
    assert notes[2:] == [vars(TRIALS[i]) for i in case.expected]
    assert last.predict(images(2).images).shape == (2, 3)
    with pytest.raises(AccessDenied):
        _ = target.classifier


@pytest.mark.parametrize(("case", "look"), [(0, "plain"), (1, "searched")])
def test_all_trials_run_with_their_look_and_survive_the_way_to_the_judge(
    case: int, look: str, without_threads: None
) -> None:
    run = Run(0)
    FromScratch(steps=1, label_steps=1, probe_steps=1, embeddings=1, trials=13, looked_at=4).unlock(
        view(CASES[case], run), run
    )
    assert len(run.submissions) == 2 + len(TRIALS) - 1
    looked = next(s.predictor for s in run.submissions if s.note.get("look") == look)
    some = images(2, 120).images
    again = predictors.rebuild(predictors.describe(looked), looked.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(again.predict(some), looked.eval().predict(some))
