"""What a plugin returns is checked here before anything believes it: shape, type, finiteness, range."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.guests.failure import InvalidResult

NOT_FINITE, WRONG_SHAPE = "not-finite", "wrong-shape"


def scores(value: object, n: int, width: int, what: str, pixels: tuple[int, ...] = ()) -> Tensor:
    """``value`` as (``n``, ``width``, *``pixels``) finite float32 scores on the CPU.

    Args:
        pixels: height and width of the masks; none in classification.

    Raises:
        InvalidResult: it is something else.
    """
    if not isinstance(value, Tensor):
        raise InvalidResult(WRONG_SHAPE, f"{what} returned {type(value).__name__}, not a tensor")
    if tuple(value.shape) != (n, width, *pixels):
        raise InvalidResult(WRONG_SHAPE, f"{what} returned {tuple(value.shape)}, not {(n, width, *pixels)}")
    if not value.is_floating_point():
        raise InvalidResult(WRONG_SHAPE, f"{what} returned {value.dtype}, not floating scores")
    out = value.detach().float().cpu()
    bad = int((~torch.isfinite(out)).flatten(1).any(1).sum())
    if bad:
        raise InvalidResult(NOT_FINITE, f"{what} returned scores that are not finite for {bad} of {n} images")
    return out


def images(value: object, like: Tensor, what: str) -> Tensor:
    """``value`` as images of the shape of ``like`` (N, 3, H, W), finite float32 in [0, 1].

    Raises:
        InvalidResult: it is something else.
    """
    if not isinstance(value, Tensor) or tuple(value.shape) != tuple(like.shape):
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise InvalidResult(WRONG_SHAPE, f"{what} returned {shape}, not {tuple(like.shape)}")
    if not value.is_floating_point():
        raise InvalidResult(WRONG_SHAPE, f"{what} returned {value.dtype}, not floating images")
    out = value.detach().float().cpu()
    if not torch.isfinite(out).all():
        raise InvalidResult(NOT_FINITE, f"{what} returned images that are not finite")
    if len(out) and (float(out.min()) < -1e-4 or float(out.max()) > 1 + 1e-4):
        low, high = float(out.min()), float(out.max())
        raise InvalidResult(WRONG_SHAPE, f"{what} returned values from {low:g} to {high:g}, not within 0 and 1")
    return out


def masks(value: object, like: Tensor, what: str) -> Tensor:
    """``value`` as masks of the shape of ``like`` (N, H, W) int64 that hold no class which ``like`` has not.

    Raises:
        InvalidResult: it is something else.
    """
    if not isinstance(value, Tensor) or value.shape != like.shape or value.dtype != like.dtype:
        shape = f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
        raise InvalidResult(WRONG_SHAPE, f"{what} returned {shape} for masks {tuple(like.shape)} {like.dtype}")
    if not bool(torch.isin(value, like.unique()).all()):
        raise InvalidResult(WRONG_SHAPE, f"{what} returned masks with classes that were not there")
    return value


def weights(state: Mapping[str, Tensor], what: str) -> None:
    """Whether every weight of ``state`` is finite.

    Raises:
        InvalidResult: one is not; the message names it.
    """
    for name, tensor in state.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InvalidResult(NOT_FINITE, f"{what} has weights that are not finite: {name}")
