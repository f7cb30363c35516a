"""How much a classifier computes for an image: what times of training and answering scale with."""

from __future__ import annotations

from functools import cache

from bench.checkpoints.model_names import NO_WEIGHTS, kinds, parse, with_weights
from bench.errors import UserError

UNKNOWN = 12e6
"""Multiply-adds that are assumed of a guest's architecture: those of the miniature networks."""


def multiply_adds(model: str, size: int) -> float:
    """Multiply-adds of one image of ``size`` × ``size`` pixels through the timm classifier ``model``, without weights.

    Raises:
        UserError: no such model, or it cannot take images of that size.
    """
    return _counts(model, size)[0]


def parameters(model: str, size: int) -> int:
    """Parameters of the timm classifier ``model`` with two outputs; 0 where its code does not run here.

    Raises:
        UserError: as `multiply_adds`.
    """
    return _counts(model, size)[1]


@cache
def _counts(model: str, size: int) -> tuple[float, int]:
    """Multiply-adds and parameters."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from bench import models, registry
    from bench.contracts import Spec

    parsed = parse(model)
    if parsed.weights:  # they change no count, and need not be here
        return _counts(with_weights(model, NO_WEIGHTS), size)
    own = registry.current().get("model", parsed.plugin)
    if parsed.is_factory or (own is not None and own.guest):  # its code does not run here
        return UNKNOWN, 0

    task, failure = Spec(size, ("one", "other"), kinds(model)[0]), ""
    for device in ("meta", "cpu"):  # a few architectures need memory to be built
        try:
            with torch.device(device), torch.no_grad():
                classifier = models.build(model, task, weights="random").eval()
                with FlopCounterMode(display=False) as counter:
                    classifier(torch.zeros(1, 3, size, size))
        except UserError:
            raise
        except Exception as error:  # timm's networks raise whatever they meet
            failure = (str(error).strip() or type(error).__name__).splitlines()[0]
            continue
        return float(counter.get_total_flops()) / 2, sum(p.numel() for p in classifier.parameters())
    raise UserError(
        f"the model '{model}' cannot take images of {size} pixels: {failure}.", "Set another -p task.size, or --model."
    )
