"""``scenes-seg``: two to five of the ten shapes in one image, hiding one another, on textured backgrounds.

The miniature pack has seen nothing of them. Its generator draws letters, plain textures and object families such as
trees and mugs, one an image; no class, texture or code is shared, and it draws no masks. Classes and outlines are
those of ``shapes``; place, size, number, colour and ground are drawn differently here.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from bench.contracts import DataSource
from bench.datasets import shapes
from bench.datasets.base import Dataset, channels_first, to_uint8
from bench.datasets.shapes_seg import CLASSES
from bench.datasets.textures import patterns
from bench.seeds import derive

PER_CLASS = 240
"""Images whose largest object is of one class."""
MOST = 5
"""Objects in an image, at most."""
_FEWEST = 2
_LARGE, _SMALL = (0.28, 0.38), (0.18, 0.26)  # radius of the largest object and of the others, of the image's side
_TRIES = 3  # places tried for an object; that farthest from the others is taken
_APART = 0.5  # least distance of an object's colour to the ground's in RGB
_DIFFERENT = 0.3  # least distance of the colours of two objects in RGB


@lru_cache(maxsize=2)
def build(size: int, generator_seed: int) -> Dataset:
    """2400 images, 240 a largest object's class, classes in turn.

    ``generator_seed`` moves all that is drawn, but not the class of the largest object, which stratifies the splits.
    """
    main = np.tile(np.arange(len(shapes.CLASSES)), PER_CLASS)
    rng = np.random.default_rng(derive("scenes-seg", generator=generator_seed))
    kinds, coverage = _objects(main, size, rng)
    images, masks = _paint(kinds, coverage, rng)
    return Dataset(
        "scenes-seg",
        channels_first(to_uint8(images)),
        torch.from_numpy(main + 1),
        CLASSES,
        torch.from_numpy(masks),
        kind="segmentation",
    )


def _objects(main: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Class of each object, (N, MOST) int64, and the part of each pixel that it covers, (N, MOST, S, S) float32.

    The first object is the largest. Those beyond an image's number cover nothing.
    """
    n = len(main)
    count = rng.integers(_FEWEST, MOST + 1, n)
    kinds = rng.integers(len(shapes.CLASSES), size=(n, MOST))
    kinds[:, 0] = main
    radius = rng.uniform(*_SMALL, (n, MOST))
    radius[:, 0] = rng.uniform(*_LARGE, n)
    turn = rng.uniform(-1, 1, (n, MOST)) * shapes.turns()[kinds]
    stretch = rng.uniform(0.85, 1.0, (n, MOST, 2))
    centre = _places(radius, rng)
    polygons = shapes.outlines()
    coverage = np.zeros((n, MOST, size, size), np.float32)
    for i in range(n):
        for j in range(count[i]):
            coverage[i, j] = shapes.drawn(
                polygons[kinds[i, j]], size, turn[i, j], radius[i, j], stretch[i, j], centre[i, j]
            )
    return kinds, coverage


def _places(radius: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Centres (N, MOST, 2) of objects of ``radius`` (N, MOST) within the image, some of them overlapping."""
    n, most = radius.shape
    centre = np.empty((n, most, 2))
    for j in range(most):
        tried = 0.5 + rng.uniform(-1, 1, (n, _TRIES, 2)) * (0.5 - 0.9 * radius[:, j, None, None])
        gaps = np.full((n, _TRIES), np.inf)
        for other in range(j):
            distance = np.linalg.norm(tried - centre[:, None, other], axis=2)
            gaps = np.minimum(gaps, distance - radius[:, None, other] - radius[:, None, j])
        centre[:, j] = tried[np.arange(n), gaps.argmax(1)]
    return centre


def _paint(kinds: np.ndarray, coverage: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, S, S, 3) float32 and masks (N, S, S) uint8: objects over the ground in an order of their own."""
    n, most, size, _ = coverage.shape
    colours = _colours(n, most + 1, rng)
    strength = rng.uniform(0.12, 0.3, (n, 1, 1, 1)).astype(np.float32)
    # Slabs would be shapes in the background.
    images = (colours[:, 0] + strength * patterns(n, size, rng, ("cloud", "mosaic", "ripples"))).clip(0, 1)
    masks = np.zeros((n, size, size), np.uint8)
    grain = 0.08 * patterns(n, size, rng, ("cloud",))
    depth = rng.random((n, most)).argsort(1)
    at = np.arange(n)
    for j in depth.T:
        cover = coverage[at, j]
        images += (colours[at, j + 1] + grain - images) * cover[..., None]
        # A pixel belongs to the nearest object that covers at least half of it.
        masks = np.where(cover >= 0.5, (kinds[at, j] + 1)[:, None, None], masks).astype(np.uint8)
    images += 0.025 * rng.standard_normal(images.shape, np.float32)
    return images, masks


def _colours(n: int, m: int, rng: np.random.Generator) -> np.ndarray:
    """``m`` colours an image, (n, m, 1, 1, 3) float32: the ground's, and the objects', which can be told apart."""
    colours = rng.uniform(0.05, 0.95, (n, m, 3))
    for j in range(1, m):
        least = np.full(j, _DIFFERENT)
        least[0] = _APART
        while (close := (np.linalg.norm(colours[:, :j] - colours[:, j, None], axis=2) < least).any(1)).any():
            colours[close, j] = rng.uniform(0.05, 0.95, (int(close.sum()), 3))
    return colours[:, :, None, None].astype(np.float32)


class ScenesSeg(DataSource):
    """2400 drawn scenes of two to five geometric shapes on textured backgrounds, masks judged, 11 classes."""

    title = "scenes, segmentation"
    paper = "ours"
    tasks = ("segmentation",)

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return build(size, generator_seed)
