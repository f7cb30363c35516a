"""The networks of an InstructPix2Pix editor, run on batches. Brooks et al., CVPR 2023, arXiv 2211.09800."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bench.editors.settings import EditSettings
from bench.errors import UserError

_SMALL = 50_000_000  # parameters of the denoiser, below which one image does not fill a processor


class Diffusion:
    """An editor's text encoder, autoencoder, denoiser and scheduler on a device.

    Scheduler, latents and noise are float32 whatever the precision of the networks, so that bfloat16 sees
    the same noise as float32. The text encoder stays float32: it runs once a prompt.

    Args:
        pipeline: a loaded ``StableDiffusionInstructPix2PixPipeline``; its modules are taken over.
        device: where to run.
        dtype: of denoiser and autoencoder. Bfloat16 has the range of float32: nothing overflows in it.
        compiled: whether both are compiled, for each shape anew.
    """

    def __init__(self, pipeline: Any, device: torch.device, dtype: torch.dtype, compiled: bool = False) -> None:
        self.device, self.dtype, self.compiled = device, dtype, compiled
        # Measured on CPUs: in float32 channels last is as fast or faster and gives a row the same bits at every
        # batch shape, which channels first does not; in bfloat16 channels first is a fifth faster.
        plain = device.type == "cpu" and dtype == torch.bfloat16
        self._format: torch.memory_format = torch.contiguous_format if plain else torch.channels_last
        self.unet = self._settled(pipeline.unet, dtype).to(memory_format=self._format)
        self.vae = self._settled(pipeline.vae, dtype).to(memory_format=self._format)
        self.text = self._settled(pipeline.text_encoder, torch.float32)
        if compiled:
            for part in (self.unet, self.vae.encoder, self.vae.decoder):
                part.compile(dynamic=False)
        self.tokenizer, self.scheduler = pipeline.tokenizer, pipeline.scheduler
        self.factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
        self.channels = int(self.vae.config.latent_channels)
        if 2 * self.channels != self.unet.config.in_channels:
            raise UserError(
                f"The editor's denoiser takes {self.unet.config.in_channels} channels, not {2 * self.channels}: "
                "it is not conditioned on an image.",
                "Use an InstructPix2Pix pipeline, or --editor miniature.",
            )
        self.small = sum(p.numel() for p in self.unet.parameters()) < _SMALL
        side = self.unet.config.sample_size
        self.size = int(side if isinstance(side, int) else min(side)) * self.factor
        """Pixels: the side of the images the editor was made for."""

    @property
    def megabytes(self) -> float:
        """Of all weights in memory, in 10^6 bytes."""
        parts = (self.unet, self.vae, self.text)
        return float(sum(p.numel() * p.element_size() for part in parts for p in part.parameters())) / 1e6

    def _settled(self, module: Any, dtype: torch.dtype) -> Any:
        return module.to(device=self.device, dtype=dtype).eval().requires_grad_(False)

    @torch.inference_mode()
    def embed(self, prompt: str) -> Tensor:
        """(L, C) float32: the text encoder's last hidden states; a prompt too long is cut."""
        words = self.tokenizer(
            [prompt],
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        mask = words.attention_mask.to(self.device) if getattr(self.text.config, "use_attention_mask", False) else None
        result: Tensor = self.text(words.input_ids.to(self.device), attention_mask=mask)[0][0].float()
        return result

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 to the mode of its latents, (B, C, S/f, S/f) float32."""
        images = pixels.to(self.device).float() / 255 * 2 - 1
        result: Tensor = self.vae.encode(self._fed(images)).latent_dist.mode().float()
        return result

    @torch.inference_mode()
    def denoise(
        self,
        given: Tensor,
        context: Tensor,
        empty: Tensor,
        generators: Sequence[torch.Generator],
        settings: EditSettings,
    ) -> Tensor:
        """Edit a batch.

        Args:
            given: (B, C, h, w) latents of the images.
            context: (B, L, D) embedding of each row's prompt.
            empty: (L, D) embedding of the empty prompt; used where guidance is on.
            generators: one CPU generator a row; all its noise is drawn from it.
            settings: steps and guidance.

        Returns:
            (B, 3, h f, w f) uint8 on the CPU.
        """
        from diffusers.utils.torch_utils import randn_tensor

        scheduler = copy.deepcopy(self.scheduler)
        scheduler.set_timesteps(settings.steps, device=self.device)
        own = list(generators)
        latents = randn_tensor(given.shape, generator=own, device=self.device, dtype=torch.float32)
        latents = latents * scheduler.init_noise_sigma
        options = {"eta": 0.0, "generator": own}
        taken = inspect.signature(scheduler.step).parameters
        options = {name: value for name, value in options.items() if name in taken}
        if settings.guided:
            nothing = empty.expand_as(context)
            context = torch.cat([context, nothing, nothing])
            given = torch.cat([given, given, torch.zeros_like(given)])
        context = context.to(self.dtype).contiguous()
        for t in scheduler.timesteps:
            noisy = torch.cat([latents] * 3) if settings.guided else latents
            noisy = torch.cat([scheduler.scale_model_input(noisy, t), given], 1)
            out = self.unet(self._fed(noisy), t, encoder_hidden_states=context, return_dict=False)[0].float()
            if settings.guided:
                text, image, none = out.chunk(3)
                out = none + settings.guidance * (text - image) + settings.image_guidance * (image - none)
            latents = scheduler.step(out, t, latents, **options, return_dict=False)[0]
        return self.decode(latents / self.vae.config.scaling_factor)

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) latents, as `encode` gives them, to (B, 3, h f, w f) uint8 on the CPU."""
        images = self.vae.decode(self._fed(latents), return_dict=False)[0].float()
        result: Tensor = ((images * 0.5 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).cpu()
        return result

    @torch.inference_mode()
    def same_bits(self, small: Sequence[int], full: int, guided: bool, size: int) -> list[int]:
        """Those of the batch sizes ``small`` in which rows have the same bits as in a batch of ``full``.

        Tried on random input, with rows from both ends of the full batch. Which kernel runs depends on the
        shape of a batch and not on its values, so that what thousands of random numbers do not tell apart
        are the same sums in the same order. What is compiled is compiled for one shape, and never tried.
        """
        if self.compiled:
            return []
        rng = torch.Generator().manual_seed(0)
        side, times = size // self.factor, 3 if guided else 1
        pixels = torch.randint(0, 256, (full, 3, size, size), dtype=torch.uint8, generator=rng)
        latents = torch.randn(full, 2 * self.channels, side, side, generator=rng).to(self.device)
        context = torch.randn(full, *self.embed("").shape, generator=rng).to(self.device)
        step = self.scheduler.config.num_train_timesteps // 2

        def through(rows: list[int]) -> tuple[Tensor, ...]:
            noisy, words = torch.cat([latents[rows]] * times), torch.cat([context[rows]] * times).to(self.dtype)
            out = self.unet(self._fed(noisy), step, encoder_hidden_states=words, return_dict=False)[0]
            image = self.vae.decode(self._fed(latents[rows, : self.channels]), return_dict=False)[0]
            return *out.chunk(times), image, self.encode(pixels[rows])

        whole = through(list(range(full)))
        match = []
        for n in small:
            rows = [*range(n // 2), *range(full - n + n // 2, full)]
            if all(torch.equal(a[rows], b) for a, b in zip(whole, through(rows), strict=True)):
                match.append(n)
        return match

    def _fed(self, x: Tensor) -> Tensor:
        return x.to(self.dtype).contiguous(memory_format=self._format)


def precision(name: str, device: torch.device) -> torch.dtype:
    """The type that ``float32``, ``bfloat16`` or ``auto`` (bfloat16 where ``device`` computes in it) stands for.

    Raises:
        UserError: none of these.
    """
    if name == "auto":
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    if name not in ("float32", "bfloat16"):
        raise UserError(f"dtype={name!r} is not allowed.", "Use one of float32, bfloat16, auto.")
    return torch.float32 if name == "float32" else torch.bfloat16


def has_bfloat16(device: torch.device) -> bool:
    """Whether ``device`` computes in bfloat16 by itself; where it is emulated it is slower than float32."""
    if device.type == "cuda":
        result: bool = torch.cuda.is_bf16_supported(including_emulation=False)
        return result
    if device.type != "cpu":
        return False
    checks = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return any(check() for check in checks if check is not None)
