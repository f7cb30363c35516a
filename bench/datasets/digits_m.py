"""``digits-m``: the digits blended into coloured textures by absolute difference, as MNIST-M is made.

The blend is that of Y. Ganin et al., "Domain-Adversarial Training of Neural Networks" (JMLR 2016);
in place of photographs it uses the patterns of `bench.datasets.textures`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from bench.contracts import DataSource
from bench.datasets.base import Dataset, channels_first, to_uint8
from bench.datasets.digits import CLASSES, greys
from bench.datasets.textures import patterns
from bench.seeds import derive


@lru_cache(maxsize=2)
def build(size: int, generator_seed: int) -> Dataset:
    """All 1797 digits on textures that ``generator_seed`` moves; strokes, order and labels stay."""
    grey, labels = greys(size)
    rng = np.random.default_rng(derive("digits-m", generator=generator_seed))
    texture = textures(len(grey), size, rng)
    strokes = grey[..., None].astype(np.float32) / 255
    images = channels_first(to_uint8(np.abs(texture - strokes)))
    return Dataset("digits-m", images, torch.from_numpy(labels), CLASSES, origin="digits")


def textures(n: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """(n, size, size, 3) float32 in [0, 1]."""
    # Where the texture is 1/2 a stroke does not show, so each channel keeps mostly to one side of it.
    depth = rng.uniform(0.08, 0.32, (n, 1, 1, 3)).astype(np.float32)
    centre = np.where(rng.random((n, 1, 1, 3)) < 0.5, depth, 1 - depth)
    amplitude = rng.uniform(0.12, 0.4, (n, 1, 1, 1)).astype(np.float32)
    result: np.ndarray = (centre + amplitude * patterns(n, size, rng)).clip(0, 1)
    return result


class DigitsM(DataSource):
    """The same 1797 digits blended into coloured procedural textures, as MNIST-M is made, 10 classes."""

    title = "digits-m"
    paper = "after Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 2016"

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return build(size, generator_seed)
