"""8-bit images as the editors see them: rounding, resampling, blending, hashing. All on the CPU."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def to_bytes(images: Tensor) -> Tensor:
    """``images`` rounded to 8 bit: (N, 3, H, W) uint8, on the CPU, contiguous.

    Args:
        images: (N, 3, H, W), floating in [0, 1] (what lies outside is clipped), or uint8.

    Raises:
        ValueError: of another shape or type, or not finite.
    """
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        raise ValueError(f"images must be (N, 3, H, W), not {tuple(images.shape)}")
    if images.dtype == torch.uint8:
        return images.detach().cpu().contiguous()
    if not images.dtype.is_floating_point:
        raise ValueError(f"images must be floating in [0, 1] or uint8, not {images.dtype}")
    images = images.detach().cpu().float()
    if not bool(images.isfinite().all()):
        raise ValueError("images hold values that are not finite")
    return (images * 255).round_().clamp_(0, 255).to(torch.uint8).contiguous()


def to_unit(pixels: Tensor) -> Tensor:
    """(N, 3, H, W) uint8 to float32 in [0, 1], multiples of 1/255."""
    return pixels.float() / 255


def resized(pixels: Tensor, height: int, width: int) -> Tensor:
    """``pixels`` (N, 3, H, W) uint8 squashed or stretched to ``height``×``width``, bicubic, 8 bit.

    Where the size is right already nothing is resampled. Pillow does it, as in the reference pipeline:
    image by image, so that a result depends on its own image alone.
    """
    if tuple(pixels.shape[2:]) == (height, width):
        return pixels
    out = torch.empty((len(pixels), 3, height, width), dtype=torch.uint8)
    for i, image in enumerate(pixels.permute(0, 2, 3, 1).contiguous().numpy()):
        small = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
        out[i] = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1)
    return out


def blended(image: Tensor, edit: Tensor, alpha: float) -> Tensor:
    """``(1 - α) image + α edit``, clipped and rounded to 8 bit; all (N, 3, H, W) uint8.

    Halves go to the even neighbour; computed in float64 on the scale of 0 to 255, where α = 1/2 is exact.
    """
    mixed = (1 - alpha) * image.double() + alpha * edit.double()
    return mixed.clamp_(0, 255).round_().to(torch.uint8)


def digests(pixels: Tensor) -> list[bytes]:
    """A 16-byte digest of each image's size and pixels; ``pixels`` (N, 3, H, W) uint8."""
    size = repr(tuple(pixels.shape[1:])).encode()
    return [hashlib.blake2b(image.tobytes(), digest_size=16, key=size).digest() for image in pixels.numpy()]


def joined(images: Sequence[bytes], height: int, width: int) -> Tensor:
    """(N, 3, height, width) uint8 from the bytes of each image."""
    if not images:
        return torch.empty((0, 3, height, width), dtype=torch.uint8)
    flat = np.frombuffer(bytearray(b"".join(images)), dtype=np.uint8)
    return torch.from_numpy(flat).view(len(images), 3, height, width)
