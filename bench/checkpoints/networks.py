"""The network behind a model's name: of timm, of torchvision, or made by the owner's factory."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import registry
from bench.checkpoints import factories, weights
from bench.checkpoints.model_names import ModelName
from bench.errors import UserError


class TwiceNorm(nn.LayerNorm):
    """A layer norm that is applied twice, as the released evaluation code of ModelLock does."""

    def forward(self, x: Tensor) -> Tensor:
        """(…, D) to (…, D)."""
        return F.layer_norm(super().forward(x), self.normalized_shape, self.weight, self.bias, self.eps)


def make(spec: Mapping[str, Any], outputs: int) -> nn.Module:
    """The network of a classifier's ``spec`` with so many outputs; 0: without a head, of timm alone.

    Args:
        spec: ``name``, ``kwargs``, ``source`` (none, ``torchvision`` or ``factory``), and ``norm`` = ``twice`` where
            the norm before the head is applied twice.

    Raises:
        UserError: the architecture cannot be built with these arguments.
    """
    source, name, args = spec.get("source", ""), str(spec["name"]), dict(spec.get("kwargs", {}))
    try:
        if source == "torchvision":
            import torchvision

            net: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=outputs, **args)
        elif source == "factory":
            if not registry.current().run_guests:
                raise RuntimeError("the code of a factory runs in processes of its own")
            net = _made(factories.load(name), outputs, args)
        else:
            net = timm.create_model(name, num_classes=outputs, **args)
    except (TypeError, AssertionError) as error:
        if source == "factory":
            call = ", ".join(["num_classes=N", *(f"{name}=…" for name in args)])
            raise UserError(
                f"the factory '{name}' cannot be called as function({call}): {error}.",
                "Let it take these arguments and return the network; --model-args NAME=VALUE gives it more.",
            ) from None
        if not args:
            raise
        raise UserError(f"'{name}' does not take {args}: {error}.", "Change --model-args.") from None
    if spec.get("norm") == "twice":
        _norm_twice(net, name)
    return net


def _made(function: Any, outputs: int, args: Mapping[str, Any]) -> nn.Module:
    parameters = inspect.signature(function).parameters.values()
    takes = any(p.name == "num_classes" or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    net = function(**({"num_classes": outputs} if takes else {}), **args)
    if not isinstance(net, nn.Module):
        raise UserError(f"the factory gives {type(net).__name__}, no nn.Module.", "Return the network.")
    return net


def _norm_twice(net: nn.Module, name: str) -> None:
    norm = getattr(net, "fc_norm", None)
    if not isinstance(norm, nn.LayerNorm):
        raise UserError(
            f"'{name}' has no fc_norm to apply twice.", "Use a vision transformer with --model-args global_pool=avg."
        )
    twice = TwiceNorm(norm.normalized_shape, norm.eps, device=norm.weight.device)
    twice.load_state_dict(norm.state_dict())
    net.fc_norm = twice


def check(model: ModelName) -> None:
    """Whether there is such an architecture; nothing is built or fetched.

    Raises:
        UserError: there is not.
    """
    if model.source == "torchvision":
        import torchvision

        known = torchvision.models.list_models(module=torchvision.models)
        if model.name not in known:
            near = near_names(model.name, known)
            hint = f" Did you mean {', '.join(near)}?" if near else ""
            raise UserError(
                f"torchvision has no classifier '{model.name}'.{hint}", "See torchvision.models.list_models()."
            )
    elif model.source == "factory":
        factories.find(model.name)
    elif model.source == "hf-hub":
        hub_config(model.name)
    elif "." in model.name:
        base = model.name.partition(".")[0]
        tags = timm.list_pretrained(f"{base}.*")
        if model.name not in tags:
            raise UserError(
                f"timm's '{base}' has no weights tagged '{model.name.partition('.')[2]}'.",
                f"It has {', '.join(tags)}." if tags else f"Write {base}.",
            )


def near_names(name: str, known: Sequence[str]) -> list[str]:
    """At most three of ``known`` that ``name`` may stand for: those that hold it or are in it, else those like it."""
    holding = [other for other in known if name in other or other in name]
    return holding[:3] or difflib.get_close_matches(name, known, 3)


def hub_config(name: str) -> tuple[Any, str, dict[str, Any]]:
    """timm's configuration of the hub's model ``ORG/NAME``: pretrained_cfg, the architecture and its arguments.

    It is read where it lies; `bench.public_weights.fetch` fetches it.

    Raises:
        UserError: it is not on this machine, or none of timm.
    """
    from huggingface_hub import try_to_load_from_cache
    from timm.models import load_model_config_from_hf, parse_model_name
    from timm.models._pretrained import PretrainedCfg

    repo, _, revision = name.partition("@")
    if not isinstance(try_to_load_from_cache(repo, weights.CONFIG, revision=revision or None), str):
        raise UserError(
            f"the model 'hf-hub:{name}' is not on this machine.",
            f"On a connected machine run: bench prepare --model hf-hub:{name} — or give its timm architecture: "
            "--model NAME.",
        )
    try:
        _, identifier = parse_model_name(f"hf-hub:{name}")
        config, architecture, args = load_model_config_from_hf(identifier)
    except Exception as error:  # of many kinds: a damaged file, no timm model
        raise UserError(
            f"the configuration of 'hf-hub:{name}' is none of timm's ({type(error).__name__}).",
            "Give its timm architecture: --model NAME.",
        ) from None
    return PretrainedCfg(**config) if isinstance(config, dict) else config, architecture, dict(args or {})


def public_weights(model: ModelName) -> Mapping[str, Tensor]:
    """The published weights of an architecture of timm, the hub or torchvision.

    Raises:
        UserError: there are none, or they cannot be had.
    """
    try:
        if model.source == "torchvision":
            return torchvision_weights(model.name)
        if model.source == "factory":
            raise UserError(
                f"the factory '{model.name}' has no public weights.",
                f"Write --model 'factory:{model.name}?start=random'.",
            )
        name = f"hf-hub:{model.name}" if model.source else model.name
        state: Mapping[str, Tensor] = timm.create_model(name, pretrained=True, **model.args).state_dict()
        return state
    except UserError:
        raise
    except Exception as error:  # of many kinds: no network, no entry in the local cache, no weights at all
        source = {"": f"hf download timm/{model.name}", "hf-hub": f"hf download {model.name}"}.get(model.source)
        fetch = f"On a connected machine run: {source} — or use --model vit." if source else "Add ?start=random to it."
        raise UserError(
            f"the public weights of '{model.name}' cannot be loaded ({type(error).__name__}).", fetch
        ) from None


def torchvision_entry(name: str, tag: str = "DEFAULT") -> Any:
    """torchvision's entry of the weights ``tag``, such as ``IMAGENET1K_V2``, of its model ``name``.

    Raises:
        UserError: it has none of that name.
    """
    import torchvision

    known = torchvision.models.get_model_weights(name)
    if tag not in known.__members__:
        raise UserError(f"torchvision's '{name}' has no weights '{tag}'.", f"It has {', '.join(known.__members__)}.")
    return known[tag]


def torchvision_weights(name: str, tag: str = "DEFAULT") -> Mapping[str, Tensor]:
    """The weights of `torchvision_entry`.

    Raises:
        UserError: they are not here and cannot be fetched.
    """
    entry = torchvision_entry(name, tag)
    try:
        found: Mapping[str, Tensor] = entry.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # of many kinds: no network, no room
        raise UserError(
            f"the weights '{tag}' of torchvision's '{name}' are not on this machine and cannot be fetched "
            f"({type(error).__name__}).",
            f"Put {entry.url} into the folder checkpoints of torch.hub.get_dir().",
        ) from None
    return found


def probe(net: nn.Module, size: int) -> None:
    """One image through the network.

    Raises:
        Exception: whatever the network raises.
    """
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, size, size))
