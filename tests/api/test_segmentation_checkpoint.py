"""How an audit reads a checkpoint that classifies each pixel."""

from __future__ import annotations

from pathlib import Path

import pytest
import segmentation_models_pytorch as smp
import torch

from bench.api import checkpoint
from bench.api.checkpoint import Options
from bench.errors import UserError
from bench.store.settings import Settings


def test_a_checkpoint_of_smp_is_read(tmp_path: Path) -> None:
    file = tmp_path / "locked.pth"
    torch.save(smp.Unet("resnet18", encoder_weights=None, classes=12).state_dict(), file)
    reading = checkpoint.describe(file, "shapes-seg", Options(model="unet:resnet18", start="random"), Settings())
    assert reading.facts.outputs == 12
    assert reading.extra == ("output 11",)
    assert reading.task_size == checkpoint.DRAWN
    assert reading.facts.is_split
    assert reading.facts.stages > 2
    with pytest.raises(UserError, match="classifies pixels"):
        checkpoint.describe(file, "digits", Options(model="unet:resnet18", start="random"), Settings())
