"""What a plugin returns is checked here before anything believes it: shape, type, finiteness, range."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.contracts import Withheld
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


def withheld(parts: Mapping[str, Withheld], state: Mapping[str, Tensor], what: str) -> None:
    """Whether ``parts`` are entries of the parameters of ``state``, each once, with finite values.

    Raises:
        InvalidResult: they are not; the message names the first that is wrong.
    """
    for name, part in parts.items():
        if name not in state or not state[name].is_floating_point():
            raise InvalidResult(WRONG_SHAPE, f"{what} withholds {name}, which is no parameter of its classifier")
        at, values, size = part.at, part.values, state[name].numel()
        if at.ndim != 1 or at.dtype != torch.int64 or at.shape != values.shape or not values.is_floating_point():
            shapes = f"places {tuple(at.shape)} {at.dtype} and values {tuple(values.shape)} {values.dtype}"
            raise InvalidResult(WRONG_SHAPE, f"{what} withholds {shapes} of {name}, not (n,) int64 and (n,) floating")
        if len(at) and (int(at.min()) < 0 or int(at.max()) >= size or len(at.unique()) < len(at)):
            raise InvalidResult(WRONG_SHAPE, f"{what} withholds places of {name} twice, or beyond its {size} entries")
        if not torch.isfinite(values).all():
            raise InvalidResult(NOT_FINITE, f"{what} withholds values of {name} that are not finite")
