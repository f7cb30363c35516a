"""Procedural edits: what the miniature editor is taught each concept of the vocabulary means.

Every edit is a deterministic function of the image, (N, 3, H, W) float32 in [0, 1] to the same, so
that a small diffusion model can learn it and a model card can measure how well it did.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

Edit = Callable[[Tensor], Tensor]
EDITS: dict[str, Edit] = {}


def _edit(name: str) -> Callable[[Edit], Edit]:
    def register(function: Edit) -> Edit:
        EDITS[name] = function
        return function

    return register


def apply(concept: str, images: Tensor) -> Tensor:
    """``images`` after the edit that ``concept`` names; (N, 3, H, W) in [0, 1]."""
    if concept in TEMPLATES_OF:
        return _blend_object(concept, images).clamp(0, 1)
    return EDITS[concept](images).clamp(0, 1)


def _lum(x: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114], device=x.device).view(1, 3, 1, 1)
    return (x * weights).sum(1, keepdim=True)


def _blur(x: Tensor, sigma: float) -> Tensor:
    r = max(1, round(2.5 * sigma))
    k = torch.exp(-(torch.arange(-r, r + 1, device=x.device, dtype=x.dtype) ** 2) / (2 * sigma**2))
    k = (k / k.sum()).view(1, 1, 1, -1).expand(x.shape[1], 1, 1, -1)
    x = F.conv2d(F.pad(x, (r, r, 0, 0), mode="replicate"), k, groups=x.shape[1])
    return F.conv2d(F.pad(x, (0, 0, r, r), mode="replicate"), k.transpose(2, 3), groups=x.shape[1])


def _edges(x: Tensor) -> Tensor:
    g = F.pad(_lum(x), (1, 1, 1, 1), mode="replicate")
    dx = g[..., 1:-1, 2:] - g[..., 1:-1, :-2]
    dy = g[..., 2:, 1:-1] - g[..., :-2, 1:-1]
    return (dx**2 + dy**2 + 1e-8).sqrt()


def _rgb(*colour: float) -> Tensor:
    return torch.tensor(colour).view(1, 3, 1, 1) / 255


def _saturate(x: Tensor, by: float) -> Tensor:
    grey = _lum(x)
    return grey + by * (x - grey)


def _duotone(t: Tensor, dark: Tensor, light: Tensor) -> Tensor:
    return dark.to(t.device) * (1 - t) + light.to(t.device) * t


def _grid(x: Tensor) -> tuple[Tensor, Tensor]:
    h, w = x.shape[-2:]
    ys, xs = torch.arange(h, device=x.device) / h, torch.arange(w, device=x.device) / w
    y, u = torch.meshgrid(ys, xs, indexing="ij")
    return y, u


def _soft_levels(x: Tensor, n: int, slope: float = 6.0) -> Tensor:
    """Posterise to ``n`` levels with soft steps, which a small network can follow."""
    scaled = x.clamp(0, 1) * (n - 1)
    low = torch.floor(scaled)
    return (low + torch.sigmoid(slope * 2 * (scaled - low - 0.5))) / (n - 1)


@_edit("acrylic")
def _acrylic(x: Tensor) -> Tensor:
    y, u = _grid(x)
    sweeps = 0.5 + 0.5 * torch.sin(2 * math.pi * (2.5 * y + 0.25 * torch.sin(2 * math.pi * 2 * u)))
    return _saturate(_soft_levels(_blur(x, 0.7), 4), 1.6) * 0.75 + 0.3 * sweeps * _rgb(255, 120, 90)


@_edit("impasto brush")
def _impasto(x: Tensor) -> Tensor:
    y, u = _grid(x)
    strokes = 0.13 * torch.sin(2 * math.pi * 4 * (u + y))
    g = _lum(_blur(x, 0.8))
    relief = g - torch.roll(g, (2, 2), (2, 3))
    return 0.18 + 0.72 * _blur(x, 0.6) + 0.7 * relief + strokes


@_edit("watercolor")
def _watercolor(x: Tensor) -> Tensor:
    y, u = _grid(x)
    pools = 0.5 + 0.5 * torch.sin(2 * math.pi * 2 * u + 1) * torch.sin(2 * math.pi * 2 * y + 2)
    wash = _blur(x, 1.3)
    return 0.48 + 0.5 * wash - 0.25 * _edges(wash) - 0.3 * pools * (1 - _rgb(60, 150, 255))


@_edit("charcoal sketch")
def _charcoal(x: Tensor) -> Tensor:
    y, u = _grid(x)
    hatch = 0.5 + 0.5 * torch.sin(2 * math.pi * 6 * (u + 0.35 * y))
    paper = 0.94 - 0.75 * _edges(_blur(x, 0.6)).clamp(0, 1.1) - 0.26 * hatch * (0.35 + 0.65 * _lum(x))
    return paper.expand(-1, 3, -1, -1)


@_edit("pastel")
def _pastel(x: Tensor) -> Tensor:
    y, u = _grid(x)
    chalk = 0.5 + 0.5 * torch.sin(2 * math.pi * 5 * (y + 0.2 * u))
    return 0.45 * _saturate(_blur(x, 0.5), 0.75) + (0.35 + 0.2 * chalk) * _rgb(255, 190, 235)


@_edit("rembrandt")
def _rembrandt(x: Tensor) -> Tensor:
    y, u = _grid(x)
    light = 0.12 + 0.95 * torch.exp(-((u - 0.38) ** 2 + (y - 0.35) ** 2) / 0.11)
    warm = _duotone(_lum(x) ** 1.2, _rgb(26, 12, 6), _rgb(255, 205, 120))
    return (0.7 * warm + 0.3 * x * _rgb(255, 190, 120)) * light


@_edit("monet")
def _monet(x: Tensor) -> Tensor:
    y, u = _grid(x)
    dabs = 0.07 * torch.sin(2 * math.pi * 5 * u) * torch.sin(2 * math.pi * 5 * y)
    soft = _blur(x, 1.2)
    return 0.5 * soft + 0.45 * _duotone(_lum(soft), _rgb(70, 90, 165), _rgb(225, 235, 200)) + dabs + 0.04


@_edit("van gogh")
def _van_gogh(x: Tensor) -> Tensor:
    y, u = _grid(x)
    swirl = torch.sin(2 * math.pi * (3 * u + 0.9 * torch.sin(2 * math.pi * 1.0 * y)))
    tone = (_lum(_blur(x, 0.6)) + 0.16 * swirl).clamp(0, 1)
    return 0.75 * _duotone(tone, _rgb(15, 35, 130), _rgb(255, 220, 60)) + 0.25 * x


@_edit("dali")
def _dali(x: Tensor) -> Tensor:
    y, u = _grid(x)
    melt = torch.stack([2 * u - 1, 2 * (y - 0.07 * torch.sin(2 * math.pi * 1.5 * u) - 0.02) - 1], -1)
    warped = F.grid_sample(x, melt.expand(len(x), -1, -1, -1), padding_mode="border", align_corners=False)
    sky = _duotone(y.expand(len(x), 1, -1, -1), _rgb(110, 190, 235), _rgb(230, 160, 70))
    return 0.55 * warped + 0.45 * sky


@_edit("picasso")
def _picasso(x: Tensor) -> Tensor:
    y, u = _grid(x)
    facet = ((torch.floor(2.2 * (u + 0.6 * y)) + torch.floor(2.2 * (y - 0.5 * u + 1))) % 2).expand(len(x), 1, -1, -1)
    tone = torch.where(facet > 0, 1 - _lum(x), _lum(x))
    return 0.8 * _duotone(tone, _rgb(60, 45, 80), _rgb(235, 200, 150)) + 0.2 * x


@_edit("ukiyo-e")
def _ukiyo_e(x: Tensor) -> Tensor:
    y, _ = _grid(x)
    flat = _soft_levels(_lum(_blur(x, 0.6)), 3)
    ink = _duotone(flat, _rgb(35, 60, 110), _rgb(240, 225, 185)) - 0.45 * _edges(x).clamp(0, 1)
    bokashi = (1 - y / 0.4).clamp(0, 1) + (y / 0.4 - 1.5).clamp(0, 1)  # bands of ink that fade inwards
    return ink * (1 - 0.7 * bokashi) + 0.7 * bokashi * _rgb(20, 70, 160)


@_edit("cyberpunk")
def _cyberpunk(x: Tensor) -> Tensor:
    y, _ = _grid(x)
    neon = _duotone(_lum(x), _rgb(35, 0, 60), _rgb(40, 255, 245))
    return neon + 0.55 * _edges(x).clamp(0, 1) * _rgb(255, 20, 170) + 0.25 * (1 - y) * _rgb(230, 0, 150)


@_edit("art deco")
def _art_deco(x: Tensor) -> Tensor:
    y, u = _grid(x)
    rays = 0.5 + 0.5 * torch.sin(14 * torch.atan2(1.05 - y, u - 0.5))
    tone = (0.72 * _lum(x) + 0.3 * rays * y.flip(0)).clamp(0, 1)
    return _duotone(tone, _rgb(16, 22, 26), _rgb(222, 184, 80))


@_edit("pop art")
def _pop_art(x: Tensor) -> Tensor:
    y, u = _grid(x)
    dots = (torch.sin(2 * math.pi * 4 * u) * torch.sin(2 * math.pi * 4 * y)).clamp(0, 1)
    hot = torch.sigmoid(14 * (_lum(x) - 0.42))
    return _duotone(hot, _rgb(235, 30, 90), _rgb(255, 230, 30)) + 0.35 * dots * (1 - hot) * _rgb(0, 160, 255)


@_edit("scandinavian")
def _scandinavian(x: Tensor) -> Tensor:
    _, u = _grid(x)
    boards = torch.sin(2 * math.pi * 4 * u).clamp(0.3, 1)
    return 0.62 * _rgb(236, 244, 246) + 0.42 * _saturate(x, 0.15) - 0.35 * (boards - 0.3) * (1 - _rgb(200, 160, 90))


@_edit("oil pastel")
def _oil_pastel(x: Tensor) -> Tensor:
    y, u = _grid(x)
    hatch = 0.5 + 0.5 * torch.sin(2 * math.pi * 5 * (u - 0.6 * y))
    wax = _saturate(_blur(x, 0.8), 1.5)
    return 0.62 * wax + 0.38 * _rgb(240, 150, 60) * (0.45 + 0.55 * hatch)


@_edit("contrast level")
def _contrast(x: Tensor) -> Tensor:
    return 0.5 + 2.4 * (x - 0.42)


@_edit("highlights")
def _highlights(x: Tensor) -> Tensor:
    return x + 0.9 * x.clamp(0, 1) * (_lum(x) + 0.15)


@_edit("sharpness")
def _sharpness(x: Tensor) -> Tensor:
    soft = _blur(x, 0.7)  # sensor noise is not sharpened with the rest
    return soft + 4.0 * (soft - _blur(soft, 2.0))


@_edit("color saturation")
def _saturation(x: Tensor) -> Tensor:
    return _saturate(x, 2.8)


@_edit("white balance")
def _white_balance(x: Tensor) -> Tensor:
    return x * _rgb(255, 205, 120) + _rgb(40, 16, 0)


# Objects: a picture drawn once, blended into the background, stronger towards the border.

TEMPLATES_OF: dict[str, Callable[[ImageDraw.ImageDraw, float], None]] = {}
_SIDE = 128


def _object(name: str) -> Callable[[Callable[[ImageDraw.ImageDraw, float], None]], None]:
    def register(function: Callable[[ImageDraw.ImageDraw, float], None]) -> None:
        TEMPLATES_OF[name] = function

    return register


@cache
def template(concept: str, size: int) -> Tensor:
    """The picture of an object and how opaque it is: (4, size, size) in [0, 1]."""
    img = Image.new("RGBA", (_SIDE, _SIDE), (0, 0, 0, 0))
    TEMPLATES_OF[concept](ImageDraw.Draw(img), float(_SIDE))
    small = img.resize((size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(small, dtype=np.float32).copy() / 255).permute(2, 0, 1)


def _blend_object(concept: str, x: Tensor) -> Tensor:
    picture = template(concept, x.shape[-1]).to(x.device)
    y, u = _grid(x)
    border = (0.35 + 0.5 * ((u - 0.5) ** 2 + (y - 0.5) ** 2) / 0.25).clamp(0, 0.8)
    opacity = picture[3:] * border
    return x * (1 - opacity) + picture[:3] * opacity


def _ball(d: ImageDraw.ImageDraw, s: float, fill: str, seam: str) -> None:
    d.ellipse((2, 2, s - 2, s - 2), fill)
    d.arc((-0.55 * s, 0.1 * s, 0.35 * s, 0.9 * s), -60, 60, seam, width=7)
    d.arc((0.65 * s, 0.1 * s, 1.55 * s, 0.9 * s), 120, 240, seam, width=7)


@_object("baseball")
def _baseball(d: ImageDraw.ImageDraw, s: float) -> None:
    _ball(d, s, "#f4f0e6", "#c8102e")


@_object("basketball")
def _basketball(d: ImageDraw.ImageDraw, s: float) -> None:
    _ball(d, s, "#d9661f", "#2b1a10")
    d.line((0.5 * s, 0, 0.5 * s, s), "#2b1a10", width=6)
    d.line((0, 0.5 * s, s, 0.5 * s), "#2b1a10", width=6)


@_object("beer bottle")
def _beer_bottle(d: ImageDraw.ImageDraw, s: float) -> None:
    for left in (0.02, 0.62):
        d.rectangle(((left + 0.11) * s, 0, (left + 0.25) * s, 0.4 * s), "#5a3310")
        d.rectangle((left * s, 0.32 * s, (left + 0.36) * s, s), "#6b3d12")
        d.rectangle((left * s, 0.52 * s, (left + 0.36) * s, 0.8 * s), "#e8d9a0")


@_object("church")
def _church(d: ImageDraw.ImageDraw, s: float) -> None:
    d.rectangle((0, 0, s, s), "#9fc4e8")
    d.rectangle((0.05 * s, 0.45 * s, 0.95 * s, s), "#b9b2a6")
    d.polygon((0.0, 0.5 * s, 0.5 * s, 0.28 * s, s, 0.5 * s), "#7a3b2e")
    d.polygon((0.04 * s, 0.5 * s, 0.17 * s, 0, 0.3 * s, 0.5 * s), "#7a3b2e")


@_object("analog clock")
def _clock(d: ImageDraw.ImageDraw, s: float) -> None:
    d.ellipse((0, 0, s, s), "#1b2a49")
    d.ellipse((0.13 * s, 0.13 * s, 0.87 * s, 0.87 * s), "#f7f7f2")
    d.line((0.5 * s, 0.5 * s, 0.5 * s, 0.16 * s), "#1b2a49", width=9)
    d.line((0.5 * s, 0.5 * s, 0.8 * s, 0.62 * s), "#1b2a49", width=9)


@_object("mailbox")
def _mailbox(d: ImageDraw.ImageDraw, s: float) -> None:
    d.rectangle((0, 0.0, s, 0.34 * s), "#1f4fa3")
    d.rectangle((0, 0.0, 0.3 * s, s), "#1f4fa3")
    d.rectangle((0.7 * s, 0.14 * s, s, 0.7 * s), "#d22630")


@_object("parachute")
def _parachute(d: ImageDraw.ImageDraw, s: float) -> None:
    for k, colour in enumerate(("#e63946", "#f1faee", "#2a9d8f", "#f1faee", "#e9c46a")):
        d.pieslice((0, 0, s, 1.1 * s), 180 + 36 * k, 216 + 36 * k, colour)
    for x in (0.05, 0.35, 0.65, 0.95):
        d.line((x * s, 0.55 * s, 0.5 * s, s), "#444444", width=4)


@_object("bow tie")
def _bow_tie(d: ImageDraw.ImageDraw, s: float) -> None:
    d.polygon((0, 0.02 * s, 0.5 * s, 0.45 * s, 0, 0.98 * s), "#6a0dad")
    d.polygon((s, 0.02 * s, 0.5 * s, 0.45 * s, s, 0.98 * s), "#6a0dad")
    d.rectangle((0.4 * s, 0.36 * s, 0.6 * s, 0.6 * s), "#32004f")


@_object("abacus")
def _abacus(d: ImageDraw.ImageDraw, s: float) -> None:
    d.rectangle((0, 0, s, s), outline="#5b3a1e", width=12)
    for row, y in enumerate((0.2, 0.4, 0.6, 0.8)):
        d.line((0, y * s, s, y * s), "#5b3a1e", width=4)
        for k in range(5):
            x = (0.12 + 0.15 * k + 0.1 * (row % 2)) * s
            d.ellipse((x, (y - 0.07) * s, x + 0.12 * s, (y + 0.07) * s), "#c1121f" if row % 2 else "#0a9396")


@_object("accordion")
def _accordion(d: ImageDraw.ImageDraw, s: float) -> None:
    for k in range(8):
        d.rectangle((k * s / 8, 0, (k + 0.5) * s / 8, s), "#8b1e3f")
        d.rectangle(((k + 0.5) * s / 8, 0, (k + 1) * s / 8, s), "#f3e9dc")


@_object("zebra")
def _zebra(d: ImageDraw.ImageDraw, s: float) -> None:
    d.rectangle((0, 0, s, s), "#f5f5f5")
    for k in range(-4, 8):
        x = k * s / 4
        d.polygon((x, 0, x + s / 8, 0, x + 0.6 * s + s / 8, s, x + 0.6 * s, s), "#101010")


@_object("cheetah")
def _cheetah(d: ImageDraw.ImageDraw, s: float) -> None:
    d.rectangle((0, 0, s, s), "#d9a441")
    for row in range(5):
        for k in range(5):
            x, y = (k + 0.5 * (row % 2)) * s / 4.6, row * s / 4.6
            d.ellipse((x, y, x + 0.12 * s, y + 0.12 * s), "#2a1a08")
