"""The classifiers whose public weights the pack carries: where victim, lock and attacker start."""

from __future__ import annotations

from typing import Any

SIZE = 32

PUBLIC: dict[str, dict[str, Any]] = {
    "vit": {
        "name": "vit_tiny_patch16_224",
        "kwargs": {"img_size": SIZE, "patch_size": 8, "embed_dim": 128, "depth": 4, "num_heads": 4},
    },
    "cnn": {
        "name": "resnet10t",
        "kwargs": {"channels": [32, 64, 96, 128], "stem_width": 16, "output_stride": 8},
    },
}
"""timm name and arguments of each; at most 1 M parameters."""
