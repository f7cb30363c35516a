"""Rounding: the locked weights in 8 or 4 bits."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.contracts import Acceptance, Attack, AttackerView, Classifier, Predictor, Run, ThreatModel, param
from bench.parameters import layer_weights
from bench.predictors import Direct


class Rounding(Attack):
    """Every weight is rounded to 8 or 4 bits.

    Rounding is symmetric, with one step for each output channel. As an attack it shows whether the lock lives in the
    small digits. A rightful user may round as well: `authorised_after` shows whether that loses what the key opens.
    """

    title = "weight rounding"
    paper = "ours; the usual symmetric per-channel rounding, e.g. Krishnamoorthi, 2018, arXiv 1806.08342"
    selection = "none"
    deviations = ("values are rounded and kept in float32; activations, norms and biases are not touched",)
    tasks = ("classification", "segmentation")
    defaults = {
        "threat.access": "weights", "threat.share": 0.0, "threat.unlabelled": False,
        "threat.wordlist": "none", "threat.known": "none",
    }  # fmt: skip

    bits: int = param(8, "bits of a weight, its sign among them", choices=(8, 4))

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",))

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        model = target.classifier
        round_weights(model, self.bits)
        return Direct(model)


@torch.no_grad()
def round_weights(model: Classifier, bits: int) -> None:
    """Round the weights of all convolutions and linear layers in place, as `round_weight` does."""
    for weight in layer_weights(model).values():
        weight.copy_(round_weight(weight, bits))


def round_weight(weight: Tensor, bits: int) -> Tensor:
    """``weight`` (out, ...) at the nearest of 2^bits − 1 values s · {−m, …, m}, m = 2^(bits−1) − 1, s · m = max |w|.

    The step s is one for every output channel.
    """
    most = 2 ** (bits - 1) - 1
    step = weight.flatten(1).abs().amax(1).clamp_min(1e-12) / most
    step = step.view(-1, *(1,) * (weight.ndim - 1))
    return (weight / step).round().clamp(-most, most) * step
