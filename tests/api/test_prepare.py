"""What a plan needs from elsewhere: listed, fetched once, and said to be missing; nothing comes over a network here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import datasets, plan, public_weights, supplies
from bench.api import prepare
from bench.errors import UserError
from bench.guests.process import environment

Bench = Callable[..., Any]


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCKBENCH_DATA", "HF_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(public_weights, "_has_any", lambda _repo, _files: False)


def _line(**more: object) -> plan.SuiteLine:
    values = {"locks": ["modellock"], "attacks": ["none"], "tasks": ["digits"], "models": ["vit"], **more}
    return plan.SuiteLine(**values)


def test_what_comes_with_the_package_is_no_need() -> None:
    assert prepare.needs([_line(tasks=["digits", "digits:fonts"], models=["vit", "cnn", "unet:cnn"])]) == []


def test_each_side_of_a_pair_is_a_need_once() -> None:
    lines = [_line(tasks=["mnist:usps", "usps:mnist"], required=False), _line(tasks=["mnist"])]
    found = prepare.needs(lines)
    assert [(need.name, need.here, need.required) for need in found] == [("mnist", False, True), ("usps", False, False)]
    assert found[0].size == 11_594_722
    assert found[1].size is None
    assert found[0].remedy.endswith("bench prepare --task mnist")


def test_photographs_behind_mnist_m_are_a_need_of_their_own_where_they_are_asked_for(tmp_path: Path) -> None:
    assert [need.name for need in prepare.needs([_line(tasks=["mnist-m"])])] == ["mnist-m"]
    line = _line(tasks=["mnist-m"], params={"task.ground": "photographs"})
    found = prepare.needs([line])
    assert [(need.name, need.here, need.fetched) for need in found][1] == ("bsds500", False, False)
    (tmp_path / "LOCKBENCH_DATA" / "bsds500").mkdir(parents=True)
    assert prepare.needs([line])[1].here


def test_a_parameter_called_clip_is_a_model_where_the_plugin_says_so() -> None:
    assert prepare.needs([_line(locks=["sophon"], tasks=["digits:fonts"], params={"lock.clip": 0.5})]) == []
    (found,) = prepare.needs([_line(attacks=["difo"], params={"attack.clip": "ViT-B-32/openai"})])
    assert (found.kind, found.name) == ("clip", "ViT-B-32/openai")


def test_what_is_published_as_one_counts_once_and_says_what_it_does_not_know(tmp_path: Path) -> None:
    found = prepare.needs([_line(tasks=["visda:train:visda:validation"], models=["cnn"])])
    assert [(need.name, need.size, need.least) for need in found] == [
        ("visda:train", 7_698_031_104, True), ("visda:validation", 7_698_031_104, True),
    ]  # fmt: skip
    assert prepare.space(found, tmp_path)[0] == 7_698_031_104
    assert "http://csr.bu.edu/ftp/visda17/clf/train.tar" in found[0].remedy


def test_unknown_names_are_missing_and_say_why() -> None:
    model = f"factory:{Path(__file__).parents[1] / 'helpers/families.py'}:nothing"
    found = prepare.needs([_line(tasks=["no-such-set", "office-home:Nowhere"], models=[model])])
    assert not any(need.here or need.fetched for need in found)
    assert "Unknown task" in found[0].problem
    assert "office-home:Art" in found[1].remedy
    assert "no public weights" in found[2].problem


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["quik"], "Did you mean quick"),
        (["--task", "digitz"], "Did you mean 'digits'"),
        (["--model", "torchvision:resnet1"], "Did you mean resnet"),
        (["--model", "resnet18", "--weights", "nowhere"], "It has resnet18.a1_in1k"),
        (["--editor", "nowhere"], "no such folder, and no hub name"),
        (["--attack", "difo", "-p", "attack.clip=ViT-B-23/openai"], "Did you mean ViT-B-"),
        (["-p", "task.size=large"], "16 ≤ size ≤ 256"),
        (["-p", "lock.alpah=3"], "Did you mean lock.alpha"),
    ],
)
def test_a_wrong_name_is_a_usage_error(bench: Bench, arguments: list[str], said: str) -> None:
    got = bench("prepare", *arguments)
    assert got.returncode == 2, got.stdout
    assert said in got.stderr


def test_weights_and_clips_are_named_as_for_a_run(bench: Bench) -> None:
    clip = ["-p", "key.clip=ViT-B-32/laion2b_s34b_b79k"]
    got = bench("prepare", "--model", "resnet18", "--weights", "tv_in1k", *clip, "--dry-run")
    assert got.returncode == 1
    for word in ("resnet18.tv_in1k", "44.7MB", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"):
        assert word in "".join(got.stdout.split())


def test_models_of_one_source_are_one_need_and_of_two_files_two() -> None:
    assert len(prepare.needs([_line(models=["resnet18.a1_in1k", "resnet18.a1_in1k:64-64"])])) == 1
    files = [need.files[0] for need in prepare.needs([_line(models=["hf-hub:a/b"])])]
    assert files == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("model", "source"),
    [
        ("resnet18.a1_in1k", ["timm/resnet18.a1_in1k"]),
        ("resnet18.a1_in1k:64-64", ["timm/resnet18.a1_in1k"]),
        ("hf-hub:org/name", ["org/name", "org/name"]),
        ("torchvision:resnet18", ["https://download.pytorch.org/models/resnet18-f37072fd.pth"]),
        ("unet:resnet18", ["smp-hub/resnet18.imagenet"]),
        ("resnet18?start=random", []),
        ("vit", []),
    ],
)
def test_weights_that_a_name_stands_for(model: str, source: list[str]) -> None:
    assert [each.place for each in public_weights.needs(model)] == source


def test_weights_are_found_where_they_lie(tmp_path: Path) -> None:
    (need,) = prepare.needs([_line(models=["torchvision:resnet18"])])
    assert not need.here
    assert str(tmp_path / "TORCH_HOME") in need.remedy
    file = tmp_path / "TORCH_HOME" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"12345")
    (need,) = prepare.needs([_line(models=["torchvision:resnet18"])])
    assert (need.here, need.size, need.place) == (True, 5, str(file))


def test_a_dry_run_fetches_nothing_and_fails_where_something_is_missing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supplies, "fetch", lambda need: pytest.fail(f"fetched {need.name}"))
    got = bench("prepare", "--task", "mnist", "--model", "vit", "--dry-run")
    assert got.returncode == 1
    assert "bench prepare --task mnist" in " ".join(got.stdout.split())
    assert "11.6 MB" in got.stdout
    assert bench("prepare", "--task", "digits", "--model", "vit").returncode == 0
    assert bench("prepare").returncode == 2


def test_what_is_missing_is_fetched_and_what_cannot_be_is_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def load(name: str, **_: object) -> None:
        asked.append(name)
        if name == "usps":
            raise UserError("usps is not in that folder and cannot be fetched (OSError).")
        place = tmp_path / "LOCKBENCH_DATA" / "mnist" / "MNIST" / "raw"
        place.mkdir(parents=True)
        (place / "t10k-labels-idx1-ubyte").touch()

    monkeypatch.setattr(datasets, "load", load)
    got = bench("prepare", "--task", "mnist:usps", "--model", "vit")
    assert asked == ["mnist", "usps"]
    assert got.returncode == 1
    assert "cannot be fetched" in got.stderr
    assert bench("prepare", "--task", "mnist:usps", "--model", "vit", "--dry-run").returncode == 1


def test_data_that_are_here_are_read_so_that_half_a_download_is_noticed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / "LOCKBENCH_DATA" / "mnist" / "MNIST" / "raw"
    place.mkdir(parents=True)
    (place / "t10k-labels-idx1-ubyte").touch()
    assert bench("prepare", "--task", "mnist", "--model", "vit", "--dry-run").returncode == 0
    monkeypatch.setattr("torchvision.datasets.MNIST", _offline)
    got = bench("prepare", "--task", "mnist", "--model", "vit")
    assert got.returncode == 1
    assert "missing" in got.stdout
    assert "mnist is not in" in " ".join(got.stderr.split())


def _offline(*_: object, **__: object) -> None:
    raise OSError("no network")


def test_only_what_is_required_decides_the_exit_status(bench: Bench, tmp_path: Path) -> None:
    suite = tmp_path / "suite.toml"
    row = '[[row]]\nlocks = ["modellock"]\nattacks = ["none"]\nmodels = ["vit"]\n'
    suite.write_text(f'{row}tasks = ["digits"]\n{row}tasks = ["svhn"]\nrequired = false\n')
    got = bench("prepare", str(suite), "--dry-run")
    assert got.returncode == 0
    assert "optional" in got.stdout


def test_a_guest_finds_data_and_weights_and_no_hub() -> None:
    seen = environment()
    assert {"LOCKBENCH_DATA", "HF_HOME", "TORCH_HOME"} <= seen.keys()
    assert seen["HF_HUB_OFFLINE"] == "1"
