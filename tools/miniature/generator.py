"""Images the miniature pack is trained on: letters, textures and object families.

Disjoint, in code and in class, from every data set a lock protects: no digit, no glyph that stands for
one (the letters I and O are left out), none of the ten geometric shapes. Letters are set in one half
of the typefaces that matplotlib carries (`PACK_TYPEFACES`); the other half is left to data sets.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIZE = 32
_OVER = 3  # supersampling of drawings

PACK_TYPEFACES = (
    "DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf", "DejaVuSerif-Italic.ttf", "DejaVuSerif-BoldItalic.ttf",
    "STIXGeneral.ttf", "STIXGeneralBol.ttf", "STIXGeneralItalic.ttf", "STIXGeneralBolIta.ttf", "cmss10.ttf",
)  # fmt: skip
"""Typefaces of the pack; those of `bench.datasets` are the others."""

LETTERS = tuple("ABCDEFGHJKLMNPQRSTUVWXYZ") + tuple("abdeghnqrt")
TEXTURES = ("stripes", "checker", "dots", "waves", "bricks", "noise", "marble", "rays")
FAMILIES = (
    "tree", "house", "fish", "flower", "mug", "car", "boat", "umbrella", "mushroom", "leaf", "lamp", "chair",
    "bird", "hat",
)  # fmt: skip
CLASSES = (*LETTERS, *TEXTURES, *FAMILIES)

Colour = tuple[int, int, int]


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def _colour(rng: np.random.Generator, low: int = 0, high: int = 256) -> Colour:
    r, g, b = (int(v) for v in rng.integers(low, high, 3))
    return r, g, b


def _pair(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """A background and a foreground colour that can be told apart; sometimes grey on black."""
    if rng.random() < 0.25:
        light = int(rng.integers(120, 256))
        return (0, 0, 0), (light, light, light)
    while True:
        back, front = _colour(rng), _colour(rng)
        if abs(sum(back) - sum(front)) > 180:
            return back, front


def texture(kind: str, rng: np.random.Generator, back: Colour, front: Colour) -> Image.Image:
    """A SIZE×SIZE texture of `TEXTURES`, between two colours, at random scale, angle and phase."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    angle, phase = rng.uniform(0, math.pi), rng.uniform(0, 1)
    scale = rng.uniform(2.5, 6.5)
    u = (x * math.cos(angle) + y * math.sin(angle)) * scale + phase
    v = (-x * math.sin(angle) + y * math.cos(angle)) * scale + rng.uniform(0, 1)
    if kind == "stripes":
        t = 0.5 + 0.5 * np.sign(np.sin(2 * math.pi * u))
    elif kind == "checker":
        t = (np.floor(u) + np.floor(v)) % 2
    elif kind == "dots":
        t = ((u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < rng.uniform(0.04, 0.11)).astype(float)
    elif kind == "waves":
        t = 0.5 + 0.5 * np.sin(2 * math.pi * (u + 0.35 * np.sin(2 * math.pi * v)))
    elif kind == "bricks":
        row = np.floor(v)
        t = ((v % 1 > 0.2) & ((u * 0.6 + 0.5 * (row % 2)) % 1 > 0.12)).astype(float)
    elif kind == "noise":
        t = _smooth_noise(rng, int(rng.integers(4, 14)))
    elif kind == "marble":
        t = 0.5 + 0.5 * np.sin(2 * math.pi * (u + 1.6 * _smooth_noise(rng, 5)))
    elif kind == "rays":
        cx, cy = rng.uniform(0.2, 0.8, 2)
        t = 0.5 + 0.5 * np.sign(np.sin(int(rng.integers(4, 10)) * np.arctan2(y - cy, x - cx) + 6 * phase))
    else:
        raise KeyError(kind)
    t = t[..., None]
    return Image.fromarray((np.array(back) * (1 - t) + np.array(front) * t).astype(np.uint8))


def _smooth_noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    grid = Image.fromarray((rng.random((cells, cells)) * 255).astype(np.uint8))
    return np.asarray(grid.resize((SIZE, SIZE), Image.Resampling.BICUBIC), dtype=float) / 255


def background(rng: np.random.Generator, back: Colour) -> Image.Image:
    """A plain, graded or faintly textured ground around the colour ``back``."""
    kind = rng.random()
    near = tuple(int(np.clip(c + rng.integers(-60, 61), 0, 255)) for c in back)
    if kind < 0.4:
        return Image.new("RGB", (SIZE, SIZE), back)
    if kind < 0.6:
        t = np.linspace(0, 1, SIZE)[:, None, None]
        img = (np.array(back) * (1 - t) + np.array(near) * t) * np.ones((SIZE, SIZE, 1))
        return Image.fromarray(img.astype(np.uint8)).rotate(90 * int(rng.integers(4)))
    kinds = TEXTURES if kind > 0.8 else ("noise", "waves", "marble")
    return texture(str(rng.choice(kinds)), rng, back, (near[0], near[1], near[2]))


def _letter(mark: str, rng: np.random.Generator) -> Image.Image:
    side = SIZE * _OVER
    mask = Image.new("L", (side, side), 0)
    font = _font(str(rng.choice(PACK_TYPEFACES)), int(side * rng.uniform(0.62, 1.0)))
    offset = rng.uniform(-0.07, 0.07, 2) * side + side / 2
    ImageDraw.Draw(mask).text((offset[0], offset[1]), mark, 255, font=font, anchor="mm")
    return mask.rotate(rng.uniform(-18, 18), Image.Resampling.BILINEAR)


def _object(kind: str, rng: np.random.Generator) -> Image.Image:
    """A silhouette with inner detail of one of the object `FAMILIES`, as a mask of three levels."""
    s = SIZE * _OVER
    mask = Image.new("L", (s, s), 0)
    d = ImageDraw.Draw(mask)
    j = rng.uniform(-0.04, 0.04, 12)

    def p(*xy: float) -> list[tuple[float, float]]:
        return [(xy[i] * s, xy[i + 1] * s) for i in range(0, len(xy), 2)]

    full, half = 255, 150
    if kind == "tree":
        d.rectangle(p(0.45 + j[0], 0.6, 0.55 + j[0], 0.95), half)
        for k in range(int(rng.integers(2, 4))):
            d.polygon(
                p(0.5 + j[0], 0.05 + 0.16 * k, 0.22 - 0.03 * k, 0.4 + 0.16 * k, 0.78 + 0.03 * k, 0.4 + 0.16 * k), full
            )
    elif kind == "house":
        d.rectangle(p(0.2, 0.45 + j[0], 0.8, 0.9), full)
        d.polygon(p(0.12, 0.47 + j[0], 0.5 + j[1], 0.12, 0.88, 0.47 + j[0]), half)
        d.rectangle(p(0.44, 0.62, 0.58, 0.9), 0)
    elif kind == "fish":
        d.ellipse(p(0.12, 0.3 + j[0], 0.72, 0.7 + j[1]), full)
        d.polygon(p(0.64, 0.5, 0.93, 0.25 + j[2], 0.93, 0.75 + j[3]), half)
        d.ellipse(p(0.24, 0.4, 0.32, 0.48), 0)
    elif kind == "flower":
        n = int(rng.integers(5, 8))
        for k in range(n):
            a = 2 * math.pi * k / n + j[0] * 10
            cx, cy = 0.5 + 0.23 * math.cos(a), 0.42 + 0.23 * math.sin(a)
            d.ellipse(p(cx - 0.13, cy - 0.13, cx + 0.13, cy + 0.13), full)
        d.ellipse(p(0.4, 0.32, 0.6, 0.52), half)
        d.line(p(0.5, 0.65, 0.5 + j[1], 0.98), half, width=s // 20)
    elif kind == "mug":
        d.arc(p(0.55, 0.35, 0.92, 0.72 + j[0]), -100, 100, full, width=s // 14)
        d.rectangle(p(0.2, 0.25 + j[1], 0.68, 0.85), full)
        d.rectangle(p(0.2, 0.42, 0.68, 0.5 + j[2]), half)
    elif kind == "car":
        d.rectangle(p(0.06, 0.48, 0.94, 0.7), full)
        d.polygon(p(0.22, 0.48, 0.32 + j[0], 0.28 + j[1], 0.66 + j[2], 0.28 + j[1], 0.8, 0.48), half)
        for cx in (0.26, 0.74):
            d.ellipse(p(cx - 0.1, 0.6, cx + 0.1, 0.8), half)
    elif kind == "boat":
        d.polygon(p(0.08, 0.65, 0.92, 0.65, 0.75, 0.88, 0.25, 0.88), full)
        d.polygon(p(0.5 + j[0], 0.1, 0.5 + j[0], 0.6, 0.86 + j[1], 0.6), half)
        d.line(p(0.5 + j[0], 0.08, 0.5 + j[0], 0.65), full, width=s // 24)
    elif kind == "umbrella":
        d.pieslice(p(0.08, 0.12 + j[0], 0.92, 0.96), 180, 360, full)
        d.line(p(0.5, 0.5, 0.5, 0.88), half, width=s // 20)
        d.arc(p(0.5, 0.8, 0.64, 0.96), 0, 180, half, width=s // 20)
    elif kind == "mushroom":
        d.rectangle(p(0.4 + j[0], 0.5, 0.6 + j[0], 0.92), half)
        d.pieslice(p(0.14, 0.12, 0.86, 0.88 + j[1]), 180, 360, full)
        d.ellipse(p(0.34, 0.26, 0.46, 0.38), 0)
        d.ellipse(p(0.56, 0.3, 0.68, 0.42), 0)
    elif kind == "leaf":
        d.polygon(p(0.5, 0.06, 0.8 + j[0], 0.35, 0.74, 0.65, 0.5, 0.86, 0.26, 0.65, 0.2 + j[1], 0.35), full)
        d.line(p(0.5, 0.1, 0.5, 0.98), half, width=s // 24)
        for vein in (0.3, 0.5, 0.68):
            d.line(p(0.5, vein + 0.1, 0.7, vein), half, width=s // 40)
            d.line(p(0.5, vein + 0.1, 0.3, vein), half, width=s // 40)
    elif kind == "lamp":
        d.polygon(p(0.34 + j[0], 0.1, 0.66 + j[0], 0.1, 0.84, 0.48, 0.16, 0.48), full)
        d.line(p(0.5, 0.48, 0.5, 0.88), half, width=s // 16)
        d.rectangle(p(0.3, 0.86, 0.7, 0.94), half)
    elif kind == "chair":
        d.rectangle(p(0.24 + j[0], 0.08, 0.34 + j[0], 0.95), full)
        d.rectangle(p(0.24 + j[0], 0.52, 0.76, 0.62), full)
        d.rectangle(p(0.67, 0.52, 0.76, 0.95), full)
        d.rectangle(p(0.3 + j[0], 0.2, 0.4 + j[0], 0.45), half)
    elif kind == "bird":
        d.ellipse(p(0.2, 0.38, 0.72, 0.74 + j[0]), full)
        d.ellipse(p(0.6, 0.2 + j[1], 0.84, 0.46), full)
        d.polygon(p(0.82, 0.3, 0.97, 0.36, 0.82, 0.4), half)
        d.polygon(p(0.3, 0.5, 0.55, 0.5, 0.2 + j[2], 0.1), half)
        d.line(p(0.45, 0.72, 0.45, 0.93), half, width=s // 28)
    elif kind == "hat":
        d.rectangle(p(0.3 + j[0], 0.18 + j[1], 0.7 + j[0], 0.68), full)
        d.ellipse(p(0.06, 0.6, 0.94, 0.82), full)
        d.rectangle(p(0.3 + j[0], 0.52, 0.7 + j[0], 0.6), half)
    else:
        raise KeyError(kind)
    if rng.random() < 0.5:
        mask = mask.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return mask.rotate(rng.uniform(-15, 15), Image.Resampling.BILINEAR)


def draw(label: int, rng: np.random.Generator) -> np.ndarray:
    """One image of class ``CLASSES[label]``: (SIZE, SIZE, 3) uint8."""
    kind = CLASSES[label]
    back, front = _pair(rng)
    if kind in TEXTURES:
        img = texture(kind, rng, back, front)
    else:
        mask = _letter(kind, rng) if kind in LETTERS else _object(kind, rng)
        shift = rng.uniform(0.75, 1.0)
        side = int(SIZE * shift)
        small = Image.new("L", (SIZE, SIZE), 0)
        left, top = (int(v) for v in rng.integers(0, SIZE - side + 1, 2))
        small.paste(mask.resize((side, side), Image.Resampling.LANCZOS), (left, top))
        ground = background(rng, back)
        if kind in FAMILIES or rng.random() < 0.3:
            ink = texture(str(rng.choice(TEXTURES)), rng, front, _colour(rng)) if rng.random() < 0.3 else None
            ink = ink or Image.new("RGB", (SIZE, SIZE), front)
        else:
            ink = Image.new("RGB", (SIZE, SIZE), front)
        img = Image.composite(ink, ground, small)
    return _degrade(img, rng)


def _degrade(img: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """What scans and small images look like: low resolution, blur, sensor noise; or nothing."""
    how = rng.random()
    if how < 0.2:
        low = int(rng.integers(8, 17))
        img = img.resize((low, low), Image.Resampling.BOX).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    elif how < 0.35:
        img = img.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.0)))
    out: np.ndarray = np.asarray(img.convert("RGB"), dtype=np.float32)
    if rng.random() < 0.3:
        out = out + rng.normal(0, rng.uniform(2, 10), out.shape)
    return np.clip(out, 0, 255).astype(np.uint8)


def sample(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``n`` images, classes in turn, from one seed: (n, SIZE, SIZE, 3) uint8 and (n,) int64."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % len(CLASSES)
    rng.shuffle(labels)
    return np.stack([draw(int(label), rng) for label in labels]), labels.astype(np.int64)
