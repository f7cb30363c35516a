"""Auditing a checkpoint of one's own: it is judged as it is; a file that does not fit gives one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bench import models, registry
from bench.contracts import Images, Spec
from bench.errors import UserError
from bench.harness.views import DefenderView
from bench.keys.none import Identity
from bench.training import Run


def _given(file: Path, toy: Images, spec: Spec, model: str = "cnn") -> torch.nn.Module:
    lock = registry.INSTALLED.make("lock", "given", {"file": str(file)})
    view = DefenderView(spec, toy, toy, Identity(), lock.needs(), lambda extra: models.build(model, spec, extra))
    return lock.protect(models.build(model, spec), Identity(), view, Run(1))  # type: ignore[no-any-return]


def test_a_checkpoint_with_extra_outputs_is_loaded_as_it_is(toy: Images, spec: Spec, tmp_path: Path) -> None:
    locked = models.build("cnn", spec, 2, "random", 5)
    assert isinstance(locked, models.TimmClassifier)
    save_file(locked.net.state_dict(), tmp_path / "own.safetensors")
    model = _given(tmp_path / "own.safetensors", toy, spec)
    assert (model.k, model.extra) == (3, 2)
    torch.testing.assert_close(models.outputs(model, toy.images[:4]), models.outputs(locked, toy.images[:4]))


def test_files_that_do_not_fit(toy: Images, spec: Spec, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(UserError, match="no safetensors file"):
        _given(tmp_path / "text", toy, spec)
    save_file(models.build("vit", spec).state_dict(), tmp_path / "vit.safetensors")
    with pytest.raises(UserError, match=r"has no fc\.weight"):
        _given(tmp_path / "vit.safetensors", toy, spec)
    state = models.build("cnn", spec).state_dict()
    missing = next(iter(state))
    save_file({k: v for k, v in state.items() if k != missing}, tmp_path / "less.safetensors")
    with pytest.raises(UserError, match="1 weights missing"):
        _given(tmp_path / "less.safetensors", toy, spec)
