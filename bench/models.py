"""timm models behind `Classifier`: a JSON spec and a safetensors file rebuild each."""

from __future__ import annotations

import copy
import importlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from bench.contracts import Classifier, EditStage, Spec
from bench.errors import UserError
from bench.miniature import PACK
from bench.miniature.public import PUBLIC


class TimmClassifier(Classifier):
    """A timm classifier with normalisation inside.

    Args:
        spec: ``name`` and ``kwargs`` for `timm.create_model`, ``k`` real classes, ``extra`` further outputs,
            ``size`` of the images it takes (others are resized, bicubic), ``mean`` and ``std`` in [0, 1] units;
            ``hidden`` widths of layers before the last, none by default.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.spec = copy.deepcopy(spec)
        self.k, self.extra = int(spec["k"]), int(spec.get("extra", 0))
        hidden = list(spec.get("hidden", ()))
        outputs = self.k + self.extra
        net: Any = timm.create_model(spec["name"], num_classes=0 if hidden else outputs, **spec.get("kwargs", {}))
        self.net: Any = net
        self.top = (
            _perceptron([getattr(net, "head_hidden_size", net.num_features), *hidden, outputs]) if hidden else None
        )
        self.register_buffer("mean", torch.tensor(spec["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec["std"]).view(1, 3, 1, 1), persistent=False)
        self.passed = nn.Identity()  # every embedding goes through here: where images are counted
        stages: Any = self.net.feature_info
        self._stages = [self.net.get_submodule(info["module"]) for info in stages]

    def _prepare(self, images: Tensor) -> Tensor:
        size = int(self.spec["size"])
        if images.shape[-1] != size or images.shape[-2] != size:
            images = F.interpolate(images, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
        return (images - self.mean) / self.std

    def _embed(self, images: Tensor, edit_stage: EditStage | None, kept: list[Tensor] | None) -> Tensor:
        hooks = []

        def at(i: int) -> Any:
            def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
                out = output if edit_stage is None else edit_stage(i, output)
                if kept is not None:
                    kept.append(out)
                return out

            return hook

        if edit_stage is not None or kept is not None:
            hooks = [stage.register_forward_hook(at(i)) for i, stage in enumerate(self._stages)]
        try:
            maps = self.net.forward_features(self._prepare(images))
            return self.passed(self.net.forward_head(maps, pre_logits=True))
        finally:
            for hook in hooks:
                hook.remove()

    def embed(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        return self._embed(images, edit_stage, None)

    def head(self, embedding: Tensor) -> Tensor:
        out: Tensor = self.last(embedding)
        return out

    @property
    def last(self) -> Any:
        """The layer, or layers, from `embed` to the outputs."""
        return self.net.get_classifier() if self.top is None else self.top

    def forward(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        return self.head(self._embed(images, edit_stage, None))

    def features(self, images: Tensor, edit_stage: EditStage | None = None) -> list[Tensor]:
        kept: list[Tensor] = []
        self._embed(images, edit_stage, kept)
        return kept


def _perceptron(widths: list[int]) -> nn.Sequential:
    """Linear layers with ReLU and dropout between them: the d–256–256–K head of the non-transferable family."""
    layers: list[nn.Module] = []
    for into, out in pairwise(widths):
        layers += [nn.Linear(into, out), nn.ReLU(), nn.Dropout(0.5)]
    return nn.Sequential(*layers[:-2])


def rebuild(spec: dict[str, Any], state: dict[str, Tensor] | None = None) -> Classifier:
    """The classifier of a JSON spec, with weights ``state`` where given.

    A spec with ``class``: ``"module:Class"`` is rebuilt as ``Class(spec)``; without, it is a `TimmClassifier`.
    """
    module, _, name = spec.get("class", f"{__name__}:TimmClassifier").partition(":")
    model: Classifier = getattr(importlib.import_module(module), name)(spec)
    if not isinstance(model, Classifier):
        raise TypeError(f"{spec['class']} is no Classifier")
    if state is not None:
        model.load_state_dict(state)
    return model.eval()


def load(folder: Path, spec: dict[str, Any]) -> Classifier:
    """The classifier saved as ``folder/classifier.safetensors``."""
    return rebuild(spec, load_file(folder / "classifier.safetensors"))


def check(name: str) -> None:
    """Raise `UserError` unless ``name`` is a model of the pack or of timm, perhaps with a head as ``:256-256``."""
    name, _, hidden = name.partition(":")
    if hidden and not all(part.isdigit() and int(part) > 0 for part in hidden.split("-")):
        raise UserError(f"the head '{hidden}' of model '{name}' is no list of widths.", "Write e.g. vgg13_bn:256-256.")
    if name not in PUBLIC and name not in timm.list_models():
        near = timm.list_models(f"*{name}*")[:3]
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise UserError(f"unknown model '{name}'.{hint}", f"Use {', '.join(PUBLIC)} or any timm classifier by name.")


def build(name: str, task: Spec, extra: int = 0, weights: str = "public", seed: int = 0) -> Classifier:
    """A classifier for ``task`` with public or random weights and a fresh head.

    Args:
        name: ``vit`` or ``cnn`` of the miniature pack, or any timm classifier; with ``:256-256`` two hidden layers of
            that width stand before the outputs.
        extra: outputs beyond the K real classes.
        weights: ``public`` (the pack's, or timm's pretrained ones) or ``random``.
        seed: of the random numbers that initialise what is not loaded.

    Raises:
        UserError: no such model, or its public weights cannot be had.
    """
    check(name)
    name, _, hidden = name.partition(":")
    common: dict[str, Any] = {"k": task.k, "extra": extra}
    if hidden:
        common["hidden"] = [int(width) for width in hidden.split("-")]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name in PUBLIC:
            model = TimmClassifier(
                {
                    **PUBLIC[name],
                    **common,
                    "size": PUBLIC[name]["kwargs"].get("img_size", task.size),
                    "mean": [0.5] * 3,
                    "std": [0.5] * 3,
                }
            )
            if weights == "public":
                _load_but_head(model.net, _pack_weights(name))
            return model
        config = timm.get_pretrained_cfg(name)
        spec = {
            **common,
            "name": name,
            "kwargs": {},
            "size": config.input_size[-1] if config and config.fixed_input_size else task.size,
            "mean": list(config.mean if config else (0.5,) * 3),
            "std": list(config.std if config else (0.5,) * 3),
        }
        model = TimmClassifier(spec)
        if weights == "public":
            try:
                public = timm.create_model(name, pretrained=True)
            except Exception as error:
                raise UserError(
                    f"the public weights of '{name}' cannot be loaded ({type(error).__name__}).",
                    f"On a connected machine run: hf download timm/{name} — or use --model vit.",
                ) from None
            _load_but_head(model.net, public.state_dict())
        return model


def _pack_weights(name: str) -> dict[str, Tensor]:
    file = PACK / "public" / f"{name}.safetensors"
    if not file.exists():
        raise UserError(f"the miniature pack lacks {file.name}.", "Train it: python -m tools.miniature.train --out DIR")
    return {k: v.float() if v.dtype.is_floating_point else v for k, v in load_file(file).items()}


def _load_but_head(net: Any, state: dict[str, Tensor]) -> None:
    own = net.state_dict()
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    head = net.get_classifier()
    names = {k for k, m in net.named_modules() if m is head}
    net.load_state_dict({k: v for k, v in fitting.items() if k.rsplit(".", 1)[0] not in names}, strict=False)


def widen(model: Classifier, extra: int, seed: int) -> Classifier:
    """A copy of ``model`` with ``extra`` outputs beyond its K, the new ones freshly initialised."""
    if extra == model.extra:
        return copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wide = TimmClassifier({**model.spec, "extra": extra})
    state, own = model.state_dict(), wide.state_dict()
    for key, value in state.items():
        if own[key].shape == value.shape:
            own[key] = value
        else:
            own[key][: model.k] = value[: model.k]
    wide.load_state_dict(own)
    return wide


def _last(model: Classifier) -> nn.Module:
    if not isinstance(model, TimmClassifier):
        raise TypeError(f"{type(model).__name__} does not say which layer is its last")
    last: nn.Module = model.last
    return last


def head_names(model: Classifier) -> list[str]:
    """Names of the parameters from `Classifier.embed` to the outputs, the weight that makes the outputs first.

    Raises:
        TypeError: a classifier whose last layer is not known.
    """
    own = {id(p) for p in _last(model).parameters()}
    names = [name for name, p in model.named_parameters() if id(p) in own]
    return sorted(names, key=lambda name: (model.get_parameter(name).ndim == 1, -names.index(name)))


def forget_head(model: Classifier, seed: int) -> None:
    """Draw the weights of the head anew, in place.

    Raises:
        TypeError: a classifier whose last layer is not known.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in _last(model).modules():
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()


def has_batch_norm(model: nn.Module) -> bool:
    """Whether ``model`` keeps batch-norm statistics."""
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())


@torch.no_grad()
def logits(model: nn.Module, images: Tensor, batch: int = 256) -> Tensor:
    """``model(images)`` in evaluation mode, in batches, on the CPU; the mode is restored."""
    mode = model.training
    model.eval()
    device = next(iter(model.parameters()), torch.zeros(0)).device
    out = [model(part.to(device)).float().cpu() for part in images.split(batch)]
    model.train(mode)
    return torch.cat(out) if out else torch.zeros(0, 0)


@torch.no_grad()
def reestimate_batch_norm(model: nn.Module, images: Tensor, batch: int = 64, rounds: int = 1) -> None:
    """Replace the running statistics of every batch norm by those of ``images`` (N, 3, H, W), cumulatively."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [(m, m.momentum, m.training) for m in norms]
    mode = model.training
    model.eval()
    for m in norms:
        m.reset_running_stats()
        m.momentum = None
        m.train()
    for _ in range(rounds):
        for part in images.split(batch):
            if len(part) > 1:
                model(part)
    model.train(mode)
    for m, momentum, training in kept:
        m.momentum = momentum
        m.train(training)
