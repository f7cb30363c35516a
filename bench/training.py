"""Steps and fit: the one training loop, and the `Run` that plugins are handed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from bench import seeds
from bench.contracts import Batch, Budget, BudgetSpent, Images, Meter, Predictor, Submission

Progress = Callable[[int, int, str], None]
Artefacts = Callable[[str, Mapping[str, Any], Callable[[], dict[str, Tensor]]], dict[str, Tensor]]


def _silent(_done: int, _total: int, _what: str) -> None:
    return None


class Run:
    """What a plugin works with; see `bench.contracts.Run`.

    Args:
        seed: every random number of the run derives from it.
        device: where training happens.
        budget: what may be spent; over it, `BudgetSpent` is raised.
        progress: told (done, total, what).
        artefacts: shares what `artefact` makes; None keeps it to this run.
        on_submit: told of each submission as it is made.
    """

    def __init__(
        self,
        seed: int,
        device: str | torch.device = "cpu",
        budget: Budget | None = None,
        progress: Progress = _silent,
        artefacts: Artefacts | None = None,
        on_submit: Callable[[Submission], None] | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.meter = Meter()
        self.budget = budget or Budget()
        self.submissions: list[Submission] = []
        self.notes: dict[str, Any] = {}
        self._seed = seed
        self._progress = progress
        self._artefacts = artefacts
        self._on_submit = on_submit
        self._started = time.perf_counter()
        self._images: dict[int, tuple[Tensor, Tensor | None]] = {}

    def seed(self, name: str) -> int:
        return seeds.derive("run", seed=self._seed, name=name)

    def rng(self, name: str) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed(name))

    def progress(self, done: int, total: int, what: str = "") -> None:
        self._progress(done, total, what)

    def steps(
        self, n: int, *sources: Images, batch: int | Sequence[int] = 64, name: str = "steps"
    ) -> Iterator[tuple[Batch, ...]]:
        sizes = [batch] * len(sources) if isinstance(batch, int) else list(batch)
        rngs = [self.rng(f"{name}/{i}") for i in range(len(sources))]
        queues: list[Tensor] = [torch.empty(0, dtype=torch.int64) for _ in sources]
        for step in range(n):
            out = []
            for i, source in enumerate(sources):
                if len(source) == 0:
                    raise ValueError(f"source {i} of '{name}' has no images")
                size = min(sizes[i], len(source))
                while len(queues[i]) < size:
                    queues[i] = torch.cat([queues[i], torch.randperm(len(source), generator=rngs[i])])
                at, queues[i] = queues[i][:size], queues[i][size:]
                out.append(self._on_device(source.take(at)))
            yield tuple(out)
            self.progress(step + 1, n, name)

    def _on_device(self, batch: Batch) -> Batch:
        if self.device.type == "cpu":
            return batch
        labels = None if batch.labels is None else batch.labels.to(self.device)
        return Batch(batch.images.to(self.device), labels, batch.index)

    def fit(
        self,
        model: nn.Module,
        loss: Callable[..., Tensor],
        n: int,
        *sources: Images,
        rate: float = 1e-3,
        batch: int | Sequence[int] = 64,
        decay: float = 0.05,
        name: str = "fit",
        parameters: Any = None,
        warmup: float = 0.1,
        clip: float = 1.0,
        train_mode: bool = True,
        augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    ) -> None:
        """Minimise ``loss(*batches)``: AdamW, linear warm-up, cosine rate, gradient norm clipped.

        Args:
            parameters: what is trained, as `torch.optim.AdamW` takes it; by default every parameter of
                ``model`` that requires gradients, without weight decay on vectors. Those of ``model`` that are
                not among them require none until the training ends.
            warmup: share of the steps over which the rate rises.
            train_mode: False keeps dropout off and batch-norm statistics frozen.
            augment: applied to every batch of images, with a generator of its own.
        """
        model.to(self.device)
        model.train(train_mode)
        if parameters is None:
            own = [p for p in model.parameters() if p.requires_grad]
            parameters = [
                {"params": [p for p in own if p.ndim > 1], "weight_decay": decay},
                {"params": [p for p in own if p.ndim <= 1], "weight_decay": 0.0},
            ]
        optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
        base = [group["lr"] for group in optimiser.param_groups]
        params = [p for group in optimiser.param_groups for p in group["params"]]
        rng = self.rng(f"{name}/augment")
        with _without_gradients(model, but=params):
            for step, batches in enumerate(self.steps(n, *sources, batch=batch, name=name)):
                factor = min(1.0, (step + 1) / max(1.0, warmup * n)) * 0.5 * (1 + math.cos(math.pi * step / n))
                for group, lr in zip(optimiser.param_groups, base, strict=True):
                    group["lr"] = lr * factor
                if augment is not None:
                    batches = tuple(Batch(augment(b.images, rng), b.labels, b.index) for b in batches)
                value = loss(*batches)
                optimiser.zero_grad(set_to_none=True)
                value.backward()
                if clip:
                    nn.utils.clip_grad_norm_(params, clip)
                optimiser.step()
        model.eval()

    def edit(self, images: Tensor, prompt: str, settings: Mapping[str, Any]) -> Tensor:
        return next(iter(self.edits(images, [prompt], settings)))[1]

    def edits(
        self, images: Tensor, prompts: Sequence[str], settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, Tensor]]:
        from bench.editors import session
        from bench.editors.settings import EditSettings

        left = None if self.budget.edited is None else (self.budget.edited - self.meter.edited) // max(1, len(images))
        paid = list(prompts) if left is None else list(prompts)[: max(0, left)]
        wanted = EditSettings.from_json(dict(settings))
        if paid:
            for prompt, keyed in session.engine(wanted.editor).candidates(images, paid, wanted):
                self.meter.edited += len(images)
                yield prompt, keyed
        if len(paid) < len(prompts):
            raise BudgetSpent(f"edited images: {self.budget.edited}")

    def guess(self, prompt: str) -> None:
        if self.budget.guesses is not None and self.meter.guesses >= self.budget.guesses:
            raise BudgetSpent(f"guesses: {self.budget.guesses}")
        self.meter.guesses += 1

    def note(self, **values: Any) -> None:
        self.notes |= values

    def submit(self, predictor: Predictor, **note: Any) -> None:
        self.meter.seconds = round(time.perf_counter() - self._started, 3)
        submission = Submission(predictor, self.meter.reading(), note)
        self.submissions.append(submission)
        if self._on_submit is not None:
            self._on_submit(submission)

    def artefact(
        self, name: str, inputs: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        return make() if self._artefacts is None else self._artefacts(name, inputs, make)


@contextmanager
def _without_gradients(model: nn.Module, but: Sequence[Tensor]) -> Iterator[None]:
    """No gradients for the parameters of ``model`` but those listed: nobody would step along them."""
    kept = {id(p) for p in but}
    spared = [p for p in model.parameters() if p.requires_grad and id(p) not in kept]
    for p in spared:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in spared:
            p.requires_grad_(True)


@contextmanager
def metered(run: Run) -> Iterator[None]:
    """Count every optimiser step in this process on ``run.meter``, and stop at its budget."""

    def before(*_: Any) -> None:
        if run.budget.steps is not None and run.meter.steps >= run.budget.steps:
            raise BudgetSpent(f"optimiser steps: {run.budget.steps}")
        run.meter.steps += 1

    handle = register_optimizer_step_pre_hook(before)
    try:
        yield
    finally:
        handle.remove()


def count_images(model: nn.Module, meter: Meter) -> None:
    """Meter the images that go forward and backward through ``model``, copies of it included."""

    def after(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        n = len(inputs[0])
        meter.forward_images += n
        if isinstance(output, Tensor) and output.requires_grad:

            def backward(_gradient: Tensor) -> None:
                meter.backward_images += n

            output.register_hook(backward)

    counted = getattr(model, "passed", model)  # features() and embed() do not go through forward()
    counted.register_forward_hook(after)


def jitter(images: Tensor, rng: torch.Generator) -> Tensor:
    """``images`` each moved by up to 2 pixels of 32, turned by up to 10°, scaled by up to 10 %; edges repeat."""
    n = len(images)
    u = (torch.rand((n, 4), generator=rng) * 2 - 1).to(images.device)
    angle, scale = u[:, 0] * (math.pi / 18), 1 + 0.1 * u[:, 1]
    cos, sin = scale * angle.cos(), scale * angle.sin()
    move = u[:, 2:] * (2 * 2 / 32)
    theta = torch.stack([torch.stack([cos, -sin, move[:, 0]], 1), torch.stack([sin, cos, move[:, 1]], 1)], 1)
    grid = nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def recolour(images: Tensor, rng: torch.Generator) -> Tensor:
    """`jitter`, then colours that do not matter: what a victim needs to carry over to another domain.

    Brightness becomes a blend between two random colours an image, at least 0.35 apart on average; half of the
    images are blurred (3×3 binomial, once or twice). A quarter keeps its own colours.
    """
    images = jitter(images, rng)
    n = len(images)
    u = torch.rand((n, 2, 3, 1, 1), generator=rng).to(images.device)
    dice = torch.rand((n, 4, 1, 1, 1), generator=rng).to(images.device)
    low, high = u[:, 0], u[:, 1]
    close = (low - high).abs().mean(1, keepdim=True) < 0.35
    dark, light = 0.3 * low, 0.7 + 0.3 * high
    swap = dice[:, 3] < 0.5
    low = torch.where(close, torch.where(swap, light, dark), low)
    high = torch.where(close, torch.where(swap, dark, light), high)
    grey = images.mean(1, keepdim=True)
    own = (dice[:, 0] < 0.25).float()
    out = own * images + (1 - own) * (low + (high - low) * grey)
    soft = _binomial(out)
    softer = _binomial(soft)
    blurred = torch.where(dice[:, 2] < 0.5, soft, softer)
    return torch.where(dice[:, 1] < 0.5, blurred, out).clamp(0, 1)


def _binomial(images: Tensor) -> Tensor:
    """3×3 binomial blur, edges repeated."""
    side = torch.tensor([0.25, 0.5, 0.25], device=images.device)
    kernel = (side[:, None] * side[None, :]).expand(images.shape[1], 1, 3, 3)
    padded = nn.functional.pad(images, (1, 1, 1, 1), mode="replicate")
    return nn.functional.conv2d(padded, kernel, groups=images.shape[1])


def holdout(images: Images, fraction: float, rng: torch.Generator) -> tuple[Images, Images]:
    """``images`` split at random into a part to train on and ``fraction`` of them to choose by."""
    order = torch.randperm(len(images), generator=rng)
    n = round(fraction * len(images))
    return images.subset(order[n:]), images.subset(order[:n])
