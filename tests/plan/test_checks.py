"""A dry run refuses what a run would: unknown models, folders that cannot serve, wrong files, missing editors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench import assets, hashing, plan, public_weights, registry
from bench.editors import loading
from bench.errors import UserError
from bench.plan.checks import check_model

Bench = Callable[..., Any]
CHEAP = ["--attack", "none", "--model", "cnn"]


def _pictures(root: Path, **counts: int) -> Path:
    for kind, n in counts.items():
        (root / kind).mkdir(parents=True)
        for i in range(n):
            Image.new("RGB", (16, 16)).save(root / kind / f"{i}.png")
    return root


def _editor(root: Path, channels: int) -> Path:
    parts = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
    index: dict[str, Any] = {"_class_name": loading.PIPELINE} | {part: ["diffusers", "X"] for part in parts}
    for part in parts:
        (root / part).mkdir(parents=True)
        (root / part / "model.safetensors").touch()
    (root / "vae" / "config.json").write_text(json.dumps({"block_out_channels": [8] * channels}))
    (root / "model_index.json").write_text(json.dumps(index))
    return root


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "vitt"], "any timm classifier"),
        (["--model", "resnet18:x"], "no list of widths"),
        (["--model", "resnet18:²"], "no list of widths"),
        (["--model", "vit:"], "no list of widths"),
        (["--model", "vgg19", "-p", "task.size=16"], "cannot take images of 16 pixels"),
        (["--launcher", "cloud"], "local, ray or slurm"),
        (["--task", "folder:empty", *CHEAP], "0 sub-folders"),
        (["--task", "folder:few", *CHEAP], "'b' (3)"),
        (["--task", "folder:good:folder:other", *CHEAP, "--lock", "ntl"], "same classes"),
        (["--lock", "given", *CHEAP], "names no file"),
        (["--lock", "given", *CHEAP, "-p", "lock.file=no.safetensors"], "there is no file"),
        (["--lock", "given", *CHEAP, "-p", "lock.file=wrong.safetensors"], "no safetensors file"),
        (["--lock", "given", *CHEAP, "-p", "lock.file=" + "x" * 300], "cannot be read"),
        (["--lock", "given", *CHEAP, "-p", "lock.file=~nobody-here/x"], "home that is not known"),
        (["--editor", "no-such-editor"], "no such folder, and no hub name"),
        (["--editor", "~nobody-here/editor"], "home that is not known"),
        (["--editor", "good"], "no diffusers pipeline"),
        (["--editor", "deep"], "no multiple of 512"),
        (["-p", "threat.access=none"], "bench show prompt-search"),
        (["-p", "attack.proposer=llm", "-p", "attack.language_model=m"], "threat.language_model=true"),
        (["-p", "attack.proposer=llm", "-p", "threat.language_model=true"], "LOCKBENCH_LLM_MODEL"),
        (["-p", "key.candidates=vlm"], "LOCKBENCH_LLM_MODEL"),
        (["--device", "cudax"], "auto, cpu, cuda"),
        (["--jobs", "1000000000"], "--help"),
        (["--threads", "1000000000"], "--help"),
        (["--seeds", "1000000000000"], "at most 1000"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_a_dry_run_refuses_what_a_run_would(options: list[str], said: str, bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    _pictures(tmp_path / "few", a=10, b=3)
    _pictures(tmp_path / "good", a=10, b=10)
    _pictures(tmp_path / "other", a=10, c=10)
    _editor(tmp_path / "deep", channels=10)
    (tmp_path / "wrong.safetensors").write_text("these are no weights")
    dry = bench("run", *options, "--dry-run", "--store", "s", cwd=tmp_path)
    assert dry.returncode == 2, dry.stdout
    assert said in dry.stderr
    assert len(dry.stderr.splitlines()) == 2
    wet = bench("run", *options, "--store", "s", cwd=tmp_path)
    assert (wet.returncode, wet.stderr) == (2, dry.stderr)
    assert not list((tmp_path / "s").glob("records/*"))


def test_a_folder_that_serves_is_planned(bench: Bench, tmp_path: Path) -> None:
    _pictures(tmp_path / "good", a=10, b=10)
    done = bench("run", "--task", "folder:good", *CHEAP, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_an_editor_that_can_work_on_its_size_is_allowed(tmp_path: Path) -> None:
    loading.check_available(str(_editor(tmp_path / "e", channels=4)))


def test_a_folder_that_is_no_editor_is_refused_before_it_is_hashed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(assets, "folder_digest", lambda folder: pytest.fail(f"read all of {folder}"))
    line = plan.SuiteLine(["modellock"], ["none"], ["digits"], ["cnn"], {"key.editor": str(tmp_path)})
    with pytest.raises(UserError, match="no diffusers pipeline"):
        plan.build([line])


def test_a_folder_may_hold_names_that_are_no_utf_8(tmp_path: Path) -> None:
    before = hashing.folder_digest(tmp_path)
    (tmp_path / os.fsdecode(b"caf\xe9")).touch()
    hashing.folder_digest.cache_clear()
    assert hashing.folder_digest(tmp_path) != before


def test_a_pack_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(assets, "PACK", tmp_path)
    with pytest.raises(UserError, match="'public' of the miniature pack"):
        check_model("cnn", 32)
    with pytest.raises(UserError, match="'editor' of the miniature pack"):
        loading.check_available("miniature")


def test_weights_that_cannot_be_had_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", refuse)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    public_weights._asked.cache_clear()
    with pytest.raises(UserError, match="cannot be fetched"):
        check_model("resnet18", 32)
    with pytest.raises(UserError, match="no public weights"):
        check_model("botnet50ts_256", 256)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: "/some/file")
    public_weights._asked.cache_clear()
    check_model("resnet18", 32)
    public_weights._asked.cache_clear()


def test_checks_of_what_comes_with_the_package_import_no_torch() -> None:
    code = """
