"""What a plugin works with: `Run`, its meters and its submissions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bench.contracts.images import Augment, Batch, Images
from bench.contracts.models import Predictor
from bench.contracts.withheld import Withheld
from bench.threat import Budget


@dataclass
class Meter:
    """What was spent. What cannot be known is None, never 0."""

    steps: int | None = 0
    forward_images: int = 0
    backward_images: int = 0
    queries: int | None = None
    edited: int = 0
    guesses: int = 0
    calls: int = 0
    labelled: int | None = None
    authorised: int | None = None
    leaked: int | None = None
    seconds: float | None = None
    peak_memory_mb: float | None = None

    def reading(self) -> dict[str, Any]:
        """Every meter by name, as it stands."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Submission:
    """A predictor handed in at a reading of the meters."""

    predictor: Predictor
    meter: dict[str, Any]
    note: Mapping[str, Any] = field(default_factory=dict)


class Run(Protocol):
    """What a plugin works with: device, randomness, training, edits, meters. `bench.training.Run` is the one."""

    device: torch.device
    meter: Meter
    budget: Budget

    def seed(self, name: str) -> int:
        """A seed in [0, 2**31) of this run for the purpose ``name``."""
        ...

    def secret(self, name: str) -> int:
        """256 secret bits for the purpose ``name``: they derive from what the store keeps, not from the plan."""
        ...

    def rng(self, name: str) -> torch.Generator:
        """A new CPU generator seeded for the purpose ``name``."""
        ...

    def progress(self, done: int, total: int, what: str = "") -> None:
        """Report progress: ``done`` of ``total`` steps of ``what``."""
        ...

    def steps(
        self, n: int, *sources: Images, batch: int | Sequence[int] = 64, name: str = "steps"
    ) -> Iterator[tuple[Batch, ...]]:
        """``n`` tuples with one shuffled batch of each source, on the device; each batch's index is on the CPU.

        On a GPU the images of a source live as uint8 and are gathered there, unless they would take more than half
        of its free memory. The order is drawn on the CPU, and is the same on every device.

        Args:
            batch: images a batch, for all sources or one number each; at most the source's size.
            name: of the random numbers that shuffle.

        Raises:
            ValueError: a source without images.
        """
        ...

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
        backward: Callable[[Callable[[], Tensor], Sequence[nn.Parameter]], Any] | None = None,
        each: Callable[[int], None] | None = None,
        precision: str | None = None,
    ) -> None:
        """Minimise ``loss(*batches)``: AdamW, linear warm-up, cosine rate, gradient norm clipped.

        Every step counts on the meter. No step waits for a GPU, as long as ``loss`` reads no value from it with
        ``item()``, ``float()`` or ``if``. The model ends in evaluation mode.

        Args:
            model: trained in place, on ``run.device``.
            loss: one batch of each source to a scalar.
            n: optimiser steps.
            rate: peak learning rate.
            batch: as in `steps`.
            decay: weight decay of matrices; vectors have none. None: 0.05 for AdamW, and none for an ``optimiser`` of
                one's own, for which it may be a part of the gradient.
            name: of the random numbers that shuffle and augment.
            parameters: what is trained, as `torch.optim.AdamW` takes it; by default every parameter of ``model`` that
                requires gradients. The rest of ``model`` requires none meanwhile.
            warmup: share of the steps over which the rate rises.
            clip: largest gradient norm; 0: no clipping.
            train_mode: False keeps dropout off and batch-norm statistics frozen.
            augment: applied to every batch of images, with a generator of its own: on the CPU where training is,
                else on the GPU, where its numbers are others.
            optimiser: makes the optimiser from ``parameters``; by default AdamW.
            schedule: share of the steps done, in [0, 1), to the factor of the rate; by default warm-up and cosine.
            backward: in place of ``loss().backward()``: gets the loss as a function and the trained parameters, and
                leaves gradients in ``grad``.
            each: called before every step with the number of steps done.
            precision: ``float32``; ``tf32``, on a GPU; or ``bf16`` for autocast. None: that of the run, which
                `bench run --precision` sets. On a GPU, the two fast ones lay convolutions out channels last.

        Raises:
            ValueError: another precision, or a source without images.
            BudgetSpent: the budget of steps is spent.
        """
        ...

    def edit(self, images: Tensor, prompt: str, settings: Mapping[str, Any]) -> Tensor:
        """``images`` (N, 3, H, W) after the edit ``prompt``, blended and rounded as ``settings`` say; metered.

        Raises:
            BudgetSpent: the budget does not cover the images.
        """
        ...

    def edits(
        self, images: Tensor, prompts: Sequence[str], settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, Tensor]]:
        """`edit` for many prompts over the same images: each prompt with the edited images, lazily."""
        ...

    def guess(self, prompt: str) -> None:
        """Count ``prompt`` as tried.

        Raises:
            BudgetSpent: the budget of guesses is spent.
        """
        ...

    def note(self, **values: Any) -> None:
        """Keep JSON values about the lock in the record, as `Record.lock_notes`."""
        ...

    def withhold(self, weights: Mapping[str, Withheld]) -> None:
        """Hand over what the lock's classifier lacks, by parameter: it becomes the rightful user's key.

        It never ships, and no attack sees it. `bench.contracts.withheld.difference` finds it.
        """
        ...

    def submit(self, predictor: Predictor, **note: Any) -> None:
        """Hand in ``predictor`` at the present reading of the meters; the judge scores it later.

        Args:
            note: JSON values kept beside its point of the curve.
        """
        ...

    def artefact(
        self, name: str, inputs: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """``make()``, or the tensors of an earlier run with equal ``inputs`` (JSON) and the same victim and code."""
        ...
