"""The layers that normalise: what adaptation without labels trains."""

from __future__ import annotations

from torch import nn

from bench import models


def affine_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Scales and shifts of every batch, layer and group norm of ``model``, in order."""
    batch_norms = {id(m) for m in models.batch_norms(model)}
    norms = [m for m in model.modules() if id(m) in batch_norms or isinstance(m, nn.LayerNorm | nn.GroupNorm)]
    return [p for m in norms for p in m.parameters(recurse=False)]
