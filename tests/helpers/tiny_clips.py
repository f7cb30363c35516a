"""A small open_clip model with random weights, written as a folder."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file


def tiny_clip(folder: Path, seed: int = 0) -> Path:
    """An open_clip folder: a transformer of 24-pixel images and one of texts, 8 numbers each, with another mean."""
    import open_clip

    config = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 24, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
    }
    folder.mkdir()
    torch.manual_seed(seed)
    shown = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.5]}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": shown}))
    model = open_clip.CLIP(**config)
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    return folder
