"""The precision that models are trained in. No torch here until it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from bench.errors import UserError

if TYPE_CHECKING:
    import torch

PRECISIONS = ("float32", "tf32", "bf16")
"""Of training: float32 as IEEE has it; float32 whose products TF32 units compute; autocast to bfloat16."""


def check(precision: str, device: str) -> None:
    """Whether ``device`` (``cpu``, ``cuda`` or ``cuda:N``) can train in ``precision``.

    Raises:
        UserError: no such precision, or the device has no units for it.
    """
    if precision not in PRECISIONS:
        raise UserError(f"--precision {precision} is not allowed.", f"Use one of {', '.join(PRECISIONS)}.")
    if precision == "tf32" and device == "cpu":
        raise UserError("--precision tf32: a CPU has no TF32.", "Use --precision float32, or --device cuda.")
    if precision == "float32" or device == "cpu":
        return
    import torch

    if torch.cuda.get_device_capability(device) < (8, 0):
        name = torch.cuda.get_device_name(device)
        raise UserError(f"--precision {precision}: {name} does not compute in it.", "Use --precision float32.")


def exact() -> None:
    """From now on, a GPU computes float32 in float32: by default torch lets convolutions use TF32."""
    _tf32(False)


@contextmanager
def steps_in(precision: str) -> Iterator[None]:
    """Training steps in ``precision``: TF32 in this block where that is asked for, and not after it.

    For ``bf16``, `autocast` is what each forward pass is in.
    """
    if precision != "tf32":
        yield
        return
    import torch

    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    _tf32(True)
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context of a forward pass in ``precision``."""
    if precision != "bf16":
        return nullcontext()
    import torch

    return torch.autocast(device.type, torch.bfloat16)


def _tf32(on: bool) -> None:
    import torch

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = on
