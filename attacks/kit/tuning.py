"""What training a locked model again may change, with which optimiser, and which checkpoint it ends at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import models
from bench.contracts import Batch, Classifier, Images, Run
from bench.predictors import Direct
from bench.training import holdout

Augment = Callable[[Tensor, torch.Generator], Tensor]
Group = dict[str, Any]


def cross_entropy(model: Classifier, *batches: Batch) -> Tensor:
    """The mean over batches of the cross-entropy over the K real classes: each side counts the same.

    All go through the model together, so that batch norm sees them as one.
    """
    outputs = model.logits(torch.cat([batch.images for batch in batches]))
    parts = []
    for batch, own in zip(batches, outputs.split([len(batch.images) for batch in batches]), strict=True):
        parts.append(F.cross_entropy(own, batch.labels))
    return torch.stack(parts).mean()


def with_label_noise(images: Images, share: float, k: int, rng: torch.Generator) -> Images:
    """Symmetric noise: ``share`` of the labels (rounded to whole images) become another of the K classes."""
    labels = images.labels.clone()
    at = torch.randperm(len(labels), generator=rng)[: round(share * len(labels))]
    labels[at] = (labels[at] + torch.randint(1, max(2, k), (len(at),), generator=rng)) % k
    return Images(images.pixels, labels)


def held_out(images: Images, share: float, rng: torch.Generator) -> tuple[Images, Images]:
    """``images`` split at random: to train on, and ``share`` of them to choose by; at least one of each."""
    share = min(max(share, 1 / len(images)), 1 - 1 / len(images)) if len(images) > 1 else share
    train, validation = holdout(images, share, rng)
    return (train, validation) if len(train) and len(validation) else (images, images)


def parameter_groups(model: Classifier, layers: str, rate: float, layer_decay: float, new_head: bool) -> list[Group]:
    """Optimiser groups of what is trained, in the form `torch.optim` takes; all else is frozen.

    Args:
        layers: ``all``, ``head``, ``bitfit`` (every bias), ``lora`` (what requires gradients already, and the head),
            ``layer-wise`` (all, the rate times ``layer_decay`` for every block below the head).
        new_head: a head of random weights is trained whatever ``layers`` says.
    """
    head = set(models.head_names(model)) if layers != "all" else set()
    depth = _heights(model) if layers == "layer-wise" else {}
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, p in model.named_parameters():
        own = {
            "head": name in head,
            "bitfit": name.endswith("bias") or (new_head and name in head),
            "lora": p.requires_grad or name in head,
        }.get(layers, True)
        p.requires_grad_(own)
        if own:
            groups.setdefault((rate * layer_decay ** depth.get(name, 0), p.ndim > 1), []).append(p)
    return [{"params": ps, "lr": lr, "weight_decay": 0.05 * matrix} for (lr, matrix), ps in groups.items()]


def _heights(model: Classifier) -> dict[str, int]:
    """Blocks between each parameter and the head, as timm orders them; what timm does not know lies at 0."""
    from timm.models import group_parameters

    net: Any = getattr(model, "net", None)
    if not hasattr(net, "group_matcher"):
        raise TypeError(f"{type(model).__name__} does not say how deep its layers lie")
    order = group_parameters(net, net.group_matcher(coarse=False), reverse=True)
    levels = {level: i for i, level in enumerate(sorted(set(order.values())))}
    return {f"net.{name}": len(levels) - 1 - levels[level] for name, level in order.items()}


def add_adapters(model: Classifier, rank: int, seed: int) -> Any:
    """Low-rank adapters on every convolution and linear layer but the head, in place; `peft`'s handle on them.

    ``handle.merge_and_unload()`` adds them to the weights and leaves an ordinary classifier.
    """
    from peft import LoraConfig, get_peft_model

    head = {name.rpartition(".")[0] for name in models.head_names(model)}
    layers = [n for n, m in model.named_modules() if _takes_adapter(m) and n not in head]
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=layers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        handle: Any = get_peft_model(model, config)  # type: ignore[arg-type]
    for module in model.modules():
        base, down = getattr(module, "base_layer", None), getattr(module, "lora_A", None)
        if isinstance(base, nn.Conv2d) and isinstance(down, nn.ModuleDict):
            for layer in down.values():  # peft takes over stride and padding, but not dilation
                layer.dilation = base.dilation  # type: ignore[assignment]
    return handle


def _takes_adapter(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)


def sharpness_aware(
    loss: Callable[[], Tensor], params: Sequence[nn.Parameter], rho: float = 0.5, eta: float = 0.01
) -> Tensor:
    """Leave in ``grad`` the gradient of adaptive SAM: that at w + ε, ε = ρ T² ∇L / ‖T ∇L‖, T = |w| + η.

    Kwon et al., ICML 2021. Returns the loss at w; the weights are as before.
    """
    value = loss()
    gradients = torch.autograd.grad(value, params, allow_unused=True)
    kept = [p.detach().clone() for p in params]
    with torch.no_grad():
        scaled = [None if g is None else (p.abs() + eta) * g for p, g in zip(params, gradients, strict=True)]  # T ∇L
        norm = torch.stack([s.norm() for s in scaled if s is not None]).norm().clamp_min(1e-12)
        for p, s in zip(params, scaled, strict=True):
            if s is not None:
                p.add_((p.abs() + eta) * s, alpha=float(rho / norm))
    for p in params:
        p.grad = None
    loss().backward()
    with torch.no_grad():
        for p, w in zip(params, kept, strict=True):
            p.copy_(w)
    return value.detach()


@contextmanager
def _statistics_kept(model: nn.Module) -> Iterator[None]:
    """Batch norms use the statistics of the batch but do not remember them: for a pass at weights that are not kept."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [m.momentum for m in norms]
    for m in norms:
        m.momentum = 0.0
    try:
        yield
    finally:
        for m, momentum in zip(norms, before, strict=True):
            m.momentum = momentum


