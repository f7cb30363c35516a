"""Colour patterns that data sets lay behind their objects.

The miniature pack has textures of its own; neither side may import the other's, so that the pack
has seen nothing of a protected data set. Kinds differ from the pack's, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Floats = np.ndarray
_CHUNK = 256  # images drawn at once; fixed, since it decides the order of random draws


def patterns(n: int, size: int, rng: np.random.Generator, kinds: Sequence[str] = ()) -> Floats:
    """``n`` random patterns of the named ``kinds`` (all of `KINDS` by default).

    Returns:
        (n, size, size, 3) float32 in [-1, 1], to be scaled and put around a colour.
    """
    kinds = tuple(kinds) or tuple(KINDS)
    out = np.empty((n, size, size, 3), np.float32)
    for start in range(0, n, _CHUNK):
        part = out[start : start + _CHUNK]
        which = rng.integers(len(kinds), size=len(part))
        for i, kind in enumerate(kinds):
            chosen = which == i
            if chosen.any():
                part[chosen] = KINDS[kind](int(chosen.sum()), size, rng)
    return out


def _grid(size: int) -> tuple[Floats, Floats]:
    """Pixel centres: x and y, (1, size, size) float32 in (0, 1)."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    return axis[None, None, :], axis[None, :, None]


def _draw(rng: np.random.Generator, n: int, low: float, high: float) -> Floats:
    """One number an image, (n, 1, 1) float32."""
    return rng.uniform(low, high, (n, 1, 1)).astype(np.float32)


def _tint(field: Floats, rng: np.random.Generator) -> Floats:
    """(n, S, S) to (n, S, S, 3): each channel follows the field with its own strength and sign."""
    strength = rng.uniform(-1, 1, (len(field), 1, 1, 3)).astype(np.float32)
    return 0.8 * field[..., None] * np.sign(strength) * np.sqrt(np.abs(strength))


def _mosaic(n: int, size: int, rng: np.random.Generator) -> Floats:
    """Cells around random sites, each of one colour."""
    x, y = _grid(size)
    nearest = np.full((n, size, size), np.inf, np.float32)
    out = np.empty((n, size, size, 3), np.float32)
    for _ in range(12):
        distance = (x - _draw(rng, n, 0, 1)) ** 2 + (y - _draw(rng, n, 0, 1)) ** 2
        closer = distance < nearest
        nearest = np.where(closer, distance, nearest)
        colour = rng.uniform(-1, 1, (n, 1, 1, 3)).astype(np.float32)
        out = np.where(closer[..., None], colour, out)
    return out


def _cloud(n: int, size: int, rng: np.random.Generator) -> Floats:
    """Colour fields whose power falls with frequency, as in photographs."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]) * size
    fall = rng.uniform(1.1, 2.0, (n, 1, 1, 1))
    gain = np.maximum(frequency, 1.0)[None, None] ** -fall
    gain[..., 0, 0] = 0  # the mean belongs to the colour that the pattern is put around
    white = np.fft.rfft2(rng.standard_normal((n, 4, size, size)))
    fields = np.fft.irfft2(white * gain, s=(size, size))
    fields /= np.abs(fields).max(axis=(2, 3), keepdims=True)
    mixed = 0.6 * fields[:, :1] + 0.4 * fields[:, 1:]
    return mixed.transpose(0, 2, 3, 1).astype(np.float32)


def _slabs(n: int, size: int, rng: np.random.Generator) -> Floats:
    """Turned rectangles that hide one another."""
    x, y = _grid(size)
    out = np.broadcast_to(rng.uniform(-1, 1, (n, 1, 1, 3)), (n, size, size, 3)).astype(np.float32)
    for _ in range(9):
        angle = _draw(rng, n, 0, np.pi)
        dx, dy = x - _draw(rng, n, 0, 1), y - _draw(rng, n, 0, 1)
        along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        inside = (np.abs(along) < _draw(rng, n, 0.1, 0.45)) & (np.abs(across) < _draw(rng, n, 0.05, 0.25))
        out = np.where(inside[..., None], rng.uniform(-1, 1, (n, 1, 1, 3)).astype(np.float32), out)
    return out


def _ripples(n: int, size: int, rng: np.random.Generator) -> Floats:
    """Rings around two centres, crossing."""
    x, y = _grid(size)
    field = np.zeros((n, size, size), np.float32)
    for _ in range(2):
        radius = np.hypot(x - _draw(rng, n, -0.5, 1.5), y - _draw(rng, n, -0.5, 1.5))
        field += 0.5 * np.sin(2 * np.pi * (radius * _draw(rng, n, 2, 6) + _draw(rng, n, 0, 1)))
    return _tint(field, rng)


KINDS: dict[str, Callable[[int, int, np.random.Generator], Floats]] = {
    "mosaic": _mosaic,
    "cloud": _cloud,
    "slabs": _slabs,
    "ripples": _ripples,
}
