"""``shapes``: ten geometric classes, drawn at random place, size, turn and colour, with their masks."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from PIL import Image, ImageDraw

from bench.contracts import DataSource
from bench.datasets.base import Dataset, channels_first, to_uint8
from bench.datasets.textures import patterns
from bench.seeds import derive

PER_CLASS = 240
_OVER = 4  # supersampling: a pixel's coverage is counted on 4×4 points
_ARC = 72  # corners of what stands for a circle

Outline = list[tuple[np.ndarray, bool]]
"""Polygons (P, 2) within the unit circle, y upwards, drawn in turn: True adds, False cuts away."""


def _circle(radius: float, x: float = 0.0) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, _ARC, endpoint=False)
    return np.stack([x + radius * np.cos(angle), radius * np.sin(angle)], 1)


def _corners(n: int, *radii: float) -> np.ndarray:
    """``n`` corners, the first at the top, at the given distances in turn."""
    angle = np.pi / 2 + np.arange(n) * 2 * np.pi / n
    result: np.ndarray = np.stack([np.cos(angle), np.sin(angle)], 1) * np.resize(radii, n)[:, None]
    return result


def _square() -> Outline:
    return [(np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * math.sqrt(0.5), True)]


def _cross() -> Outline:
    a, b = 0.94, 0.31
    bar = np.array([(-a, -b), (a, -b), (a, b), (-a, b)])
    return [(bar, True), (bar[:, ::-1], True)]


def _heart() -> Outline:
    t = np.linspace(0, 2 * np.pi, _ARC, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [(np.stack([x, y + 2.5], 1) / 17.4, True)]


def _arrow() -> Outline:
    head = np.array([(0, 1), (0.72, 0.1), (-0.72, 0.1)])
    shaft = np.array([(-0.24, 0.15), (0.24, 0.15), (0.24, -0.97), (-0.24, -0.97)])
    return [(head, True), (shaft, True)]


# Each class with its largest turn, degrees either way: few enough poses for a small model to learn from 1000 images.
_SHAPES: dict[str, tuple[Callable[[], Outline], float]] = {
    "circle": (lambda: [(_circle(0.92), True)], 180),
    "square": (_square, 12),
    "triangle": (lambda: [(_corners(3, 1.0), True)], 20),
    "pentagon": (lambda: [(_corners(5, 1.0), True)], 18),
    "star": (lambda: [(_corners(10, 1.0, 0.42), True)], 18),
    "cross": (_cross, 12),
    "ring": (lambda: [(_circle(0.95), True), (_circle(0.52), False)], 180),
    "crescent": (lambda: [(_circle(0.95), True), (_circle(0.78, 0.45), False)], 30),
    "heart": (_heart, 20),
    "arrow": (_arrow, 35),
}
CLASSES = tuple(_SHAPES)


@lru_cache(maxsize=2)
def build(size: int, generator_seed: int) -> Dataset:
    """2400 images, 240 a class, classes in turn. ``generator_seed`` moves all that is drawn, not the labels."""
    labels = np.tile(np.arange(len(CLASSES)), PER_CLASS)
    rng = np.random.default_rng(derive("shapes", generator=generator_seed))
    coverage = _coverage(labels, size, rng)
    images = channels_first(to_uint8(_paint(coverage, rng)))
    # A pixel belongs to the shape that covers at least half of it.
    masks = np.where(coverage >= 0.5, labels[:, None, None] + 1, 0).astype(np.uint8)
    return Dataset("shapes", images, torch.from_numpy(labels), CLASSES, torch.from_numpy(masks))


def _coverage(labels: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """How much of each pixel the shape covers, (N, size, size) float32 in [0, 1]."""
    outlines = [draw() for draw, _ in _SHAPES.values()]
    limit = np.radians([turn for _, turn in _SHAPES.values()])[labels]
    turn = rng.uniform(-1, 1, len(labels)) * limit
    radius = rng.uniform(0.34, 0.47, len(labels))  # of the image's side
    stretch = rng.uniform(0.85, 1.0, (len(labels), 2))
    centre = 0.5 + rng.uniform(-1, 1, (len(labels), 2)) * 0.5 * (0.5 - radius)[:, None]
    out = np.empty((len(labels), size, size), np.float32)
    for i, label in enumerate(labels):
        cos, sin = math.cos(turn[i]), math.sin(turn[i])
        move = np.array([(cos, -sin), (sin, cos)]) * radius[i] * (1, -1)  # image rows run downwards
        canvas = Image.new("L", (size * _OVER, size * _OVER), 0)
        pen = ImageDraw.Draw(canvas)
        for points, adds in outlines[label]:
            placed = (points * stretch[i]) @ move + centre[i]
            pen.polygon((placed * size * _OVER).ravel().tolist(), fill=255 if adds else 0)
        out[i] = np.asarray(canvas.reduce(_OVER), np.float32) / 255
    return out


def _paint(coverage: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shapes in one colour, on plain or textured ground, with a little noise: (N, S, S, 3) float32."""
    n, size = coverage.shape[:2]
    ground, ink = _colours(n, rng)
    textured = rng.random((n, 1, 1, 1)) < 0.65
    strength = np.where(textured, rng.uniform(0.05, 0.2, (n, 1, 1, 1)), 0).astype(np.float32)
    # Slabs would be shapes in the background.
    back = (ground + strength * patterns(n, size, rng, ("cloud", "mosaic", "ripples"))).clip(0, 1)
    front = ink + 0.06 * patterns(n, size, rng, ("cloud",))
    alpha = coverage[..., None]
    noise = 0.025 * rng.standard_normal((n, size, size, 3), np.float32)
    result: np.ndarray = back * (1 - alpha) + front * alpha + noise
    return result


def _colours(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ground and ink, (n, 1, 1, 3) float32 each, at least 0.6 apart in RGB."""
    ground = rng.uniform(0.05, 0.95, (n, 3))
    ink = rng.uniform(0.05, 0.95, (n, 3))
    while (close := np.linalg.norm(ground - ink, axis=1) < 0.6).any():
        ink[close] = rng.uniform(0.05, 0.95, (int(close.sum()), 3))
    return ground[:, None, None].astype(np.float32), ink[:, None, None].astype(np.float32)


class Shapes(DataSource):
    """2400 drawn geometric shapes on plain and textured backgrounds, with masks, 10 classes."""

    title = "shapes"
    paper = "ours"

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return build(size, generator_seed)