import sys
from bench import plan
plan.check([item.cell for item in plan.build(plan.read_suite("full"))])
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(("lock", "attack", "task", "params", "words"), [
    ("modellock", "none", "shapes-seg", {"lock.decoys": "random"}, "lock.decoys=random does not go with segmentation"),
    ("modellock", "none", "digits", {"lock.decoys": "shifted"}, "lock.decoys=shifted does not go with classification"),
    ("map", "none", "shapes-seg", {"lock.setting": "data-free"}, "lock.setting=data-free does not go with"),
    ("none", "finetune", "shapes-seg", {"attack.layers": "layer-wise"}, "attack.layers=layer-wise does not go with"),
    ("none", "information-maximisation", "shapes-seg", {"attack.augment": "mixed"}, "masks cannot follow"),
])  # fmt: skip
def test_a_value_that_does_not_go_with_the_kind_of_task_is_refused_before_anything_runs(
    lock: str, attack: str, task: str, params: dict[str, str], words: str
) -> None:
    model = "unet:cnn" if task == "shapes-seg" else "cnn"
    with pytest.raises(UserError, match=words):
        plan.make_cell(lock, attack, task, model, params)


def test_values_that_do_not_go_with_a_kind_of_task_are_values_that_there_are() -> None:
    for kind in ("lock", "attack"):
        for info in registry.INSTALLED.all(kind).values():
            for task, values in info.unsuited_values.items():
                assert task in info.tasks, info.name
                for value, reason in values.items():
                    name, _, text = value.partition("=")
                    assert text in (info.params[name].choices or ()), f"{info.name}: {value}"
                    assert not reason.endswith(".")


def test_files_and_folders_of_a_plugin_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("editor", "clip"):
        (tmp_path / name).mkdir()
    cell = plan.make_cell("given", "none", "digits", "cnn", {"lock.file": "a.safetensors"})
    assert cell.lock.explicit["file"] == str(tmp_path / "a.safetensors")
    edit = plan.make_cell("modellock", "none", "digits", "cnn", {"key.editor": "editor", "key.clip": "clip"})
    assert [edit.key.explicit[name] for name in ("editor", "clip")] == [str(tmp_path / n) for n in ("editor", "clip")]
    (tmp_path / "miniature").mkdir()
    usual = plan.make_cell("modellock", "none", "digits", "cnn", {"key.editor": "miniature", "key.clip": "miniature"})
    assert {usual.key.explicit.get(name, "miniature") for name in ("editor", "clip")} == {"miniature"}
