"""What a threat model withholds cannot be had, and asking for it is remembered."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from places import PLUGINS

from attacks.kit.known import edit_settings
from bench import models, predictors
from bench.contracts import AccessDenied, Batch, Budget, BudgetSpent, Images, Key, Meter, Spec, ThreatModel
from bench.datasets.base import Dataset
from bench.datasets.scenario import Scenario, Side, draw_share, load, split
from bench.guests.failure import GuestFailed
from bench.guests.wire import Message
from bench.harness import attack_process
from bench.harness.artefacts import Trained
from bench.harness.attack_process import run
from bench.harness.grants import materialise
from bench.harness.job import AttackOutput, Job
from bench.harness.views import AttackerView
from bench.keys.edit import Edit
from bench.keys.none import Identity
from bench.records import Cell, PluginRef
from bench.store.settings import Settings
from bench.training import Run, metered

NOSY = str(PLUGINS / "nosy.py")
THINGS = ("classifier", "labelled", "unlabelled", "authorised", "leaked_pairs", "wordlist", "query")


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load("digits", 0)


def _cell(attack: str, params: dict[str, str], threat: ThreatModel, budget: Budget | None = None) -> Cell:
    return Cell(
        scenario="digits",
        model="cnn",
        lock=PluginRef(name="none"),
        key=PluginRef(name="none"),
        attack=PluginRef(name=attack, params=params),
        threat=threat,
        budget=budget or Budget(),
        replicate=0,
    )


def _materialise(scenario: Scenario, cell: Cell, key: Key | None = None, files: tuple[str, ...] = ()) -> Job:
    locked = models.build("cnn", scenario.spec, 0, "random", 1)
    trained = Trained(locked.spec, locked.state_dict())
    return materialise(scenario, trained, key or Identity(), cell, 3, 5, Settings(threads=1, plugin_files=files))


def _job(scenario: Scenario, ask: str, budget: dict[str, int] | None = None, **threat: object) -> Job:
    chosen = {"access": "none", "share": 0.0, "unlabelled": False, "wordlist": "none", **threat}
    cell = _cell("nosy", {"ask": ask}, ThreatModel(**chosen), Budget(**(budget or {})))
    return _materialise(scenario, cell, files=(NOSY,))


def _run(job: Job) -> AttackOutput:
    return run(job, lambda images: torch.zeros(len(images), 10), lambda *_: None)


@pytest.mark.parametrize("thing", THINGS)
def test_each_thing_withheld_is_denied_even_if_the_attack_swallows_it(thing: str, spec: Spec) -> None:
    threat = ThreatModel(access="none", share=0.0, unlabelled=False, wordlist="none")
    view = AttackerView(spec, threat, Budget(), {}, {}, lambda extra: models.build("cnn", spec), None, Meter())
    with pytest.raises(AccessDenied):
        got = getattr(view, thing)
        got(torch.zeros(1, 3, 32, 32)) if thing == "query" else got()
    assert view.denied == ["words" if thing == "wordlist" else thing]


def test_a_denial_crosses_the_process(scenario: Scenario) -> None:
    output = _run(_job(scenario, "classifier", access="labels"))
    assert output.denied == ["classifier"]
    assert len(output.submissions) == 2, "it went on all the same"


def test_the_process_holds_nothing_else(scenario: Scenario) -> None:
    (first, *_) = _run(_job(scenario, "nothing", access="labels")).submissions
    assert first["note"]["where"] == [], "an empty working directory"
    assert not [n for n in first["note"]["home"] if "STORE" in n or "PYTEST" in n]
    job = _job(scenario, "nothing", access="labels", share=0.01, listed=False, wordlist="wide")
    assert set(job.granted) == {"labelled"}
    assert job.classifier is None
    assert len(job.granted["labelled"]) == 10  # type: ignore[arg-type]


def test_a_query_budget_ends_the_attack_with_its_last_submission(scenario: Scenario) -> None:
    output = _run(_job(scenario, "query", {"queries": 35}, access="labels"))
    assert output.spent is not None
    assert output.meter["queries"] == 30
    assert len(output.submissions) == 1


def test_over_budget_without_a_submission_the_locked_model_itself_is_handed_in(scenario: Scenario) -> None:
    locked = models.build("cnn", scenario.spec, 0, "random", 1)
    threat = ThreatModel(access="weights", share=0.1, unlabelled=False, wordlist="none", known="none")
    job = _materialise(scenario, _cell("learned-input", {}, threat, Budget(steps=1)))
    output = _run(job)
    assert output.spent == "optimiser steps: 1"
    (state,) = output.states
    assert all(torch.equal(state[f"classifier.{k}"], v) for k, v in locked.state_dict().items())


@pytest.mark.parametrize(("access", "stands"), [("labels", "Queried"), ("weights", "Direct")])
def test_what_comes_after_its_seconds_does_not_count(access: str, stands: str, scenario: Scenario) -> None:
    """The attack ends by itself, within the grace that it has; nothing was handed in before."""
    output = _run(replace(_job(scenario, "late", access=access), budget=Budget(seconds=0.55)))
    assert output.spent == "seconds: 0.55"
    (submission,) = output.submissions
    assert submission["meter"] == output.meter
    assert output.meter["seconds"] > 0.55
    assert submission["spec"]["predictor"].endswith(stands)
    assert predictors.rebuild(submission["spec"], output.states[0], lambda x: x) is not None


def test_what_came_within_its_seconds_stands(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    output = _run(replace(_job(scenario, "late end", access="labels"), budget=Budget(seconds=30)))
    assert output.spent is None
    assert len(output.submissions) == 2
    clock = iter([0.0, *[1.0] * 2, *[40.0] * 9])
    monkeypatch.setattr(attack_process.time, "monotonic", lambda: next(clock))
    ledger = attack_process._Ledger(replace(_job(scenario, "late", access="labels"), budget=Budget(seconds=30)), None)
    body = {"spec": output.submissions[0]["spec"], "note": {}, "meter": None}
    for _ in range(4):
        ledger.submission(Message("submission", body, {}))
    ledger.close(Message("result", {"meter": {}, "spent": None}, {}), 40.0)
    assert len(ledger.output.submissions) == 2
    assert ledger.output.spent == "seconds: 30"


def test_an_attack_that_raises_or_dies_is_told_of(scenario: Scenario) -> None:
    with pytest.raises(GuestFailed, match=r"RuntimeError: the attack fails on request \(nosy.py, line \d+\)"):
        _run(_job(scenario, "raise", access="labels"))
    with pytest.raises(GuestFailed, match="exit status 7"):
        _run(_job(scenario, "crash", access="labels"))


def test_an_unlisted_key_is_dropped_from_the_word_list(scenario: Scenario) -> None:
    key = Edit(key_choice="fixed", prompt="with oil pastel").make(None, None)  # type: ignore[arg-type]
    words = {}
    for listed in (True, False):
        threat = ThreatModel(wordlist="wide", listed=listed)
        job = _materialise(scenario, _cell("none", {}, threat), key)
        assert job.words is not None
        words[listed] = job.words
        assert "prompt" not in job.known
    assert "oil pastel" in words[True]
    assert not [w for w in words[False] if "oil pastel" in w]
    assert set(words[False]) < set(words[True])


def test_shares_are_stratified_nested_and_at_least_one_a_class(scenario: Scenario) -> None:
    labels, pool = scenario.authorised.dataset.labels, scenario.authorised.splits.attacker
    draws = [set(draw_share(labels, pool, share, 721, 5).tolist()) for share in (0.001, 0.01, 0.05, 0.1)]
    assert [len(d) for d in draws] == [10, 10, 40, 70]
    assert all(a <= b for a, b in pairwise(draws))
    assert draws[-1] <= set(pool.tolist())
    assert len(draw_share(labels, pool, 0.0, 721, 5)) == 0


def test_the_place_of_an_unlabelled_image_tells_no_class() -> None:
    """Many sets are stored class by class, and splits keep the order of the set."""
    labels = torch.arange(600) // 60
    pixels = (labels * 20)[:, None, None, None].expand(600, 3, 16, 16).to(torch.uint8)
    data = Dataset("sorted", pixels, labels, tuple("abcdefghij"))
    side = Side(data, split(data, 1))
    job = _materialise(Scenario(side, side), _cell("none", {}, ThreatModel(share=0.0)))
    pool = job.granted["unlabelled"]
    assert isinstance(pool, Images)
    truth = pool.pixels[:, 0, 0, 0].long() // 20
    by_place = torch.arange(len(truth)) * 10 // len(truth)
    assert float((truth == by_place).float().mean()) < 0.3


def test_an_image_whose_authorised_form_is_known_is_in_no_other_set(scenario: Scenario) -> None:
    """Its raw form would make a leaked pair, and carry a label, though the threat model grants neither."""
    threat = ThreatModel(share=0.05, authorised=0.1, leaked=20)
    job = _materialise(scenario, _cell("none", {}, threat))  # the key is the identity, so forms are the same
    sets = {name: job.granted[name] for name in ("authorised", "labelled", "unlabelled")}
    pixels = {name: {image.numpy().tobytes() for image in part.pixels} for name, part in sets.items()}  # type: ignore[union-attr]
    raw, _ = job.granted["leaked_pairs"]
    pixels["leaked"] = {image.numpy().tobytes() for image in raw.pixels}  # type: ignore[union-attr]
    assert pixels["labelled"] & pixels["unlabelled"], "labelled images are of the pool"
    for name in ("labelled", "unlabelled", "leaked"):
        assert not pixels["authorised"] & pixels[name], name


def test_known_parts_of_a_key_hold_no_other_part(scenario: Scenario) -> None:
    key = Edit(key_choice="fixed", prompt="with oil pastel").make(None, None)  # type: ignore[arg-type]
    for known in ("settings", "editor+settings", "geometry"):
        job = _materialise(scenario, _cell("none", {}, ThreatModel(known=known)), key)
        assert set(job.known) == set(known.split("+"))
    settings = job.known if known == "settings" else key.parts()["settings"]
    assert not {"editor", "size", "prompt"} & set(settings)
    assert edit_settings({**key.parts()}) == key.settings.to_json()


def test_splits_are_disjoint_and_only_the_test_side_is_fixed(scenario: Scenario) -> None:
    other = split(scenario.authorised.dataset, 99)
    parts = list(scenario.authorised.splits.__dict__.values())
    joined = torch.cat(parts)
    assert len(joined.unique()) == len(joined) == len(scenario.authorised.dataset.labels)
    assert torch.equal(other.test, scenario.authorised.splits.test)
    assert torch.equal(other.judge_validation, scenario.authorised.splits.judge_validation)
    assert not torch.equal(other.defender, scenario.authorised.splits.defender)
    for part in parts:
        assert len(scenario.authorised.dataset.labels[part].unique()) == 10


def test_meters_agree_with_counted_calls(toy: Images, spec: Spec) -> None:
    from bench.training import count_images

    model = models.build("cnn", spec, 0, "random", 1)
    run_ = Run(1)
    count_images(model, run_.meter)
    with metered(run_):
        run_.fit(model, lambda b: model(b.images).logsumexp(1).mean(), 3, toy, batch=20)
    assert (run_.meter.steps, run_.meter.forward_images, run_.meter.backward_images) == (3, 60, 60)
    models.outputs(model, toy.images[:7])
    model.features(toy.images[:5])
    assert (run_.meter.forward_images, run_.meter.backward_images) == (72, 60)


def test_a_step_budget_stops_any_optimiser(toy: Images, spec: Spec) -> None:
    model = models.build("cnn", spec, 0, "random", 1)
    run_ = Run(1, budget=Budget(steps=2))
    with pytest.raises(BudgetSpent, match="optimiser steps: 2"), metered(run_):
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(5):
            model(toy.images[:4]).sum().backward()
            optimiser.step()
    assert run_.meter.steps == 2


def test_fitting_a_head_asks_no_gradient_of_the_rest_and_leaves_all_as_it_was(toy: Images, spec: Spec) -> None:
    model = models.build("cnn", spec, 0, "random", 1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    head = models.head_names(model)
    request: set[str] = set()

    def loss(batch: Batch) -> torch.Tensor:
        request.update(name for name, p in model.named_parameters() if p.requires_grad)
        return torch.nn.functional.cross_entropy(model(batch.images), batch.labels)

    run_ = Run(1, budget=Budget(steps=2))
    with pytest.raises(BudgetSpent), metered(run_):
        run_.fit(model, loss, 5, toy, parameters=[model.get_parameter(n) for n in head], train_mode=False)
    assert request == set(head)
    assert all(p.requires_grad for p in model.parameters())
    assert {name for name, p in model.named_parameters() if not torch.equal(p, before[name])} == set(head)
