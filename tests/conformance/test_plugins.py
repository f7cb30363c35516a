"""Every plugin that is found must keep the contracts; a new file is tested without a test being written."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import wrapped
from in_process import run_job
from places import PLUGINS
from safetensors.torch import save_file

from bench import contracts, models, registry
from bench.contracts import AccessDenied, Budget, DefenderNeeds, Images, NoLabels, Spec, ThreatModel
from bench.datasets import facts, infos
from bench.datasets.base import Dataset
from bench.harness import attack_process
from bench.harness.job import Job
from bench.harness.views import DefenderView
from bench.keys.none import Identity
from bench.plugin_source import BASES, PluginInfo
from bench.predictors import rebuild
from bench.training import Run, metered

PLUGIN_NAMES = [(kind, name) for kind in registry.KINDS for name in sorted(registry.INSTALLED.all(kind))]
LOCKS = sorted(registry.INSTALLED.all("lock"))
ATTACKS = sorted(registry.INSTALLED.all("attack"))
OFFLINE_TASKS = [i.name for i in infos() if facts.of(i).way == "built in"]
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
TINY = "tiny"
# The tiny network shows that a contract is kept. The real ones are for what depends on the architecture.
MODELS = [TINY, *(pytest.param(name, marks=pytest.mark.slow) for name in ("vit", "cnn"))]


@pytest.fixture(autouse=True)
def _tiny(_installed_plugins: None) -> None:
    registry.use([PLUGINS / "tiny.py"])


class Tinted(Identity):
    """A key that needs no editor: a little more red."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return (images + torch.tensor([0.2, 0.0, 0.0], device=images.device).view(1, 3, 1, 1)).clamp(0, 1)


@pytest.mark.parametrize(("kind", "name"), PLUGIN_NAMES)
def test_a_plugin_is_what_its_source_says(kind: str, name: str) -> None:
    info = registry.current().find(kind, name)
    cls = registry.load(info)
    assert issubclass(cls, getattr(contracts, BASES[kind]))
    assert {n: p.default for n, p in info.params.items()} == cls().values()
    assert info.role in ("method", "control", "given")
    assert bool(info.purpose) <= (info.role == "control"), "only a control has a purpose"
    assert info.summary, "`bench list` prints the first line of the class docstring"
    assert info.paper or info.role != "method", "a method names its paper, or says that it is ours"
    for param in info.params.values():
        assert param.help, f"{param.name} has no meaning"
        assert param.check(param.default) == param.default
    cls(**info.quick)
    length = len(info.file.read_text().splitlines())
    assert length <= 260, f"{info.file.name} has {length} lines: a plugin is one idea"
    assert not inspect.isabstract(cls)


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_names_its_rule_and_only_controls_are_chosen_by_the_judge(name: str) -> None:
    info = registry.current().find("attack", name)
    choices = info.params["select"].choices if "select" in info.params else (None,)
    for choice in choices or ():
        rule = info.rule({} if choice is None else {"select": choice})
        assert rule.words
        assert not rule.by_judge or rule.peeks or info.role == "control"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_returns_a_classifier_that_its_spec_rebuilds(
    name: str, model: str, device: str, toy: Images, spec: Spec, tmp_path: Path
) -> None:
    """Trains for the fewest steps: only `protect` itself can show what it returns."""
    info = registry.current().find("lock", name)
    save_file(models.build(model, spec, 1).state_dict(), tmp_path / "weights.safetensors")
    files = {n: str(tmp_path / "weights.safetensors") for n in info.files}
    lock = registry.current().make("lock", name, {**info.quick, **files})

    def protect() -> dict[str, torch.Tensor]:
        victim = models.build(model, spec, 0, "public", 1)
        view = DefenderView(spec, toy, toy, Tinted(), lock.needs(), lambda extra: models.build(model, spec, extra))
        work = Run(5, device)
        torch.manual_seed(7)
        with metered(work):
            locked = lock.protect(victim.to(device), Tinted(), view, work).cpu()
        assert view.denied == []
        again = models.rebuild(json.loads(json.dumps(locked.spec)), locked.state_dict())
        images = toy.images[:4]
        torch.testing.assert_close(models.outputs(again, images), models.outputs(locked, images))
        assert models.outputs(locked, images).shape == (4, spec.k + locked.extra)
        assert models.logits(locked, images).shape == (4, spec.k)
        return {k: v.clone() for k, v in locked.state_dict().items()}

    first, second = protect(), protect()
    if device == "cpu":  # an accelerator's kernels may add in another order
        assert all(torch.equal(first[k], second[k]) for k in first), "the same seeds give the same lock, bit for bit"


def test_a_lock_that_reads_more_than_it_needs_is_caught(toy: Images, spec: Spec) -> None:
    needs = DefenderNeeds(authorised=False, unauthorised_labels=False)
    view = DefenderView(spec, toy, toy, Tinted(), needs, lambda extra: models.build(TINY, spec, extra))
    assert not view.unauthorised.labelled
    with pytest.raises(NoLabels, match="ask `labelled`"):
        _ = view.unauthorised.labels
    with pytest.raises(AccessDenied):
        _ = view.authorised
    with pytest.raises(AccessDenied):
        _ = view.raw
    assert view.denied == ["authorised", "raw"]


