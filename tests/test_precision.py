"""Precision: what a device can, what a run is in, and what a hash says of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import bench
from bench import plan, precision
from bench.contracts import Batch, Images
from bench.errors import UserError
from bench.store import identity
from bench.store.settings import Settings
from bench.training import Run


def test_a_device_that_cannot_is_refused_with_a_remedy() -> None:
    with pytest.raises(UserError, match="a CPU has no TF32") as caught:
        precision.check("tf32", "cpu")
    assert "--precision float32" in str(caught.value.remedy)
    with pytest.raises(UserError, match="float16 is not allowed"):
        precision.check("float16", "cpu")
    for name in ("float32", "bf16"):
        precision.check(name, "cpu")


def test_a_run_from_python_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a CPU has no TF32"):
        bench.run("modellock", "benign", "digits", store=tmp_path, device="cpu", precision="tf32")


def test_tf32_is_on_in_the_block_alone() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        precision.exact()
        with precision.steps_in("tf32"):
            assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (True, True)
        with precision.steps_in("bf16"):
            assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (False, False)
        assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == (False, False)
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def test_a_run_trains_in_its_precision_unless_a_fit_says_another(toy: Images) -> None:
    seen = []
    net = nn.Linear(3 * 32 * 32, 2)

    def loss(batch: Batch) -> torch.Tensor:
        out = net(batch.images.flatten(1)[:, : 3 * 32 * 32])
        seen.append(out.dtype)
        return out.float().square().mean()

    run = Run(0, precision="bf16")
    run.fit(net, loss, 1, toy)
    run.fit(net, loss, 1, toy, precision="float32")
    assert seen == [torch.bfloat16, torch.float32]
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def test_precision_is_in_a_hash_where_it_is_not_the_usual_one() -> None:
    cell = plan.make_cell("modellock", "benign", "digits", "cnn", {})
    usual, half = identity.of(cell, Settings()), identity.of(cell, Settings(precision="bf16"))
    assert "precision" not in usual.inputs["base"]
    assert half.inputs["base"]["precision"] == "bf16"
    assert not set(usual.hashes.values()) & set(half.hashes.values())
