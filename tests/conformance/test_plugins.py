"""Every plugin that is found must keep the contracts; a new file is tested without a test being written."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bench import models, registry
from bench.contracts import Attack, Budget, DefenderNeeds, Images, KeyMethod, Lock, Spec, ThreatModel
from bench.keys.none import Identity
from bench.predictors import rebuild
from bench.run.attack_process import Job, run
from bench.run.views import DefenderView
from bench.training import Run, metered

LOCKS = sorted(registry.current().all("lock"))
ATTACKS = sorted(registry.current().all("attack"))
KEYS = sorted(registry.current().all("key"))
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
BASE = {"lock": Lock, "attack": Attack, "key": KeyMethod}
SHORT = {"steps": 3, "pseudo_share": 0.5, "first": 2, "most": 2, "refine": 0}
SHORT |= {"trials": 2, "adapt": 2, "rounds": 1, "inner": 2, "repairs": 1, "repair": 1, "generator_steps": 2}
SHORT |= {"queries": 80, "head_steps": 2}


class Tinted(Identity):
    """A key that needs no editor: a little more red."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return (images + torch.tensor([0.2, 0.0, 0.0], device=images.device).view(1, 3, 1, 1)).clamp(0, 1)


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k in BASE for n in sorted(registry.current().all(k))])
def test_a_plugin_is_what_its_source_says(kind: str, name: str) -> None:
    info = registry.current().find(kind, name)
    cls = registry.load(info)
    assert issubclass(cls, BASE[kind])
    assert {n: p.default for n, p in info.params.items()} == cls().values()
    assert info.role in ("method", "control", "given")
    assert info.summary, "the class docstring is what `bench list` prints"
    assert info.paper or info.role != "method", "a method names its paper, or says that it is ours"
    for param in info.params.values():
        assert param.help, f"{param.name} has no meaning"
        assert param.check(param.default) == param.default
    length = len(info.file.read_text().splitlines())
    assert length <= 260, f"{info.file.name} has {length} lines: a plugin is one idea"
    assert not inspect.isabstract(cls)


@pytest.mark.parametrize("name", ATTACKS)
def test_only_controls_are_chosen_by_the_judge(name: str) -> None:
    info = registry.current().find("attack", name)
    assert info.selection
    assert info.selection != "judge-validation" or info.role == "control"


def _short(info: registry.PluginInfo) -> dict[str, int | float]:
    return {k: v for k, v in SHORT.items() if k in info.params}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("model", ["vit", "cnn"])
@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_returns_a_classifier_that_its_spec_rebuilds(
    name: str, model: str, device: str, toy: Images, spec: Spec, tmp_path: Path
) -> None:
    info = registry.current().find("lock", name)
    save_file(models.build(model, spec, 1).state_dict(), tmp_path / "weights.safetensors")
    lock = registry.current().make(
        "lock", name, {**_short(info), **{n: str(tmp_path / "weights.safetensors") for n in info.files}}
    )

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
        return {k: v.clone() for k, v in locked.state_dict().items()}

    first, second = protect(), protect()
    if device == "cpu":  # an accelerator's kernels may add in another order
        assert all(torch.equal(first[k], second[k]) for k in first), "the same seeds give the same lock, bit for bit"


def test_a_lock_that_reads_more_than_it_needs_is_caught(toy: Images, spec: Spec) -> None:
    needs = DefenderNeeds(authorised=False, unauthorised_labels=False)
    view = DefenderView(spec, toy, toy, Tinted(), needs, lambda extra: models.build("vit", spec, extra))
    assert view.unauthorised.labels is None
    with pytest.raises(PermissionError):
        _ = view.authorised
    with pytest.raises(PermissionError):
        _ = view.raw
    assert view.denied == ["authorised", "raw"]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_hands_back_a_predictor_from_its_own_process(name: str, device: str, toy: Images, spec: Spec) -> None:
    info = registry.current().find("attack", name)
    threat = {k.removeprefix("threat."): v for k, v in info.defaults.items() if k.startswith("threat.")}
    threat = {**threat, "share": threat.get("share", 0.1)}
    locked = models.build("cnn", spec, 1, "public", 2)
    granted: dict[str, Images | tuple[Images, Images]] = {}
    if threat["share"]:
        granted["labelled"] = toy.subset(torch.arange(6))
    if threat.get("unlabelled", True):
        granted["unlabelled"] = toy.subset(torch.arange(6, 40)).unlabelled()
    full = ThreatModel(**threat)
    if full.authorised:
        granted["authorised"] = toy.subset(torch.arange(40, 46))
    if full.leaked:
        raw = toy.subset(torch.arange(46, 50)).unlabelled()
        granted["leaked_pairs"] = (raw, Images((Tinted()(raw.images) * 255).byte()))
    parts = {"editor": "miniature", "prompt": "with monet", "settings": {"editor": "miniature", "steps": 2}}
    job = Job(
        attack={"name": name, "params": _short(info), "files": []},
        model="cnn",
        spec={"size": 32, "classes": list(spec.classes), "kind": "classification"},
        threat=full.values(),
        budget=Budget().values(),
        seed=11,
        granted=granted,
        classifier=(locked.spec, locked.state_dict()) if full.access == "weights" else None,
        known={p: parts[p] for p in full.parts() if p in parts},
        words=["monet", "oil pastel"] if full.wordlist != "none" else None,
        device=device,
        threads=1,
    )

    def answer(images: torch.Tensor) -> torch.Tensor:
        return models.outputs(locked.to(device), images)

    assert registry.current().make("attack", name, {}).accepts(full)
    outcomes = [run(job, answer, lambda *_: None) for _ in range(2)]
    outcome = outcomes[0]
    assert outcome.error is None, outcome.notes
    assert outcome.denied == []
    assert outcome.meter["labelled"] == len(granted.get("labelled", ()))
    predictor = rebuild(outcome.submissions[-1]["spec"], outcome.states[-1], answer)
    assert predictor.predict(toy.images[:5]).shape == (5, spec.k)
    if device != "cpu":
        return
    for a, b in zip(outcomes[0].states, outcomes[1].states, strict=True):
        assert all(torch.equal(a[k], b[k]) for k in a), "the same seeds give the same attack, bit for bit"
