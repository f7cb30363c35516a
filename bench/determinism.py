"""The same sums in the same order, as far as torch can."""

from __future__ import annotations

import os
import warnings

import torch

from bench import precision


def deterministic(device: str) -> None:
    """From now on, this process computes the same bits for the same input on ``device``, where a kernel for it exists.

    On a GPU a few operations have none; they run as they are, and repeated runs may differ in their last bits.
    Float32 is float32 there, not TF32.
    """
    if device != "cpu":
        precision.exact()
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation")
    torch.use_deterministic_algorithms(True, warn_only=True)
