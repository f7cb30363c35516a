"""What training a locked model again may change, adaptive SAM, and the checkpoints of a training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import models
from bench.contracts import IGNORE, Batch, Classifier, Images, Run
from bench.parameters import network
from bench.predictors import Direct
from bench.training import Backward, holdout

Group = dict[str, Any]


def cross_entropy(model: Classifier, *batches: Batch) -> Tensor:
    """The mean over batches of the cross-entropy over the K real classes: each side counts the same.

    All go through the model together, so that batch norm sees them as one.
    """
    logits = model.logits(torch.cat([batch.images for batch in batches]))
    parts = logits.split([len(batch.images) for batch in batches])
    losses = [F.cross_entropy(part, batch.labels) for part, batch in zip(parts, batches, strict=True)]
    return torch.stack(losses).mean()


def with_label_noise(images: Images, share: float, k: int, rng: torch.Generator) -> Images:
    """Symmetric noise: ``share`` of the labels (rounded to whole images or pixels) become another of the K classes."""
    labels = images.labels.clone()
    flat = labels.view(-1)
    judged = torch.nonzero(flat != IGNORE).flatten()
    at = judged[torch.randperm(len(judged), generator=rng)[: round(share * len(judged))]]
    flat[at] = (flat[at] + torch.randint(1, max(2, k), (len(at),), generator=rng)) % k
    return Images(images.pixels, labels) if labels.ndim == 1 else images.with_masks(labels)


def split(images: Images, share: float, rng: torch.Generator) -> tuple[Images, Images]:
    """``images`` split at random: to train on, and ``share`` of them to choose by; at least one of each."""
    share = min(max(share, 1 / len(images)), 1 - 1 / len(images)) if len(images) > 1 else share
    train, validation = holdout(images, share, rng)
    return (train, validation) if len(train) and len(validation) else (images, images)


def parameter_groups(
    model: Classifier, layers: str, rate: float, layer_decay: float, new_head: bool, decay: float = 0.05
) -> list[Group]:
    """Optimiser groups of what is trained, in the form `torch.optim` takes; all else is frozen.

    Args:
        layers: ``all``, ``head``, ``bitfit`` (every bias), ``lora`` (what requires gradients already, and the head),
            ``layer-wise`` (all, the rate times ``layer_decay`` for every block below the head).
        new_head: a head of random weights is trained whatever ``layers`` says.
        decay: weight decay of matrices: apart from the gradient in AdamW, a part of it in SGD.
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
    return [{"params": ps, "lr": lr, "weight_decay": decay * matrix} for (lr, matrix), ps in groups.items()]


def _heights(model: Classifier) -> dict[str, int]:
    """Blocks between each parameter and the head, as timm orders them; what timm does not know lies at 0."""
    from timm.models import group_parameters

    prefix, inside = network(model)
    net: Any = getattr(inside, "net", None)
    if not hasattr(net, "group_matcher"):
        raise TypeError(f"{type(model).__name__} does not say how deep its layers lie")
    order = group_parameters(net, net.group_matcher(coarse=False), reverse=True)
    levels = {level: i for i, level in enumerate(sorted(set(order.values())))}
    return {f"{prefix}net.{name}": len(levels) - 1 - levels[level] for name, level in order.items()}


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


def sharpness_aware(model: nn.Module, rho: float = 0.5, eta: float = 0.01) -> Backward:
    """Adaptive SAM as the ``backward`` of `bench.contracts.Run.fit`: the gradient at w + ε, the weights as before.

    ε = ρ T² ∇L / ‖T ∇L‖, T = |w| + η. Batch norms do not remember the pass at w + ε. Kwon et al., ICML 2021.

    Args:
        model: whose batch norms the loss passes through.
        rho: ρ, the radius.
        eta: η, added to the magnitude of a weight.
    """

    def backward(loss: Callable[[], Tensor], params: Sequence[nn.Parameter]) -> None:
        gradients = torch.autograd.grad(loss(), params, allow_unused=True)
        weights = [p.detach().clone() for p in params]
        with torch.no_grad():
            steps = [None if g is None else (p.abs() + eta) * g for p, g in zip(params, gradients, strict=True)]  # T ∇L
            norm = torch.stack([s.norm() for s in steps if s is not None]).norm().clamp_min(1e-12)
            for p, s in zip(params, steps, strict=True):
                if s is not None:
                    p.add_((p.abs() + eta) * s, alpha=float(rho / norm))
        for p in params:
            p.grad = None
        with models.frozen_statistics(model):
            loss().backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for p, w in zip(params, weights, strict=True):
                p.copy_(w)

    return backward


class Checkpoints:
    """Copies of a model along a training of ``n`` steps: at the start and at ``count`` equal distances.

    An object is the ``each`` of `bench.contracts.Run.fit`.

    Args:
        copy: gives the model as it stands, as an ordinary classifier.
        n: steps of the training.
        count: distances.

    Attributes:
        models: the copies by name, in order.
    """

    def __init__(self, copy: Callable[[], Classifier], n: int, count: int = 4) -> None:
        self._copy, self._marks = copy, {round(i * n / count) for i in range(count)}
        self.models: dict[str, Classifier] = {}

    def __call__(self, step: int) -> None:
        """Save the model if ``step`` is a mark."""
        if step in self._marks:
            self.save(f"step {step}")

    def save(self, name: str) -> None:
        """Copy the model as it stands, under ``name``."""
        self.models[name] = self._copy().eval()

    def latest_first(self) -> dict[str, Classifier]:
        """Latest first: the rules of `attacks.kit.selection` take the first of equals, so the longer training wins."""
        return dict(reversed(self.models.items()))

    def submit(self, run: Run) -> None:
        """Submit every checkpoint, for the judge to choose among (select=oracle)."""
        for name, model in self.models.items():
            run.submit(Direct(model), checkpoint=name)
