"""How fast editing is: the engine against the stock pipeline called image by image.

Run with ``pytest tests/benchmarks --benchmark-only``; compare the ``images_per_second`` of the cases.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image

from bench import miniature
from bench.editors.diffusion import has_bfloat16
from bench.editors.engine import Engine
from bench.editors.loading import quiet
from bench.editors.settings import defaults

N = 16
PROMPT = "with oil pastel"
SETTINGS = defaults("miniature")


def _images(n: int) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()


def _measure(benchmark: Any, edit: Any, n: int) -> None:
    benchmark.extra_info["images"] = n
    benchmark.extra_info["threads"] = torch.get_num_threads()
    benchmark.group = "editing, miniature, 5 steps, guidance off"
    benchmark.pedantic(edit, rounds=5, warmup_rounds=1)
    benchmark.extra_info["images_per_second"] = round(n / benchmark.stats.stats.min, 1)


@pytest.mark.parametrize("n", [N, 64])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_engine(benchmark: Any, dtype: str, n: int) -> None:
    if dtype == "bfloat16" and not has_bfloat16(torch.device("cpu")):
        pytest.skip("this processor does not compute in bfloat16")
    engine, images = Engine("miniature", dtype=dtype), _images(n)
    _measure(benchmark, lambda: engine.edit(images, PROMPT, SETTINGS), n)
    assert engine.edited >= 6 * n  # nothing came from a cache


def test_stock_image_by_image(benchmark: Any) -> None:
    from diffusers import StableDiffusionInstructPix2PixPipeline

    with quiet():
        pipeline: Any = StableDiffusionInstructPix2PixPipeline.from_pretrained(
            miniature.PACK / "editor", safety_checker=None, use_safetensors=True
        ).to(torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    pictures = [Image.fromarray(image) for image in _images(N).permute(0, 2, 3, 1).numpy()]

    def edit() -> list[Any]:
        return [
            pipeline(
                PROMPT,
                image=picture,
                num_inference_steps=SETTINGS.steps,
                guidance_scale=SETTINGS.guidance,
                image_guidance_scale=SETTINGS.image_guidance,
                generator=torch.Generator().manual_seed(SETTINGS.seed),
            ).images[0]
            for picture in pictures
        ]

    _measure(benchmark, edit, N)
