"""What describes a predictor for the process that judges it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.contracts import Predictor
from bench.predictors import Constant, describe


class Own(Predictor):
    """A predictor with an argument and a tensor of its own."""

    def __init__(self, argument: Any = 1, tensor: Tensor | None = None) -> None:
        super().__init__()
        self.argument = argument
        self.register_buffer("kept", torch.zeros(2) if tensor is None else tensor)

    def arguments(self) -> dict[str, Any]:
        return {"argument": self.argument}

    def predict(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), 3)


def test_a_number_of_a_library_is_a_number() -> None:
    for number in (2, np.float32(2.0), np.int64(2), torch.tensor(2.0)):
        assert describe(Own(number))["arguments"]["argument"] == 2
    assert describe(Constant(3, 1))["arguments"] == {"k": 3, "label": 1}


@pytest.mark.parametrize(
    ("predictor", "words"),
    [
        (nn.Linear(3, 3), "hand in a predictor, e.g. bench.predictors.Direct"),
        (Own(lambda x: x), r"Own.arguments\(\): argument is a function, and no JSON"),
        (Own(torch.zeros(2)), "argument is a Tensor, and no JSON: a tensor belongs into a buffer"),
        (Own(1, torch.eye(2).to_sparse()), "the tensor kept is sparse: keep it as .to_dense"),
    ],
)
def test_what_cannot_be_described_says_what_to_hand_in(predictor: nn.Module, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        describe(predictor)
