"""The interface to a locked model that a threat model grants: questions are images, answers are logits or labels."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from bench.guests.subjects import Model


def of(access: str, locked: Callable[[], Model]) -> Callable[[Tensor], Tensor] | None:
    """What answers images (N, 3, H, W): `logits` gives the outputs, `labels` the first choice, one-hot.

    Args:
        access: of the threat model; None is returned where it grants no interface.
        locked: makes the locked model, at the first question.
    """
    if access not in ("labels", "logits"):
        return None

    def answer(images: Tensor) -> Tensor:
        out = locked().outputs(images)
        if access == "labels":
            return F.one_hot(out.argmax(1), out.shape[1]).movedim(-1, 1).float()
        return out

    return answer
