"""Vision transformers of "Masked Autoencoders Are Scalable Vision Learners" (He et al. 2022). No torch here.

https://github.com/facebookresearch/mae publishes ``mae_pretrain_vit_base.pth``: the encoder under ``model``, with
timm's names and no head. A file of the whole autoencoder has a decoder and a mask token, which are left out. Where the
head reads the mean of all tokens, fine-tuning there begins with a fresh norm before it; so does this.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeVar

from bench.checkpoints.importers.form import Form

T = TypeVar("T")

_DECODER = ("decoder_", "mask_token")
_ENCODER = {"cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "norm.weight"}


def _is_marked(names: Collection[str]) -> bool:
    """The encoder of an autoencoder has no head and no scales of layers."""
    others = any(name.startswith(("head.", "fc_norm.", "blocks.0.ls1.")) for name in names)
    return set(names) >= _ENCODER and not others


def _convert(state: Mapping[str, T], own: Collection[str]) -> dict[str, T]:
    kept = {name: value for name, value in state.items() if not name.startswith(_DECODER)}
    if "norm.weight" not in own:
        kept = {name: value for name, value in kept.items() if not name.startswith("norm.")}
    return kept


FORM = Form(
    "MAE",
    _is_marked,
    _convert,
    fresh=("fc_norm.",),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
