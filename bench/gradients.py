"""Which parameters have gradients for a while: all but some, or some entries alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def without_gradients(parameters: Iterable[nn.Parameter], but: Sequence[Tensor] = ()) -> Iterator[None]:
    """No gradients for ``parameters`` but those listed; afterwards for the same ones as before, whatever happened."""
    trained = {id(p) for p in but}
    resting = [p for p in parameters if p.requires_grad and id(p) not in trained]
    for p in resting:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in resting:
            p.requires_grad_(True)


@contextmanager
def gradients_inside(masks: Iterable[tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Gradients are 0 outside a mask meanwhile, also where the training ends early.

    Args:
        masks: each parameter with its mask, bool or 0 and 1, in its shape or one that broadcasts to it.
    """
    hooks = [p.register_hook(lambda gradient, mask=mask: gradient * mask) for p, mask in masks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