def tune(
    run: Run,
    model: Classifier,
    loss: Callable[..., Tensor],
    n: int,
    *sources: Images,
    groups: list[Group],
    optimiser: str = "adamw",
    batch: int = 64,
    rho: float = 0.5,
    train_mode: bool = True,
    augment: Augment | None = None,
    name: str = "tune",
    each: Callable[[int], None] | None = None,
) -> None:
    """Minimise ``loss(*batches)`` over ``groups`` with AdamW, SGD (momentum 0.9) or adaptive SAM over AdamW.

    Args:
        each: told before every step how many steps are done.
    """
    if optimiser == "adamw":
        done = 0

        def watched(*batches: Batch) -> Tensor:
            nonlocal done
            if each is not None:
                each(done)
            done += 1
            return loss(*batches)

        run.fit(
            model, watched, n, *sources, batch=batch, parameters=groups, train_mode=train_mode, augment=augment,
            name=name,
        )  # fmt: skip
        return
    model.to(run.device).train(train_mode)
    params = [p for group in groups for p in group["params"]]
    base = [group["lr"] for group in groups]
    stepper: torch.optim.Optimizer = (
        torch.optim.SGD(groups, momentum=0.9) if optimiser == "sgd" else torch.optim.AdamW(groups)
    )
    rng = run.rng(f"{name}/augment")
    for step, batches in enumerate(run.steps(n, *sources, batch=batch, name=name)):
        if each is not None:
            each(step)
        factor = min(1.0, (step + 1) / max(1.0, 0.1 * n)) * 0.5 * (1 + math.cos(math.pi * step / n))
        for group, lr in zip(stepper.param_groups, base, strict=True):
            group["lr"] = lr * factor
        if augment is not None:
            batches = tuple(Batch(augment(b.images, rng), b.labels, b.index) for b in batches)
        stepper.zero_grad(set_to_none=True)
        if optimiser == "asam":
            first = True

            def value(batches: tuple[Batch, ...] = batches) -> Tensor:
                nonlocal first
                if first:
                    first = False
                    return loss(*batches)
                with _statistics_kept(model):
                    return loss(*batches)

            sharpness_aware(value, params, rho)
        else:
            loss(*batches).backward()
        nn.utils.clip_grad_norm_(params, 1.0)
        stepper.step()
    model.eval()


class Checkpoints:
    """Copies of a model along a training of ``n`` steps, at the start and at ``count`` equal distances; see `tune`.

    Args:
        plain: makes the copy, an ordinary classifier.
    """

    def __init__(self, plain: Callable[[], Classifier], n: int, count: int = 4) -> None:
        self.plain, self.due = plain, {round(i * n / count) for i in range(count)}
        self.kept: dict[str, Classifier] = {}

    def __call__(self, step: int) -> None:
        if step in self.due:
            self.keep(f"step {step}")

    def keep(self, name: str) -> None:
        """Keep the model as it stands under ``name``."""
        self.kept[name] = self.plain().eval()

    def latest_first(self) -> dict[str, Classifier]:
        """The order in which the rules of `attacks.kit.selection`, which take the first of equals, prefer the longer training."""
        return dict(reversed(self.kept.items()))

    def hand_in(self, run: Run) -> None:
        """Submit every checkpoint, for the judge to choose among (select=oracle)."""
        for name, model in self.kept.items():
            run.submit(Direct(model), checkpoint=name)
