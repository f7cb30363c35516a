"""Files that training code writes: every wrapping and prefix gives the same weights; what is no checkpoint says so."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bench.checkpoints import forms, reading
from bench.checkpoints.key_names import fitted, stripped
from bench.errors import UserError

WEIGHTS = {"conv.weight": torch.ones(2, 3, 1, 1), "fc.weight": torch.zeros(4, 2), "fc.bias": torch.zeros(4)}


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "ema", "state_dict_ema", "model_ema"])
@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_weights_under_a_key(tmp_path: Path, key: str, suffix: str) -> None:
    file = tmp_path / f"c{suffix}"
    torch.save({key: WEIGHTS, "epoch": 3, "optimizer": {"state": {}, "lr": 0.1}}, file)
    found = reading.read(file)
    assert found.state.keys() == WEIGHTS.keys()
    assert found.notes == [f"took the weights under '{key}'"]


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "model.", "net.", "backbone.", "module._orig_mod.", "_orig_mod.module.model.net."],
)
def test_prefixes_in_any_nesting(tmp_path: Path, prefix: str) -> None:
    file = tmp_path / "c.safetensors"
    save_file({prefix + name: value for name, value in WEIGHTS.items()}, file)
    found = reading.read(file)
    assert found.state.keys() == WEIGHTS.keys()
    assert found.notes == [f"removed the prefix {prefix}"]


def test_nested_keys_and_the_ema_that_is_asked_for(tmp_path: Path) -> None:
    ema = {name: value + 1 for name, value in WEIGHTS.items()}
    torch.save({"arch": "resnet18", "state_dict": {"model": WEIGHTS}, "state_dict_ema": ema}, tmp_path / "c.pth")
    first = reading.read(tmp_path / "c.pth")
    assert first.architecture == "resnet18"
    assert set(first.choices) == {"state_dict", "state_dict_ema"}
    assert torch.equal(first.state["fc.bias"], WEIGHTS["fc.bias"])
    assert torch.equal(reading.read(tmp_path / "c.pth", "state_dict_ema").state["fc.bias"], ema["fc.bias"])
    with pytest.raises(UserError, match="no weights under 'teacher'"):
        reading.read(tmp_path / "c.pth", "teacher")


def test_averaged_weights_keep_a_counter_beside_them() -> None:
    state, removed = stripped({"n_averaged": 3, **{f"module.{n}": 0 for n in WEIGHTS}})
    assert (list(state), removed) == (list(WEIGHTS), "module.")


def test_a_wrapper_with_a_head_of_its_own() -> None:
    own = ["conv.weight", "fc.weight", "fc.bias"]
    state, notes = fitted({"backbone.conv.weight": 1, "fc.weight": 2, "fc.bias": 3}, own)
    assert set(state) == set(own)
    assert notes == ["removed backbone. from some names"]


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch exploded",)


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)


def test_a_whole_pickled_model_is_refused_with_three_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(Whole(), "whole.pth")
    with pytest.raises(UserError, match="whole pickled model") as refused:
        reading.read(Path("whole.pth"))
    assert len(refused.value.lines) == 3
    assert refused.value.lines[1] == "model = torch.load('whole.pth', weights_only=False)"
    torch.save({"state_dict": WEIGHTS, "hook": Bomb()}, "bomb.pth")
    with pytest.raises(UserError):
        reading.read(Path("bomb.pth"))
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "pointer of Git LFS"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"hello", "no safetensors file and no archive"),
        (b"PK\x03\x04broken", "cut short"),
        (b"\x80\x02not a pickle", "cannot be read"),
    ],
)
def test_what_is_no_checkpoint(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "f.pth").write_bytes(content)
    with pytest.raises(UserError, match=message):
        reading.read(tmp_path / "f.pth")


def test_files_without_weights(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "none.pth")
    with pytest.raises(UserError, match="holds no weights: its keys are epoch, lr"):
        reading.read(tmp_path / "none.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match="holds a list"):
        reading.read(tmp_path / "list.pth")
    torch.save({**WEIGHTS, "fc.bias": torch.full((4,), torch.nan)}, tmp_path / "nan.pth")
    with pytest.raises(UserError, match=r"not finite \(fc.bias\)"):
        reading.read(tmp_path / "nan.pth")


def test_forms_are_told_by_content_not_by_name(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "a.pth")
    torch.save(WEIGHTS, tmp_path / "b.safetensors")
    assert forms.check_form(tmp_path / "a.pth") == forms.SAFETENSORS
    assert forms.check_form(tmp_path / "b.safetensors") == forms.TORCH
    assert reading.read(tmp_path / "a.pth").state.keys() == reading.read(tmp_path / "b.safetensors").state.keys()


def test_torchscript_is_refused_with_the_line_that_converts_it(tmp_path: Path) -> None:
    file = tmp_path / "script.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates what people still have
        torch.jit.script(nn.Linear(3, 3)).save(str(file))
    with pytest.raises(UserError, match="is TorchScript") as caught:
        reading.read(file)
    assert "torch.jit.load" in caught.value.remedy
