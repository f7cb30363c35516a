"""The last layers of any classifier: one or two, linear or convolutional; and its stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bench.contracts import EditStage

_CONTAINERS = ("blocks", "stages", "layers", "features", "encoder.layers")
"""Where networks that do not name their stages keep them."""


def layers_of(net: nn.Module, outputs: int) -> list[nn.Module]:
    """The layers that make the outputs of ``net``: two where logits are a mean of two heads.

    Args:
        outputs: how many outputs the network has; it finds the layer where the network does not name it.

    Raises:
        ValueError: the network has no linear or 1 × 1 convolutional layer of so many outputs.
    """
    named: Any = getattr(net, "get_classifier", None)
    if callable(named):
        head = named()
        parts = list(head) if isinstance(head, tuple | nn.ModuleList) else [head]
        return [part.fc if hasattr(part, "fc") and hasattr(part, "global_pool") else part for part in parts]
    fitting = [
        m
        for m in net.modules()
        if (isinstance(m, nn.Linear) and m.out_features == outputs)
        or (isinstance(m, nn.Conv2d) and m.out_channels == outputs and m.kernel_size == (1, 1))
    ]
    if not fitting:
        raise ValueError(f"the network has no layer of {outputs} outputs")
    return [fitting[-1]]


def weight_names(net: nn.Module, outputs: int) -> set[str]:
    """Names of the weights of the head of ``net``."""
    layers = {id(part) for layer in layers_of(net, outputs) for part in layer.modules()}
    modules = {k for k, m in net.named_modules() if id(m) in layers}
    return {name for name in net.state_dict() if name.rpartition(".")[0] in modules}


def is_plain(net: nn.Module, layers: Sequence[nn.Module]) -> bool:
    """Whether ``forward_head(pre_logits=True)`` of timm gives (N, D), and the one layer makes logits of it."""
    if not hasattr(net, "forward_head") or not hasattr(net, "get_classifier"):
        return False
    if getattr(net, "aux_head", None) is not None:  # VOLO adds a second head's answer to the first's
        return False
    named: Any = net.get_classifier
    return len(layers) == 1 and named() is layers[0] and not isinstance(layers[0], nn.Conv2d)


def joined(inputs: Sequence[Tensor]) -> Tensor:
    """(N, ΣD) embeddings: what each layer of the head read, one beside the other; maps (N, D, h, w) as their means."""
    flat = [x.mean((2, 3)) if x.ndim == 4 else x for x in inputs]
    return flat[0] if len(flat) == 1 else torch.cat(flat, 1)


def applied(layers: Sequence[nn.Module], embedding: Tensor) -> Tensor:
    """(N, ΣD) embeddings to outputs (N, M): the mean over the ``layers``, each on its part."""
    if len(layers) == 1:
        return _one(layers[0], embedding)
    parts = embedding.split([_width(layer) for layer in layers], 1)
    return torch.stack([_one(layer, part) for layer, part in zip(layers, parts, strict=True)]).mean(0)


def _one(layer: nn.Module, embedding: Tensor) -> Tensor:
    if isinstance(layer, nn.Conv2d):
        out: Tensor = layer(embedding[:, :, None, None]).flatten(1)
        return out
    answer: Tensor = layer(embedding)
    return answer


def _width(layer: nn.Module) -> int:
    for module in layer.modules():
        if isinstance(module, nn.Linear):
            return module.in_features
        if isinstance(module, nn.Conv2d):
            return module.in_channels
    raise TypeError(f"{type(layer).__name__} is no linear layer")


def stages_of(net: nn.Module) -> list[nn.Module]:
    """The stages of ``net``, first to last: those that timm names, else its blocks; none where neither is there."""
    out = []
    for info in getattr(net, "feature_info", None) or ():
        name = info.get("module") if isinstance(info, dict) else None
        if name:
            try:
                out.append(net.get_submodule(name))
            except AttributeError:  # a name that timm gives and the network lacks
                continue
    if out:
        return out
    for name in _CONTAINERS:
        try:
            container = net.get_submodule(name)
        except AttributeError:
            continue
        if isinstance(container, nn.ModuleList | nn.Sequential) and len(container):
            return list(container)
    return [m for m in net.children() if isinstance(m, nn.Sequential) and len(m)]


def is_channels_last(net: nn.Module) -> bool:
    """Whether the maps between the stages of ``net`` are (N, h, w, C), as timm says of Swin and a few others."""
    return getattr(net, "output_fmt", None) == "NHWC" or type(net).__module__ == "torchvision.models.swin_transformer"


@contextmanager
def watched(
    stages: Sequence[nn.Module],
    edit_stage: EditStage | None,
    activations: list[Tensor] | None,
    channels_last: bool = False,
) -> Iterator[None]:
    """In the block every stage's activation passes ``edit_stage`` and is added to ``activations``, where given.

    Args:
        channels_last: maps of the stages are (N, h, w, C); they are seen as (N, C, h, w) all the same.
    """

    def at(i: int) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            turned = channels_last and output.ndim == 4
            out = output.movedim(-1, 1) if turned else output
            out = out if edit_stage is None else edit_stage(i, out)
            if activations is not None:
                activations.append(out)
            return out.movedim(1, -1) if turned else out

        return hook

    is_used = edit_stage is not None or activations is not None
    hooks = [stage.register_forward_hook(at(i)) for i, stage in enumerate(stages)] if is_used else []
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def logits_of(output: Any) -> Tensor:
    """The logits among what a network returns: some return a tuple with auxiliary outputs while they train.

    Raises:
        ValueError: there is no tensor (N, M).
    """
    first = output[0] if isinstance(output, tuple | list) and output else output
    if isinstance(first, dict) or hasattr(first, "logits"):
        first = first["logits"] if isinstance(first, dict) else first.logits
    if not isinstance(first, Tensor) or first.ndim != 2:
        raise ValueError("the network does not return logits (N, outputs)")
    return first
