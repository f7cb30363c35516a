"""An InstructPix2Pix editor of the published widths with random weights, which take as long as trained ones.

The widths are those of Stable Diffusion 1.5 with eight input channels (Brooks et al., CVPR 2023, arXiv 2211.09800).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bench import miniature
from bench.editors.loading import PIPELINE, quiet
from bench.editors.settings import EditSettings

Widths = tuple[int, ...]


UNET, VAE, TEXT = (320, 640, 1280, 1280), (128, 256, 512, 512), (768, 12)
"""Widths of denoiser and autoencoder by level; width and layers of the text encoder."""
TINY = {"unet": (32, 64, 64, 64), "vae": (32, 32, 32, 32), "text": (48, 2)}
"""The same shape at widths for a CPU."""


def parts_of(unet: Widths = UNET, vae: Widths = VAE, text: Widths = TEXT) -> dict[str, Any]:
    """Denoiser, autoencoder and text encoder of these widths, by their names in a pipeline."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    width, layers = text
    depth = len(unet) - 1
    return {
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


def save_editor(folder: Path, unet: Widths = UNET, vae: Widths = VAE, text: Widths = TEXT) -> Path:
    """A pipeline of these widths with random weights, in ``folder``; tokenizer and scheduler are the miniature's."""
    torch.manual_seed(0)
    parts = parts_of(unet, vae, text)
    for name, part in parts.items():
        with quiet():
            part.half().save_pretrained(folder / name)
    for name in ("tokenizer", "scheduler", "model_index.json"):
        source = miniature.PACK / "editor" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    assert json.loads((folder / "model_index.json").read_text())["_class_name"] == PIPELINE
    return folder


def flops(settings: EditSettings, size: int, unet: Widths = UNET, vae: Widths = VAE, text: Widths = TEXT) -> float:
    """Floating-point operations of one edit at ``size`` pixels, without its prompt, two for a multiply-add.

    Products of matrices, convolutions and attention count: encoder once, denoiser in each step, decoder once.
    """
    with torch.device("meta"), quiet():
        parts = parts_of(unet, vae, text)
    side, times = size // 2 ** (len(vae) - 1), 3 if settings.guided else 1

    def counted(call: Any) -> float:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            call()
        return float(counter.get_total_flops())

    meta = torch.device("meta")
    latents, words = torch.empty(times, 8, side, side, device=meta), torch.empty(times, 77, text[0], device=meta)
    step = counted(lambda: parts["unet"](latents, torch.empty((), device=meta), encoder_hidden_states=words))
    encoded = counted(lambda: parts["vae"].encoder(torch.empty(1, 3, size, size, device=meta)))
    decoded = counted(lambda: parts["vae"].decoder(latents[:1, :4]))
    return encoded + settings.steps * step + decoded


def images(n: int, size: int) -> Tensor:
    """(N, 3, S, S) uint8 noise."""
    return torch.randint(0, 256, (n, 3, size, size), generator=torch.Generator().manual_seed(0)).byte()


class Stock:
    """The stock pipeline, called image by image.

    Args:
        editor: the folder of a pipeline.
        device, dtype: where and in what it computes.
    """

    def __init__(self, editor: Path, device: str, dtype: str) -> None:
        from diffusers import StableDiffusionInstructPix2PixPipeline

        with quiet():
            self._pipeline: Any = StableDiffusionInstructPix2PixPipeline.from_pretrained(
                editor, safety_checker=None, use_safetensors=True
            ).to(device, getattr(torch, dtype))
        self._pipeline.set_progress_bar_config(disable=True)

    def edit(self, pixels: Tensor, prompt: str, settings: EditSettings) -> list[Any]:
        """The edits of ``pixels`` (N, 3, S, S) uint8 as pictures."""
        return [
            self._pipeline(
                prompt,
                image=Image.fromarray(image),
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance,
                image_guidance_scale=settings.image_guidance,
                generator=torch.Generator().manual_seed(settings.seed),
            ).images[0]
            for image in pixels.permute(0, 2, 3, 1).numpy()
        ]