def _job(info: PluginInfo, model: str, device: str, toy: Images, spec: Spec) -> tuple[Job, contracts.Classifier]:
    threat = {k.removeprefix("threat."): v for k, v in info.defaults.items() if k.startswith("threat.")}
    full = ThreatModel(**{**threat, "share": threat.get("share", 0.1)})
    locked = models.build(model, spec, 1, "public", 2)
    granted: dict[str, Images | tuple[Images, Images]] = {}
    if full.share:
        granted["labelled"] = toy.subset(torch.arange(6))
    if full.unlabelled:
        granted["unlabelled"] = toy.subset(torch.arange(6, 40)).unlabelled()
    if full.authorised:
        granted["authorised"] = toy.subset(torch.arange(40, 46))
    if full.leaked:
        raw = toy.subset(torch.arange(46, 50)).unlabelled()
        granted["leaked_pairs"] = (raw, Images((Tinted()(raw.images) * 255).byte()))
    parts = {"editor": "miniature", "prompt": "with monet", "settings": {"editor": "miniature", "steps": 2}}
    job = Job(
        attack=info.name,
        params=dict(info.quick),
        plugin_files=[str(PLUGINS / "tiny.py")],
        model=model,
        task=spec,
        threat=full,
        budget=Budget(),
        seed=11,
        granted=granted,
        classifier=(locked.spec, locked.state_dict()) if full.access == "weights" else None,
        known={p: parts[p] for p in full.parts() if p in parts},
        words=["monet", "oil pastel"] if full.wordlist != "none" else None,
        device=device,
        threads=1,
    )
    return job, locked


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("model", [TINY, pytest.param("cnn", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_hands_back_a_predictor(name: str, model: str, device: str, toy: Images, spec: Spec) -> None:
    """Trains for the fewest steps: only `unlock` itself can show what it hands back."""
    info = registry.current().find("attack", name)
    job, locked = _job(info, model, device, toy, spec)

    def interface(images: torch.Tensor) -> torch.Tensor:
        return models.outputs(locked.to(device), images)

    assert registry.current().make("attack", name, {}).accepts(job.threat)
    first, second = run_job(job, interface), run_job(job, interface)
    assert first.denied == []
    labelled = job.granted.get("labelled")
    assert first.meter["labelled"] == (0 if labelled is None else 6)
    predictor = rebuild(first.submissions[-1]["spec"], first.states[-1], interface)
    assert predictor.predict(toy.images[:5]).shape == (5, spec.k)
    assert json.dumps(predictor.describe()) is not None
    if device != "cpu":
        return
    for a, b in zip(first.states, second.states, strict=True):
        assert all(torch.equal(a[k], b[k]) for k in a), "the same seeds give the same attack, bit for bit"


@pytest.mark.slow
@pytest.mark.parametrize("kind", wrapped.KINDS)
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_runs_on_a_locked_model_of_another_shape(name: str, kind: str, toy: Images, spec: Spec) -> None:
    """Trains for the fewest steps: only `unlock` itself can show whether it runs."""
    job, _ = _job(registry.current().find("attack", name), TINY, "cpu", toy, spec)
    if job.classifier is None:
        pytest.skip("it asks an interface")
    model = wrapped.wrapped(kind, models.build(TINY, spec, 0, "public", 2), spec.size).eval()
    done = run_job(replace(job, classifier=(model.spec, model.state_dict())), lambda images: images)
    predictor = rebuild(done.submissions[-1]["spec"], done.states[-1], lambda images: images)
    assert predictor.predict(toy.images[:5]).shape == (5, spec.k)


def test_an_attack_in_its_own_process_hands_back_what_it_does_in_this_one(toy: Images, spec: Spec) -> None:
    """Trains, since what crosses the process are trained weights."""
    job, _ = _job(registry.current().find("attack", "finetune"), "cnn", "cpu", toy, spec)
    here = run_job(job, lambda images: images)
    there = attack_process.run(job, None, lambda *_: None)
    assert there.submissions[-1]["spec"] == here.submissions[-1]["spec"]
    assert all(torch.equal(there.states[-1][k], v) for k, v in here.states[-1].items())


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_that_cannot_run_says_why(name: str) -> None:
    attack = registry.current().make("attack", name, {})
    nothing = ThreatModel(access="none", share=0.0, unlabelled=False, known="none", wordlist="none")
    answer = attack.accepts(nothing)
    if registry.current().find("attack", name).purpose == "public-baseline":
        assert answer, "the public baseline runs on nothing at all"
        return
    assert not answer
    assert answer.reason.startswith(("it needs", "attack."))


@pytest.mark.parametrize("name", OFFLINE_TASKS)
def test_a_task_is_a_labelled_set_of_the_size_asked_for(name: str) -> None:
    source = registry.current().make("task", name)
    dataset: Dataset = source.load(16, 0, False)
    assert dataset.images.shape[1:] == (3, 16, 16)
    assert dataset.kind in registry.current().find("task", name).tasks
    shown = dataset.labels if dataset.kind == "classification" else dataset.masks
    assert shown is not None
    assert set(shown.unique().tolist()) - {255} == set(range(len(dataset.classes)))
    assert dataset.fingerprint == source.load(16, 0, False).fingerprint
