"""Files in the format of MAE's published encoders, made here."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor

from bench import models
from bench.checkpoints.weights import located
from bench.contracts import Spec
from bench.errors import UserError

NAME = "vit_base_patch16_224"
SMALL = "embed_dim=48&depth=1&num_heads=3"
TASK = Spec(64, ("one", "other", "third"))


def published(folder: Path, decoder: bool = False) -> tuple[Path, dict[str, Tensor]]:
    """A file as ``mae_pretrain_vit_base.pth`` is, of a small encoder: under ``model``, without a head."""
    torch.manual_seed(0)
    net = timm.create_model(NAME, embed_dim=48, depth=1, num_heads=3, num_classes=0)
    state = {name: torch.randn_like(value) for name, value in net.state_dict().items()}
    more = {"decoder_embed.weight": torch.zeros(4, 48), "decoder_pos_embed": torch.zeros(1, 197, 4)}
    more["mask_token"] = torch.zeros(1, 1, 4)
    file = folder / "mae_pretrain_vit_base.pth"
    torch.save({"model": {**state, **(more if decoder else {})}}, file)
    return file, state


@pytest.mark.parametrize("decoder", [False, True])
def test_the_encoder_is_loaded_and_the_head_is_fresh(tmp_path: Path, decoder: bool) -> None:
    file, state = published(tmp_path, decoder)
    model = models.build(located(f"{NAME}?{SMALL}&weights={file}"), TASK)
    own = model.state_dict()
    assert all(torch.equal(own[f"net.{name}"], value) for name, value in state.items())
    assert own["net.head.weight"].shape == (3, 48)
    assert model.spec["mean"] == pytest.approx([0.485, 0.456, 0.406])
    assert model.spec["size"] == 224  # the network is built for one size: images are resized to it
    assert model(torch.rand(1, 3, 64, 64)).shape == (1, 3)


def test_the_mean_of_tokens_begins_with_a_fresh_norm(tmp_path: Path) -> None:
    file, state = published(tmp_path)
    own = models.build(located(f"{NAME}?{SMALL}&global_pool=avg&weights={file}"), TASK).state_dict()
    assert torch.equal(own["net.fc_norm.weight"], torch.ones(48))
    assert "net.norm.weight" not in own
    assert torch.equal(own["net.blocks.0.norm1.weight"], state["blocks.0.norm1.weight"])


def test_positions_are_resampled_to_smaller_images(tmp_path: Path) -> None:
    file, _ = published(tmp_path)
    model = models.build(located(f"{NAME}?{SMALL}&img_size=64&weights={file}"), TASK)
    assert model.state_dict()["net.pos_embed"].shape == (1, 17, 48)
    assert model.spec["size"] == 64


def test_an_encoder_of_another_width_does_not_fit(tmp_path: Path) -> None:
    file, _ = published(tmp_path)
    with pytest.raises(UserError, match="do not fit"):
        models.build(located(f"{NAME}?embed_dim=96&depth=1&num_heads=3&weights={file}"), TASK)
