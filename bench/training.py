"""The one training loop and the one iterator, in the `Run` that plugins are handed."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from bench import layout, seeds
from bench import precision as precisions
from bench.augment import varied
from bench.batches import Deck
from bench.contracts import Augment, Batch, Budget, BudgetSpent, Images, Meter, Predictor, Submission, Withheld
from bench.gradients import without_gradients
from bench.placement import generator

Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and what they are."""
Artefacts = Callable[[str, Mapping[str, Any], Callable[[], dict[str, Tensor]]], dict[str, Tensor]]


Backward = Callable[[Callable[[], Tensor], Sequence[nn.Parameter]], Any]
"""Called with the loss of a step and the trained parameters; leaves their gradients in ``grad``."""


def warm_cosine(share: float, n: int, warmup: float) -> float:
    """Factor of the peak rate after ``share`` of ``n`` steps: linear over the first ``warmup`` of them, then cosine."""
    step = round(share * n)
    return min(1.0, (step + 1) / max(1.0, warmup * n)) * 0.5 * (1 + math.cos(math.pi * step / n))


def _silent(_done: int, _total: int, _what: str) -> None:
    return None


class Run:
    """What a plugin works with; `bench.contracts.Run` documents every method.

    Args:
        seed: every random number of the run derives from it.
        device: where training happens.
        budget: what may be spent; over it, `BudgetSpent` is raised.
        progress: called as the work goes on.
        artefacts: shares what `artefact` makes; None keeps it to this run.
        on_submit: called with each submission.
        on_spend: called with ``edited`` or ``guesses`` and a count before it is spent; raises `BudgetSpent`.
        entropy: what secrets derive from, beside the seed.
        precision: of training steps, one of `bench.precision.PRECISIONS`.
    """

    def __init__(
        self,
        seed: int,
        device: str | torch.device = "cpu",
        budget: Budget | None = None,
        progress: Progress = _silent,
        artefacts: Artefacts | None = None,
        on_submit: Callable[[Submission], None] | None = None,
        on_spend: Callable[[str, int], None] | None = None,
        entropy: str = "",
        precision: str = "float32",
    ) -> None:
        self.device = torch.device(device)
        self.meter = Meter()
        self.budget = budget or Budget()
        self.submissions: list[Submission] = []
        self.notes: dict[str, Any] = {}
        self.withheld: dict[str, Withheld] = {}
        self._seed = seed
        self._progress = progress
        self._artefacts = artefacts
        self._on_submit = on_submit
        self._on_spend = on_spend
        self._entropy = entropy
        self._precision = precision
        self._started = time.perf_counter()

    def seed(self, name: str) -> int:
        return seeds.derive("run", seed=self._seed, name=name)

    def secret(self, name: str) -> int:
        text = f"{self._entropy}/{self._seed}/{name}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")

    def rng(self, name: str) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed(name))

    def progress(self, done: int, total: int, what: str = "") -> None:
        self._progress(done, total, what)

    def steps(
        self, n: int, *sources: Images, batch: int | Sequence[int] = 64, name: str = "steps"
    ) -> Iterator[tuple[Batch, ...]]:
        sizes = [batch] * len(sources) if isinstance(batch, int) else list(batch)
        decks = []
        for i, source in enumerate(sources if n > 0 else ()):
            if len(source) == 0:
                raise ValueError(f"source {i} of '{name}' has no images")
            decks.append(Deck(source, sizes[i], self.device, self.rng(f"{name}/{i}")))
        for step in range(n):
            yield tuple(deck.deal() for deck in decks)
            self.progress(step + 1, n, name)

    def fit(
        self,
        model: nn.Module,
        loss: Callable[..., Tensor],
        n: int,
        *sources: Images,
        rate: float = 1e-3,
        batch: int | Sequence[int] = 64,
        decay: float | None = None,
        name: str = "fit",
        parameters: Any = None,
        warmup: float = 0.1,
        clip: float = 1.0,
        train_mode: bool = True,
        augment: Augment | None = None,
        optimiser: Callable[[Any], torch.optim.Optimizer] | None = None,
        schedule: Callable[[float], float] | None = None,
        backward: Backward | None = None,
        each: Callable[[int], None] | None = None,
        precision: str | None = None,
    ) -> None:
        if decay is None:
            decay = 0.05 if optimiser is None else 0.0
        kind = precision or self._precision
        if kind not in precisions.PRECISIONS:
            raise ValueError(f"precision={kind!r}, must be one of {', '.join(precisions.PRECISIONS)}")
        model.to(self.device)
        model.train(train_mode)
        if parameters is None:
            own = [p for p in model.parameters() if p.requires_grad]
            parameters = [
                {"params": [p for p in own if p.ndim > 1], "weight_decay": decay},
                {"params": [p for p in own if p.ndim <= 1], "weight_decay": 0.0},
            ]
        stepper = optimiser(parameters) if optimiser else self._adamw(parameters, rate, decay)
        factor = schedule or (lambda share: warm_cosine(share, n, warmup))
        peak = [group["lr"] for group in stepper.param_groups]
        params = [p for group in stepper.param_groups for p in group["params"]]
        rng = generator(self.seed(f"{name}/augment"), self.device)
        autocast = precisions.autocast(kind, self.device)
        last = self.device.type == "cuda" and kind != "float32" and layout.is_convolutional(model)
        resting = without_gradients(model.parameters(), but=params)  # nobody would step along theirs
        with resting, precisions.steps_in(kind), layout.channels_last(model, last):
            for step, sampled in enumerate(self.steps(n, *sources, batch=batch, name=name)):
                if each is not None:
                    each(step)
                for group, lr in zip(stepper.param_groups, peak, strict=True):
                    group["lr"] = lr * factor(step / n)
                batches = sampled
                if augment is not None:
                    batches = tuple(varied(b, augment, rng, source) for b, source in zip(sampled, sources, strict=True))
                if last:
                    batches = tuple(b.with_images(layout.last(b.images)) for b in batches)
                if backward is None:
                    with autocast:
                        value = loss(*batches)
                    stepper.zero_grad(set_to_none=True)
                    value.backward()
                else:
                    stepper.zero_grad(set_to_none=True)
                    with autocast:
                        backward(partial(loss, *batches), params)
                if clip:
                    nn.utils.clip_grad_norm_(params, clip)
                stepper.step()
        model.eval()

    def _adamw(self, parameters: Any, rate: float, decay: float) -> torch.optim.Optimizer:
        """AdamW; on a GPU, all of its step in few kernels."""
        fused = True if self.device.type == "cuda" else None
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=fused)

    def edit(self, images: Tensor, prompt: str, settings: Mapping[str, Any]) -> Tensor:
        return next(iter(self.edits(images, [prompt], settings)))[1]

    def edits(
        self, images: Tensor, prompts: Sequence[str], settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, Tensor]]:
        from bench.editors import engine
        from bench.editors.settings import EditSettings

        left = None if self.budget.edited is None else (self.budget.edited - self.meter.edited) // max(1, len(images))
        paid = list(prompts) if left is None else list(prompts)[: max(0, left)]
        edit = EditSettings.from_json(dict(settings))
        if paid:
            for prompt, keyed in engine.current(edit.editor).candidates(images, paid, edit):
                self._spend("edited", len(images))
                yield prompt, keyed
        if len(paid) < len(prompts):
            raise BudgetSpent(f"edited images: {self.budget.edited}")

    def guess(self, prompt: str) -> None:
        if self.budget.guesses is not None and self.meter.guesses >= self.budget.guesses:
            raise BudgetSpent(f"guesses: {self.budget.guesses}")
        self._spend("guesses", 1)

    def _spend(self, what: str, n: int) -> None:
        if self._on_spend is not None:
            self._on_spend(what, n)
        setattr(self.meter, what, getattr(self.meter, what) + n)

    def note(self, **values: Any) -> None:
        self.notes |= values

    def withhold(self, weights: Mapping[str, Withheld]) -> None:
        self.withheld |= weights

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
def metered(run: Run) -> Iterator[None]:
    """Count every optimiser step in this process on ``run.meter``, and stop at its budget."""

    def before(*_: Any) -> None:
        spent = run.meter.steps
        if spent is None:  # an attack whose steps happen at the judge's
            return
        if run.budget.steps is not None and spent >= run.budget.steps:
            raise BudgetSpent(f"optimiser steps: {run.budget.steps}")
        run.meter.steps = spent + 1

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


def holdout(images: Images, fraction: float, rng: torch.Generator) -> tuple[Images, Images]:
    """``images`` split at random into a part to train on and ``fraction`` of them to choose by."""
    order = torch.randperm(len(images), generator=rng)
    n = round(fraction * len(images))
    return images.subset(order[n:]), images.subset(order[:n])
