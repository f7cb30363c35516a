"""The one training loop: its options against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench.augment import jitter, other_colours, recolour
from bench.contracts import Batch, Images, NoLabels
from bench.training import Run, warm_cosine


class Scale(nn.Module):
    """One weight w; its loss w² / 2 has the gradient w."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([2.0]))


def _loss(model: Scale) -> Tensor:
    return (model.w**2).sum() / 2


def _sgd(rate: float):  # type: ignore[no-untyped-def]
    return lambda params: torch.optim.SGD(params, lr=rate)


@pytest.mark.parametrize("own", [True, False])
def test_an_optimiser_of_ones_own_has_no_decay_that_nobody_asked_for(toy: Images, own: bool) -> None:
    """In Adam or SGD it would be a part of the gradient; AdamW keeps its usual one."""
    model = nn.Linear(2, 2)
    before = model.weight.detach().clone()
    Run(0).fit(model, lambda _: (model.weight * 0).sum(), 3, toy, optimiser=_sgd(0.1) if own else None)
    assert torch.equal(model.weight, before) is own


def test_an_optimiser_and_a_schedule_of_ones_own(toy: Images) -> None:
    """w ← (1 − η f(s)) w for SGD at rate η under the factor f."""
    model, factors = Scale(), [1.0, 0.5, 0.25]
    Run(0).fit(
        model, lambda _: _loss(model), 3, toy, optimiser=_sgd(0.1), schedule=lambda share: factors[round(share * 3)],
        clip=0,
    )  # fmt: skip
    assert model.w.item() == pytest.approx(2.0 * math.prod(1 - 0.1 * f for f in factors))


def test_a_backward_of_ones_own_leaves_the_gradient_that_is_used(toy: Images) -> None:
    model, steps = Scale(), []

    def backward(loss, params) -> None:  # type: ignore[no-untyped-def]
        assert loss().item() == pytest.approx(model.w.item() ** 2 / 2)
        params[0].grad = torch.tensor([1.0])

    Run(0).fit(
        model, lambda _: _loss(model), 2, toy, optimiser=_sgd(0.1), schedule=lambda _: 1.0, backward=backward,
        each=steps.append, clip=0,
    )  # fmt: skip
    assert model.w.item() == pytest.approx(2.0 - 2 * 0.1)
    assert steps == [0, 1]


def test_a_precision_that_is_not_known_is_refused(toy: Images) -> None:
    model = Scale()
    with pytest.raises(ValueError, match="float32, tf32, bf16"):
        Run(0).fit(model, lambda _: _loss(model), 1, toy, precision="float8")
    Run(0).fit(model, lambda _: _loss(model), 1, toy, precision="bf16")


def test_the_rate_rises_and_falls() -> None:
    factors = [warm_cosine(step / 10, 10, 0.2) for step in range(10)]
    assert factors[0] == pytest.approx(0.5)
    assert factors[1] == pytest.approx(0.5 * (1 + math.cos(math.pi / 10)))
    assert factors[1:] == sorted(factors[1:], reverse=True)


def test_labels_that_are_not_there_say_so(toy: Images) -> None:
    batch = toy.unlabelled().take(torch.arange(2))
    assert not batch.labelled
    with pytest.raises(NoLabels, match="ask `labelled`"):
        _ = batch.labels
    labelled = Batch(batch.images, torch.tensor([0, 1]), batch.index).with_images(batch.images * 0)
    assert labelled.labels.tolist() == [0, 1]


class Waits(TorchDispatchMode):
    """Notes what would make the host wait for a GPU, with the meta device in its place.

    That is a copy of a CPU tensor that the host waits for, or a number read from the device. The meta device holds
    no values, so that reading one raises by itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on, self.seen, self.sent = False, [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = kwargs or {}
        tensors = [a for a in args if isinstance(a, Tensor)]
        name = func.overloadpacket.__name__
        if self.on and tensors:
            device = torch.device(kwargs.get("device") or tensors[0].device)
            if name == "_to_copy" and tensors[0].device != device:
                self.sent += 1
                if not kwargs.get("non_blocking"):
                    self.seen.append(name)
            if name in ("_local_scalar_dense", "nonzero", "masked_select") and tensors[0].device.type != "cpu":
                self.seen.append(name)
        return func(*args, **kwargs)


@pytest.mark.parametrize("augment", [jitter, recolour])
@pytest.mark.parametrize("masks", [False, True], ids=["classes", "masks"])
def test_no_step_waits_for_the_device(augment, masks: bool) -> None:  # type: ignore[no-untyped-def]
    """Five steps over three epochs: gather, augmentation, loss, clipping, optimiser and progress."""
    pixels = torch.zeros(10, 3, 8, 8, dtype=torch.uint8)
    source = Images(pixels, torch.zeros(10, 8, 8, dtype=torch.uint8) if masks else torch.zeros(10, dtype=torch.int64))
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    waits = Waits()

    def loss(batch: Batch) -> Tensor:
        out = net(batch.images)
        return F.cross_entropy(out if masks else out.mean((2, 3)), batch.labels)

    def each(step: int) -> None:
        waits.on = step > 0  # images are copied once, before the first step

    with waits:
        Run(0, "meta").fit(net, loss, 5, source, batch=6, augment=augment, each=each)
    assert waits.seen == []
    assert waits.sent >= 2  # the orders of later epochs


def test_a_number_that_is_read_in_a_step_is_noticed() -> None:
    """The test above means something: a loss that is printed raises there."""
    net, source = nn.Linear(48, 1), Images(torch.zeros(4, 3, 4, 4, dtype=torch.uint8))

    def loss(batch: Batch) -> Tensor:
        value = net(batch.images.flatten(1)).mean()
        float(value)
        return value

    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        Run(0, "meta").fit(net, loss, 1, source)


def test_no_source_is_asked_for_no_step() -> None:
    empty = Images(torch.zeros(0, 3, 4, 4, dtype=torch.uint8))
    assert list(Run(0).steps(0, empty)) == []
    with pytest.raises(ValueError, match="source 0 of 'steps' has no images"):
        next(Run(0).steps(1, empty))


def test_a_blur_is_the_binomial_kernel_of_a_quarter_and_a_half() -> None:
    """A white point in black: every image is blurred once, twice or not at all, with kernels of 1/16, 2/16, 4/16."""
    images = torch.full((64, 3, 9, 9), 0.0)
    images[:, :, 4, 4] = 1.0
    out = other_colours(images, torch.Generator().manual_seed(0))
    low, high = out[:, :, 0, 0], out[:, :, 4, 4]
    once = low + (out[:, :, 3, 3] - low) * 4
    assert ((once - high).abs() < 1e-5).all(1).any()
