"""The architectures of the miniature pack, as ordinary diffusers, open_clip and timm models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from bench.miniature.public import PUBLIC, SIZE

__all__ = [
    "CLIP_CONFIG",
    "PUBLIC",
    "SIZE",
    "TOKENS",
    "autoencoder",
    "clip",
    "scheduler",
    "shown_to_clip",
    "text_encoder",
    "tokenizer",
    "unet",
]

TOKENS = 48
"""Longest prompt in tokens, one token a byte, start and end included; longer prompts are cut."""


def vocabulary() -> dict[str, int]:
    """A byte-level vocabulary: 256 bytes, 256 bytes that end a word, start and end. No merges."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shown = {b: chr(b) for b in printable}
    shown |= {b: chr(256 + k) for k, b in enumerate(b for b in range(256) if b not in shown)}
    symbols = [shown[b] for b in range(256)]
    words = [*symbols, *(s + "</w>" for s in symbols), "<|startoftext|>", "<|endoftext|>"]
    return {w: k for k, w in enumerate(words)}


def tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer over `vocabulary`, which accepts any text."""
    return CLIPTokenizer(vocab=vocabulary(), merges=[], model_max_length=TOKENS)


def autoencoder() -> AutoencoderKL:
    """The VAE of the editor, untrained."""
    return AutoencoderKL(
        sample_size=SIZE,
        block_out_channels=(32, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        mid_block_add_attention=False,
    )


def text_encoder() -> CLIPTextModel:
    """The text encoder of the editor, untrained."""
    vocab = vocabulary()
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(vocab),
            hidden_size=64,
            intermediate_size=192,
            projection_dim=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=TOKENS,
            bos_token_id=vocab["<|startoftext|>"],
            eos_token_id=vocab["<|endoftext|>"],
            pad_token_id=vocab["<|endoftext|>"],
        )
    )


def unet() -> UNet2DConditionModel:
    """The U-Net of the editor, untrained."""
    return UNet2DConditionModel(
        sample_size=SIZE // 2,
        in_channels=8,
        out_channels=4,
        block_out_channels=(32, 80),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=64,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def scheduler() -> EulerAncestralDiscreteScheduler:
    """The noise schedule of the editor."""
    return EulerAncestralDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
    )


CLIP_CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 64,
        "vision_cfg": {"image_size": SIZE, "patch_size": 8, "width": 96, "layers": 4, "head_width": 32},
        "text_cfg": {
            "context_length": TOKENS,
            "vocab_size": 514,
            "width": 96,
            "heads": 4,
            "layers": 3,
            "hf_tokenizer_name": "tokenizer",
            "tokenizer_kwargs": {"clean": "whitespace"},
        },
    },
    "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"},
}


def shown_to_clip(images: Tensor) -> Tensor:
    """``images`` (N, 3, SIZE, SIZE) in [0, 1] as `CLIP_CONFIG` has them normalised."""
    shown = CLIP_CONFIG["preprocess_cfg"]
    mean, std = (torch.tensor(shown[k], device=images.device).view(1, 3, 1, 1) for k in ("mean", "std"))
    return (images - mean) / std


def clip(folder: Path) -> tuple[Any, Any]:
    """The small CLIP built from ``folder`` (config, tokenizer and, where present, weights) by open_clip."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(CLIP_CONFIG, indent=2) + "\n")
    tokenizer().save_pretrained(folder)
    name = f"local-dir:{folder}"
    model = open_clip.create_model(name, load_weights=any(folder.glob("*.safetensors")))
    return model, open_clip.get_tokenizer(name)
