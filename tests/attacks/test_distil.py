"""Extraction and source-free adaptation: losses by hand, meters that agree, and locks that they open or do not."""

from __future__ import annotations

import math
import random
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks import cowa, difo, knockoff, nrc, plue, restyle, shot
from attacks.kit import adaptation, guess, proposers, stages, students
from bench import models, registry
from bench.contracts import AccessDenied, Budget, BudgetSpent, Classifier, Images, Spec, ThreatModel
from bench.errors import UserError
from bench.harness.views import AttackerView
from bench.predictors import Direct
from bench.synthesis import ClassGenerator, Generator, NormStatistics, surrogates
from bench.training import Run, metered

ADAPTING = ("shot", "nrc", "cowa", "plue", "adacontrast", "difo")
EXTRACTING = ("distillation", "knockoff", "data-free")


# Losses


def test_centroids_of_shot_by_hand() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    weights = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    expected = torch.tensor([[1.5, 0.5], [0.5, 1.5]]) / 1.5
    torch.testing.assert_close(shot.centroids(features, weights), expected)


def test_the_centroid_overrules_a_wavering_model_and_an_unused_class_takes_no_part() -> None:
    embedding = torch.tensor([[9.0, 0.0], [8.0, 1.0], [0.0, 9.0], [1.0, 8.0]])
    p = torch.tensor([[0.9, 0.1, 0.0], [0.4, 0.6, 0.0], [0.1, 0.9, 0.0], [0.1, 0.9, 0.0]])
    assert shot.pseudo_labels(embedding, p).tolist() == [0, 0, 1, 1]


def test_only_mutual_neighbours_have_full_affinity() -> None:
    angle = torch.tensor([0.0, 10.0, 15.0, 60.0]) * math.pi / 180
    features = torch.stack([angle.cos(), angle.sin()], 1)
    near, beyond, affinity = nrc.neighbourhood(features, features, torch.arange(4), 1, 1, 0.1)
    assert near.flatten().tolist() == [1, 2, 1, 2]
    assert beyond.flatten().tolist() == [2, 1, 2, 1]
    torch.testing.assert_close(affinity.flatten(), torch.tensor([0.1, 1.0, 1.0, 0.1]))


def test_the_mixture_of_cowa_is_a_gaussian_one() -> None:
    features = torch.tensor([[-1.0], [-3.0], [1.0], [3.0]])
    p = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    data = cowa.mixture(features, p, 0.1)  # means −2 and 2, variance 1
    odds = torch.tensor([4.0, 12.0, -4.0, -12.0])  # ((x − 2)² − (x + 2)²) / 2
    torch.testing.assert_close(data[:, 0] - data[:, 1], odds, rtol=1e-4, atol=1e-4)
    model = torch.tensor([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [1.0, 0.0]])
    torch.testing.assert_close(cowa.jmds(data, model), torch.tensor([0.8 / 3, 0.6, 0.7 / 3, 0.0]), rtol=1e-4, atol=1e-5)


