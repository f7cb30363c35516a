"""The key in the weights: the rightful user holds what the model that ships lacks. Images stay as they are."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bench.contracts import DefenderView, Key, KeyCondition, KeyMethod, Run, Withheld
from bench.contracts.withheld import put_back
from bench.keys.none import Identity

RIGHT, VALUES, PLACES = "right", "values", "places"


@dataclass(frozen=True)
class WeightKey:
    """Puts withheld weights back. Which they are the lock decides; they lie beside the locked model, not in here.

    Args:
        share: of the withheld weights that is put back.
        noise: standard deviation of normal noise on the values, in standard deviations of those of their parameter.
        drawn: ``right``; ``values``: each parameter's values in another order; ``places``: the right values at other
            places of their parameter.
        seed: draws the share, the noise, the order and the places.
    """

    share: float = 1.0
    noise: float = 0.0
    drawn: str = RIGHT
    seed: int = 0

    def __call__(self, images: Tensor) -> Tensor:
        return images

    def apply(self, weights: Mapping[str, Tensor], withheld: Mapping[str, Withheld]) -> dict[str, Tensor]:
        """``weights`` by name with the withheld ones put back, as far as this key has them."""
        rng = torch.Generator().manual_seed(self.seed)
        total = sum(len(part) for part in withheld.values())
        mask = torch.ones(total, dtype=torch.bool)
        mask[torch.randperm(total, generator=rng)[round(self.share * total) :]] = False
        parts, start = {}, 0
        for name in sorted(withheld):
            at, values = withheld[name].at, withheld[name].values
            own = mask[start : start + len(at)]
            start += len(at)
            if self.drawn == VALUES:
                values = values[torch.randperm(len(values), generator=rng)]
            elif self.drawn == PLACES:
                at = torch.randperm(weights[name].numel(), generator=rng)[: len(at)]
            if self.noise:
                spread = values.std(unbiased=False)
                values = values + self.noise * spread * torch.randn(len(values), generator=rng).to(values)
            parts[name] = Withheld(at[own], values[own])
        return put_back(weights, parts)

    def parts(self) -> dict[str, Any]:
        """Nothing: the places, as ``geometry``, come from the locked model."""
        return {}

    def to_json(self) -> dict[str, Any]:
        return {"method": "weights", **asdict(self)}

    def describe(self) -> str:
        whole = {
            RIGHT: "the withheld weights",
            VALUES: "the withheld places with their values in another order",
            PLACES: "the withheld values at other places",
        }[self.drawn]
        part = "" if self.share == 1 else f", {100 * self.share:.0f} % of them"
        return f"{whole}{part}" + (f", with {self.noise:g} σ of noise" if self.noise else "")

    def megabytes(self) -> float:
        return 0.0

    def conditions(self, seed: int) -> list[KeyCondition]:
        """No key; half and nine tenths of it; noise of a tenth and of all its spread; other values, other places."""
        own = replace(self, seed=random.Random(seed).getrandbits(62))
        keys: dict[tuple[str, str], Key] = {
            ("none", ""): Identity(),
            ("partial", "half"): replace(own, share=0.5),
            ("partial", "nine tenths"): replace(own, share=0.9),
            ("near", "a tenth of noise"): replace(own, noise=0.1),
            ("near", "noise"): replace(own, noise=1.0),
            ("wrong", "values"): replace(own, drawn=VALUES),
            ("wrong", "places"): replace(own, drawn=PLACES),
        }
        return [KeyCondition(kind, label, key) for (kind, label), key in keys.items()]


class Weights(KeyMethod):
    """A few weights that do not ship: no editor, and images stay as they are."""

    title = "key in the weights"
    paper = "NNSplitter, Zhou et al., ICML 2023, arXiv 2305.00097"
    in_weights = True

    def make(self, data: DefenderView, run: Run) -> Key:
        return WeightKey()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Key:
        if "none" in value:
            return Identity()
        return WeightKey(**{name: own for name, own in value.items() if name != "method"})
