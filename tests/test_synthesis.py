"""What is synthesised has the size of the task's images, whatever that is."""

from __future__ import annotations

import pytest
import torch

from bench.synthesis import NOISE, ClassGenerator, Generator
from locks.h_ntl import Disentangler


@pytest.mark.parametrize("size", [16, 28, 30, 32])
def test_images_have_the_size_of_the_task(size: int) -> None:
    noise, labels = torch.zeros(2, NOISE), torch.tensor([0, 2])
    parts = Disentangler(3, size, 4)
    shapes = [
        Generator(size)(noise).shape,
        ClassGenerator(3, size)(noise, labels).shape,
        parts.decode(torch.zeros(2, 4), torch.zeros(2, 4)).shape,
    ]
    assert shapes == [(2, 3, size, size)] * 3
