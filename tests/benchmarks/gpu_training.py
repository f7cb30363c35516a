"""A training step of VGG-13: `Run.fit` against a plain DataLoader loop, and against a bare loop on the device.

All three gather, normalise, jitter, train and clip the same, with AdamW, in the same precision. The plain loop does
the first three in the workers of a DataLoader, image by image. Run by `gpu.sh`; by itself:
``python tests/benchmarks/gpu_training.py [--size small] --out DIR``.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from gpu_lines import Lines, arguments, seconds
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from bench import determinism, layout, models
from bench.augment import jitter
from bench.contracts import Batch, Classifier, Images, Spec
from bench.precision import autocast
from bench.training import Run, metered

SIDE, CLASSES, WORKERS = 64, 10, 4
MODELS = {True: "VGG-13", False: "miniature CNN"}


class Pictures(Dataset[tuple[Tensor, Tensor]]):
    """Images as a script would hand them to a DataLoader: each is normalised and varied by itself."""

    def __init__(self, pixels: Tensor, labels: Tensor) -> None:
        self.pixels, self.labels, self.rng = pixels, labels, torch.Generator().manual_seed(0)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, at: int) -> tuple[Tensor, Tensor]:
        return jitter(self.pixels[at : at + 1].float() / 255, self.rng)[0], self.labels[at]


def ours(model: Classifier, data: Images, steps: int, batch: int, device: str, precision: str) -> None:
    """The steps of a plugin, meters and progress included."""
    run = Run(0, device, precision=precision)

    def loss(b: Batch) -> Tensor:
        return F.cross_entropy(model(b.images), b.labels)

    with metered(run):
        run.fit(model, loss, steps, data, batch=batch, augment=jitter)


def plain(model: Classifier, loader: Iterator[list[Tensor]], steps: int, device: str, precision: str) -> None:
    """A script's loop over a DataLoader, with torch's default optimiser."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()
    for _ in range(steps):
        images, labels = (part.to(device, non_blocking=True) for part in next(loader))
        _step(model, optimiser, images, labels, device, precision)


def bare(
    model: Classifier, pixels: Tensor, labels: Tensor, steps: int, batch: int, device: str, precision: str
) -> None:
    """A loop by hand with everything on the device."""
    on_gpu = device == "cuda"
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=on_gpu or None)
    rng = torch.Generator(device).manual_seed(0)
    with layout.channels_last(model, on_gpu and precision != "float32"):
        model.train()
        for _ in range(steps):
            at = torch.randint(0, len(pixels), (batch,), device=device, generator=rng)
            images = jitter(pixels[at].float() / 255, rng)
            if on_gpu and precision != "float32":
                images = layout.last(images)
            _step(model, optimiser, images, labels[at], device, precision)


def _step(
    model: nn.Module, optimiser: torch.optim.Optimizer, images: Tensor, labels: Tensor, device: str, precision: str
) -> None:
    with autocast(precision, torch.device(device)):
        loss = F.cross_entropy(model(images), labels)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()


def _endless(loader: DataLoader[tuple[Tensor, Tensor]]) -> Iterator[list[Tensor]]:
    while True:
        yield from loader


def main() -> None:
    """Measure; the three loops of a setting follow one another in one process."""
    full, out, device = arguments(__doc__ or "")
    determinism.deterministic(device)  # as plugins run
    if not full:
        torch.set_num_threads(1)
    lines = Lines(out / "training.jsonl", device)
    n, steps = (8192, 60) if full else (64, 2)
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (n, 3, SIDE, SIDE), dtype=torch.uint8, generator=rng)
    labels = torch.randint(0, CLASSES, (n,), generator=rng)
    data, there = Images(pixels, labels), (pixels.to(device), labels.to(device))
    for precision in ("float32", "bf16") if full else ("float32",):
        for batch in (32, 256) if full else (4, 8):
            spec = Spec(SIDE, tuple(f"class {i}" for i in range(CLASSES)))
            model = models.build("vgg13" if full else "cnn", spec, weights="random").to(device)
            loader = DataLoader(
                Pictures(pixels, labels),
                batch_size=batch,
                shuffle=True,
                num_workers=WORKERS if full else 1,
                pin_memory=device == "cuda",
                persistent_workers=True,
                drop_last=True,
            )
            batches = _endless(loader)
            for name, call in {
                "ours": lambda m=model, b=batch, p=precision: ours(m, data, steps, b, device, p),
                "bare": lambda m=model, b=batch, p=precision: bare(m, *there, steps, b, device, p),
                "plain": lambda m=model, s=batches, p=precision: plain(m, s, steps, device, p),
            }.items():
                call()  # warms up
                took = seconds(call, device, times=3 if full else 1) / steps
                lines.add(
                    "step", model=MODELS[full], loop=name, precision=precision, batch=batch, milliseconds=took * 1e3
                )
            del batches, loader


if __name__ == "__main__":
    main()
