"""The checkpoint that ModelLock's authors released: MAE ViT-B/16, 38 outputs for 37 classes, fc_norm once or twice."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import models, registry
from bench.checkpoints import preprocessing
from bench.contracts import Classifier, Spec
from bench.training import Run

PETS = Spec(256, tuple(f"breed {i}" for i in range(37)))


class Block(nn.Module):
    """A pre-norm transformer block with the names of MAE's models_vit."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = self.attn["qkv"](self.norm1(x)).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        mixed = ((q @ k.transpose(-2, -1)) * (c // self.heads) ** -0.5).softmax(-1) @ v
        x = x + self.attn["proj"](mixed.transpose(1, 2).reshape(n, t, c))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class MaskedAutoencoderViT(nn.Module):
    """MAE's fine-tuned classifier with global pooling, written out: the mean of patch tokens, fc_norm, head."""

    def __init__(self, outputs: int, width: int = 768, depth: int = 12, heads: int = 12, times: int = 1) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(1, 197, width) * 0.02)
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, 16, 16)})
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(depth)])
        self.fc_norm, self.head, self.times = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, outputs), times
        nn.init.normal_(self.fc_norm.weight, 1, 0.5)
        nn.init.normal_(self.fc_norm.bias, 0, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        x = x[:, 1:].mean(1)
        for _ in range(self.times):
            x = self.fc_norm(x)
        return self.head(x)


def _checkpoint(file: Path, **form: int) -> MaskedAutoencoderViT:
    torch.manual_seed(3)
    net = MaskedAutoencoderViT(38, **form)
    torch.save({"model": net.state_dict(), "epoch": 99, "scaler": {"scale": 65536.0}}, file)
    return net


def _read(file: Path, name: str, norm: str) -> Classifier:
    mean, std = (",".join(map(str, values)) for values in preprocessing.IMAGENET)
    params = {"file": str(file), "mean": mean, "std": std, "image_size": 224, "resize": 256, "norm": norm}
    lock = registry.INSTALLED.make("lock", "given", params)
    model: Classifier = lock.protect(models.build(name, PETS, 0, "random"), None, None, Run(1))
    return model


def _expected(net: nn.Module, images: Tensor) -> Tensor:
    cut = images[..., 16:240, 16:240]
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in preprocessing.IMAGENET)
    out: Tensor = net.eval()((cut - mean) / std)
    return out


@pytest.mark.parametrize(("norm", "times"), [("once", 1), ("twice", 2)])
def test_a_shallow_one(tmp_path: Path, norm: str, times: int) -> None:
    net = _checkpoint(tmp_path / "c.pth", width=48, depth=1, heads=3, times=times)
    name = "vit_base_patch16_224?depth=1&embed_dim=48&global_pool=avg&num_heads=3"
    model = _read(tmp_path / "c.pth", name, norm)
    images = torch.rand(2, 3, 256, 256)
    assert (model.k, model.extra) == (37, 1)
    with torch.no_grad():
        torch.testing.assert_close(model(images), _expected(net, images), rtol=1e-4, atol=1e-4)
        other = _read(tmp_path / "c.pth", name, "once" if norm == "twice" else "twice")
        assert not torch.allclose(other(images), model(images), atol=1e-3)
    again = models.rebuild(model.spec, model.state_dict())
    assert torch.equal(again(images), model(images))


@pytest.mark.slow
def test_one_of_the_real_size(tmp_path: Path) -> None:
    net = _checkpoint(tmp_path / "c.pth")
    assert sum(p.numel() for p in net.parameters()) == 85_827_878
    model = _read(tmp_path / "c.pth", "vit_base_patch16_224?global_pool=avg", "once")
    images = torch.rand(1, 3, 256, 256)
    with torch.no_grad():
        torch.testing.assert_close(model(images), _expected(net, images), rtol=1e-3, atol=1e-3)