def test_certainty_of_plue_and_its_negative_learning() -> None:
    votes = torch.tensor([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    torch.testing.assert_close(plue.certainty(votes), torch.tensor([1.0, math.exp(-1)]), rtol=1e-5, atol=1e-5)
    logits = torch.tensor([[math.log(2.0), 0.0, 0.0]])
    assert float(plue.negative(logits, torch.tensor([0]))) == pytest.approx(math.log(2))
    assert float(plue.negative(logits, torch.tensor([1]))) == pytest.approx(-math.log(0.75))


def test_the_target_of_difo_keeps_the_likeliest_classes() -> None:
    q = torch.tensor([[0.5, 0.3, 0.2]])
    torch.testing.assert_close(difo.likely(q, 2), torch.tensor([[0.625, 0.375, 0.0]]))
    torch.testing.assert_close(difo.likely(q, 9), q)


def test_joint_information_of_equal_and_of_unrelated_answers() -> None:
    p = torch.eye(4).repeat(4, 1)
    assert float(difo.joint_information(p, p)) == pytest.approx(math.log(4), rel=1e-4)
    other = torch.eye(4).repeat_interleave(4, 0)
    assert float(difo.joint_information(p, other)) == pytest.approx(0, abs=1e-5)


def test_info_nce_leaves_out_what_is_no_negative() -> None:
    query = torch.tensor([[1.0, 0.0]])
    queue = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    none, same = torch.tensor([[False, False]]), torch.tensor([[True, False]])
    full = adaptation.info_nce(query, query, queue, none, 1.0)
    assert float(full) == pytest.approx(math.log((2 * math.e + 1) / math.e), rel=1e-5)
    assert float(adaptation.info_nce(query, query, queue, same, 1.0)) == pytest.approx(
        math.log((math.e + 1) / math.e), rel=1e-5
    )


def test_a_momentum_model_follows(spec: Spec) -> None:
    model = models.build("cnn", spec)
    slow = adaptation.Momentum(model, 0.75)
    name, weight = next(iter(model.named_parameters()))
    before = weight.detach().clone()
    with torch.no_grad():
        weight.add_(4.0)
    slow.follow(model)
    torch.testing.assert_close(slow.model.get_parameter(name), before + 1.0)


def test_soft_distillation_is_hintons() -> None:
    logits, theirs = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    targets, weight = students.soft_targets(theirs, 2, hard=False, temperature=2.0)
    p = 1 / (1 + math.e)  # of the first class, softened by 2
    kl = p * math.log(p / (1 - p)) + (1 - p) * math.log((1 - p) / p)
    loss = students.divergence(logits, targets, weight, 2.0)
    assert float(loss) == pytest.approx(4 * kl / 2, rel=1e-5)
    assert float(students.divergence(theirs, targets, weight, 2.0)) == pytest.approx(0, abs=1e-6)


def test_an_extra_output_is_seen_through_unless_only_labels_are_told() -> None:
    outputs = torch.tensor([[math.log(3.0), 0.0, 50.0], [0.0, 9.0, 0.0]])
    soft, weight = students.soft_targets(outputs, 2, hard=False)
    torch.testing.assert_close(soft[0], torch.tensor([0.75, 0.25]))
    assert weight.tolist() == [1, 1]
    hard, weight = students.soft_targets(F.one_hot(outputs.argmax(1), 3).float(), 2, hard=True)
    assert weight.tolist() == [0, 1]
    assert hard[1].tolist() == [0, 1]


def test_statistics_are_crossed_between_the_halves() -> None:
    rng = torch.Generator().manual_seed(0)
    maps = torch.randn(4, 3, 8, 8, generator=rng)
    maps[2:] = maps[2:] * 3 + 5
    tokens = maps.flatten(2).transpose(1, 2)
    for activation in (maps, tokens):
        mean, _ = stages.style(activation)
        assert mean.flatten(1).shape == (4, 3)
        edited = restyle.crossing(2, 1.0, torch.Generator().manual_seed(1))(0, activation)
        result, _ = stages.style(edited)
        low = torch.minimum(mean, mean.roll(2, 0)) - 1e-3
        high = torch.maximum(mean, mean.roll(2, 0)) + 1e-3
        assert bool(((result >= low) & (result <= high)).all())
        assert torch.equal(restyle.crossing(2, 0.0, rng)(0, activation), activation)


def test_k_centres_are_far_apart() -> None:
    points = torch.tensor([[0.0], [0.1], [10.0], [5.0]])
    assert knockoff.k_centres(points, 3).tolist() == [0, 2, 3]


def test_surrogates_are_images_and_differ() -> None:
    images = surrogates(16, 32, torch.Generator().manual_seed(0), torch.rand(5, 3, 32, 32))
    assert images.shape == (16, 3, 32, 32)
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1
    assert float(images.flatten(1).std(0).mean()) > 0.1
    assert Generator(32)(torch.randn(4, 64)).shape == (4, 3, 32, 32)
    assert ClassGenerator(3, 32)(torch.randn(4, 64), torch.arange(4) % 3).shape == (4, 3, 32, 32)


def test_norm_statistics_of_what_the_model_kept_are_near(spec: Spec, toy: Images) -> None:
    model = models.build("cnn", spec).eval()
    models.reestimate_batch_norm(model, toy.images, batch=60)
    with NormStatistics(model) as statistics:
        model(toy.images)
        near = float(statistics.mean().detach())
        statistics.clear()
        model(torch.rand(60, 3, 32, 32))
        far = float(statistics.mean().detach())
    assert near < 0.2 < far
    assert float(NormStatistics(nn.Linear(2, 2)).mean()) == 0


# Attacks


def view_of(
    locked: Classifier, spec: Spec, images: Images, name: str, work: Run, **threat: Any
) -> tuple[AttackerView, list[int]]:
    """What ``name``'s usual threat model grants of ``locked``, and a list of the batches that were asked."""
    usual = {k[7:]: v for k, v in registry.INSTALLED.find("attack", name).defaults.items() if k.startswith("threat.")}
    full = ThreatModel(**{**usual, **threat})
    batches: list[int] = []

    def answer(part: Tensor) -> Tensor:
        batches.append(len(part))
        outputs = models.outputs(locked, part)
        return F.one_hot(outputs.argmax(1), outputs.shape[1]).float() if full.access == "labels" else outputs

    granted: dict[str, Any] = {}
    if full.access == "weights":
        granted["classifier"] = models.rebuild(locked.spec, locked.state_dict())
    if full.unlabelled:
        granted["unlabelled"] = images.unlabelled()
    if full.share:
        granted["labelled"] = images.subset(torch.arange(6))
    if full.authorised:
        granted["authorised"] = images.subset(torch.arange(6, 18))
    view = AttackerView(
        spec, full, work.budget, granted, {}, lambda extra: models.build("cnn", spec, extra, "public", 3),
        answer if full.access in ("labels", "logits") else None, work.meter,
    )  # fmt: skip
    return view, batches


def accuracy(predictor: Any, images: Images) -> float:
    with torch.no_grad():
        return float((predictor.eval().predict(images.images).argmax(1) == images.labels).float().mean())


@pytest.fixture(scope="module")
def victim() -> Classifier:
    """A CNN that knows the toy task, with one output beyond its classes."""
    task, images = Spec(32, ("dark", "light", "striped")), toy_images(1)
    torch.manual_seed(0)
    model = models.build("cnn", task, 1, "public", 1)
    Run(1).fit(model, lambda b: F.cross_entropy(model(b.images), b.labels), 40, images)
    assert accuracy(Direct(model), images) > 0.9
    return model


def toy_images(seed: int) -> Images:
    """As the fixture ``toy``, from another seed."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(60) % 3
    images = torch.rand((60, 3, 32, 32), generator=rng) * 0.2
    images[labels == 1] += 0.7
    images[labels == 2, :, ::4] += 0.7
    return Images((images * 255).byte(), labels)


def corrupted(victim: Classifier, how: str) -> Classifier:
    """A copy of ``victim``, ``how``: batch-norm `statistics` off, norm `affine` off, or `random` weights."""
    model = models.rebuild(victim.spec, {k: v.clone() for k, v in victim.state_dict().items()})
    rng = torch.Generator().manual_seed(3)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for m in norms:
            assert m.running_mean is not None
            assert m.running_var is not None
            if how == "statistics":
                m.running_mean += 2 * torch.randn(m.running_mean.shape, generator=rng) * m.running_var.sqrt()
            elif how == "affine":
                m.bias += 0.25 * torch.randn(m.bias.shape, generator=rng)
        if how == "decoy":
            model.last.bias[model.k :] += 100
    return models.build("cnn", Spec(32, ("a", "b", "c")), 1, "random", 9) if how == "random" else model


class Expected(NamedTuple):
    """What an attack makes of the toy task locked in a weak way."""

    attack: str
    lock: str
    least: float = 0.0
    most: float = 1.0
    threat: dict[str, Any] = {}
    params: dict[str, Any] = {}


QUICK = {"steps": 24, "every": 6, "batch": 24}
TABLE = [
    *(Expected(name, "statistics", least=0.85, params=QUICK) for name in ADAPTING),
    *(Expected(name, "affine", least=0.6, params=QUICK) for name in ADAPTING),
    *(Expected(name, "random", most=0.85, params=QUICK) for name in ADAPTING),
    Expected("restyle", "affine", least=0.85, params=QUICK),
    Expected("distillation", "decoy", least=0.9, params={"steps": 40}),
    Expected("distillation", "decoy", least=0.9, threat={"share": 0.0}, params={"steps": 40, "match": "hard"}),
    Expected(
        "distillation", "decoy", least=0.9, threat={"access": "weights"}, params={"steps": 40, "match": "feature"}
    ),
    Expected("knockoff", "decoy", least=0.6, params={"steps": 60, "queries": 300, "rounds": 2}),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.attack}-{row.lock}-{row.params.get('match', '')}")
def test_what_opens_a_weak_lock(row: Expected, victim: Classifier, toy: Images, spec: Spec) -> None:
    locked, work = corrupted(victim, row.lock), Run(5)
    threat = {"authorised": 0.1} if row.attack == "restyle" else {}
    view, _ = view_of(locked, spec, toy, row.attack, work, **{**threat, **row.threat})
    torch.manual_seed(0)
    with metered(work):
        result = accuracy(registry.INSTALLED.make("attack", row.attack, row.params).unlock(view, work), toy_images(7))
    assert row.least <= result <= row.most
    assert view.denied == []
    assert work.meter.steps >= row.params["steps"]


def test_behind_an_interface_the_generator_knows_no_statistics(victim: Classifier, toy: Images, spec: Spec) -> None:
    """One step with a weight of statistics and without: the same behind an interface, another with weights."""
    for access, same in (("logits", True), ("weights", False)):
        after = []
        for weight in (0.0, 10.0):
            work = Run(5)
            view, _ = view_of(victim, spec, toy, "data-free", work, access=access)
            torch.manual_seed(0)
            generator, student = Generator(32), models.build("cnn", spec, 0, "random", 3)
            attack: Any = registry.INSTALLED.make("attack", "data-free", {"statistics": weight, "batch": 8})
            optimiser = torch.optim.SGD(generator.parameters(), lr=1.0)
            attack._draw(generator, student, view, work, optimiser, torch.Generator().manual_seed(1))
            after.append(nn.utils.parameters_to_vector(generator.parameters()))
        assert torch.equal(*after) is same


@pytest.mark.parametrize("scored", [0, 1, 2])
def test_a_budget_that_ends_among_guesses_leaves_the_best_of_those_scored(
    scored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Spent(Run):
        def edits(self, images: Tensor, prompts: Any, settings: Any) -> Any:  # type: ignore[override]
            if not scored:
                raise BudgetSpent("edited: 0")
            yield from ((prompt, images) for prompt in prompts)

    values = iter([0.1, 0.7])
    monkeypatch.setattr(guess, "ask", lambda *_: torch.zeros(1))
    monkeypatch.setattr(guess, "guess_score", lambda *_: next(values))
    target: Any = SimpleNamespace(
        known={"settings": {}}, threat=ThreatModel(share=0.0), unlabelled=toy_images(1), spec=Spec(32, ("a", "b")),
        wordlist=lambda: ("oil", "ink", "chalk"),
    )  # fmt: skip
    work = Spent(5, budget=Budget(guesses=scored or 1))
    if scored == 0:
        with pytest.raises(BudgetSpent):
            guess.surest(target, work, 3, 4)
        return
    best, _ = guess.surest(target, work, 3, 4)
    assert best == list(proposers.dictionary(target.wordlist(), random.Random(work.seed("guesses"))))[scored - 1]


@pytest.mark.parametrize("access", ["labels", "logits"])
@pytest.mark.parametrize("name", EXTRACTING)
def test_every_question_is_metered_and_none_over_budget(
    name: str, access: str, victim: Classifier, toy: Images, spec: Spec
) -> None:
    params = {
        "distillation": {"steps": 2},
        "knockoff": {"steps": 2, "queries": 90},
        "data-free": {"steps": 4, "queries": 160},
    }[name]
    for budget in (None, 70):
        work = Run(5, budget=Budget(queries=budget))
        view, batches = view_of(corrupted(victim, "decoy"), spec, toy, name, work, access=access)
        registry.INSTALLED.make("attack", name, params).unlock(view, work)
        assert work.meter.queries == sum(batches) > 0
        assert budget is None or sum(batches) == budget
        assert len(work.submissions) >= 1


@pytest.mark.parametrize("name", [*ADAPTING, *EXTRACTING])
def test_a_spent_step_budget_leaves_the_last_submission(name: str, victim: Classifier, toy: Images, spec: Spec) -> None:
    work = Run(5, budget=Budget(steps=5))
    params = {"steps": 12} | ({"queries": 60} if name in ("knockoff", "data-free") else {})
    view, _ = view_of(victim, spec, toy, name, work)
    with pytest.raises(BudgetSpent), metered(work):
        registry.INSTALLED.make("attack", name, params).unlock(view, work)
    assert work.meter.steps == 5
    assert work.submissions


@pytest.mark.parametrize("name", ADAPTING)
def test_label_free_attacks_never_ask_for_labels(name: str, victim: Classifier, toy: Images, spec: Spec) -> None:
    work = Run(5)
    view, _ = view_of(victim, spec, toy, name, work)
    registry.INSTALLED.make("attack", name, {"steps": 2}).unlock(view, work)
    assert view.denied == []
    assert (work.meter.labelled, work.meter.authorised) == (0, 0)
    assert not view.unlabelled.labelled
    with pytest.raises(AccessDenied):
        _ = view.labelled


def test_a_clip_that_is_not_here_says_what_to_do(victim: Classifier, toy: Images, spec: Spec) -> None:
    work = Run(5)
    view, _ = view_of(victim, spec, toy, "difo", work)
    with pytest.raises(UserError, match="no such folder"):
        registry.INSTALLED.make("attack", "difo", {"clip": "no-such-clip"}).unlock(view, work)


def test_restyle_needs_authorised_images_and_features_need_weights() -> None:
    restyling = registry.INSTALLED.make("attack", "restyle", {})
    assert not restyling.accepts(ThreatModel(share=0.1))
    assert restyling.accepts(ThreatModel(share=0, authorised=0.01))
    matching = registry.INSTALLED.make("attack", "distillation", {"match": "feature"})
    assert matching.accepts(ThreatModel(access="logits")).reason == "it needs threat.access=weights"
    assert not registry.INSTALLED.make("attack", "shot", {}).accepts(ThreatModel(access="logits"))
