"""The style of authorised images laid over unauthorised ones inside the model, as in CUTI- and CUPI-domain."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.contracts import Classifier
from locks.kit.family import per_channel, style


class Overlay(nn.Module):
    """W and W' of every stage: (C, C) maps from the source's style to a gate and a shift of the target.

    Args:
        model: tells the number of stages and channels.
        images: (2, 3, H, W), to ask it with.
        modulation: ``learned``, or ``random``: drawn anew at every pass.
    """

    def __init__(self, model: Classifier, images: Tensor, modulation: str, rng: torch.Generator) -> None:
        super().__init__()
        self.modulation, self._rng = modulation, rng
        with torch.no_grad():
            channels = [style(a)[0].shape[1] for a in model.features(images)]
        self.gates = nn.ParameterList([nn.Parameter(self._draw(c)) for c in channels])
        self.shifts = nn.ParameterList([nn.Parameter(self._draw(c)) for c in channels])

    def _draw(self, channels: int) -> Tensor:
        return torch.randn(channels, channels, generator=self._rng) / channels**0.5

    def forward(self, i: int, activation: Tensor, n: int) -> Tensor:
        """``activation`` (N, …) with its last ``n`` rows modulated by the style of its first ``n``."""
        source, target = activation[:n], activation[-n:]
        mean, std = style(source)
        gate, shift = self.gates[i], self.shifts[i]
        if self.modulation == "random":
            gate, shift = (self._draw(len(w)).to(w.device) for w in (gate, shift))
        gated = target * per_channel(torch.sigmoid(std @ gate.T), target)
        return torch.cat([activation[:-n], gated + per_channel(torch.sigmoid(mean @ shift.T), target)])
