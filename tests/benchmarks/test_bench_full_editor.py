"""How fast editing is at full size: an InstructPix2Pix editor of the published widths, with random weights.

Run with ``pytest tests/benchmarks/test_bench_full_editor.py --benchmark-only`` on a machine with an accelerator; it
is skipped elsewhere. Random weights take as long as trained ones. The widths are those of Stable Diffusion 1.5 with
eight input channels (Brooks et al., CVPR 2023, arXiv 2211.09800); the settings are the engine's for such an editor:
256 × 256 pixels, 5 steps, guidance 4.5 and 1.5.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from bench import miniature
from bench.editors.engine import Engine
from bench.editors.loading import PIPELINE, quiet
from bench.editors.settings import defaults

SIZE, PROMPT = 256, "with oil pastel"
UNET, VAE, TEXT = (320, 640, 1280, 1280), (128, 256, 512, 512), (768, 12)

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="a full-size editor needs an accelerator")


def save_editor(folder: Path, unet: tuple[int, ...] = UNET, vae: tuple[int, ...] = VAE, text: Any = TEXT) -> Path:
    """A pipeline of these widths with random weights, in ``folder``; tokenizer and scheduler are the miniature's."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    width, layers = text
    depth = len(unet) - 1
    parts: dict[str, Any] = {
        "unet": UNet2DConditionModel(
            in_channels=8,
            sample_size=64,
            block_out_channels=unet,
            down_block_types=(*["CrossAttnDownBlock2D"] * depth, "DownBlock2D"),
            up_block_types=("UpBlock2D", *["CrossAttnUpBlock2D"] * depth),
            cross_attention_dim=width,
            attention_head_dim=8,
        ),
        "vae": AutoencoderKL(
            sample_size=512,
            block_out_channels=vae,
            down_block_types=["DownEncoderBlock2D"] * len(vae),
            up_block_types=["UpDecoderBlock2D"] * len(vae),
            layers_per_block=2,
        ),
        "text_encoder": CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408,
                hidden_size=width,
                intermediate_size=4 * width,
                num_hidden_layers=layers,
                num_attention_heads=12,
                projection_dim=width,
            )
        ),
    }
    for name, part in parts.items():
        with quiet():
            part.half().save_pretrained(folder / name)
    for name in ("tokenizer", "scheduler", "model_index.json"):
        given = miniature.PACK / "editor" / name
        (shutil.copytree if given.is_dir() else shutil.copy)(given, folder / name)
    assert json.loads((folder / "model_index.json").read_text())["_class_name"] == PIPELINE
    return folder


def _images(n: int) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0)).byte()


def _measure(benchmark: Any, edit: Any, n: int, rounds: int = 3) -> None:
    benchmark.group = f"editing, full size, {SIZE} pixels, 5 steps, guidance on, {torch.cuda.get_device_name()}"
    benchmark.extra_info["images"] = n
    torch.cuda.reset_peak_memory_stats()
    benchmark.pedantic(edit, rounds=rounds, warmup_rounds=1)
    benchmark.extra_info["images_per_second"] = round(n / benchmark.stats.stats.min, 2)
    benchmark.extra_info["peak_gigabytes"] = round(torch.cuda.max_memory_allocated() / 1e9, 1)


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_editor(tmp_path_factory.mktemp("editor"))


@pytest.mark.parametrize("n", [16, 64])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_engine(benchmark: Any, editor: Path, dtype: str, n: int) -> None:
    engine, images = Engine(str(editor), "cuda", dtype), _images(n)
    _measure(benchmark, lambda: engine.edit(images, PROMPT, defaults(str(editor))), n)
    assert engine.edited >= 4 * n  # nothing came from a cache


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_stock_image_by_image(benchmark: Any, editor: Path, dtype: str) -> None:
    from diffusers import StableDiffusionInstructPix2PixPipeline

    n, settings = 8, defaults(str(editor))
    with quiet():
        pipeline: Any = StableDiffusionInstructPix2PixPipeline.from_pretrained(
            editor, safety_checker=None, use_safetensors=True
        ).to("cuda", getattr(torch, dtype))
    pipeline.set_progress_bar_config(disable=True)
    pictures = [Image.fromarray(image) for image in _images(n).permute(0, 2, 3, 1).numpy()]

    def edit() -> list[Any]:
        return [
            pipeline(
                PROMPT,
                image=picture,
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance,
                image_guidance_scale=settings.image_guidance,
                generator=torch.Generator().manual_seed(settings.seed),
            ).images[0]
            for picture in pictures
        ]

    _measure(benchmark, edit, n)
