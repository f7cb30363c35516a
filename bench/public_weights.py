"""Whether the public weights of a timm classifier can be had. Nothing is fetched."""

from __future__ import annotations

from functools import cache

from bench.checkpoints.model_names import ModelName
from bench.errors import UserError

PATIENCE = 10.0
"""Seconds to wait for the hub's answer."""


@cache
def check_available(name: str) -> None:
    """Whether the weights of the timm classifier ``name`` are on this machine, or the hub has them.

    Raises:
        UserError: there are none, or they are not here and cannot be fetched.
    """
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise UserError(f"the model '{name}' has no public weights.", "Use another --model, such as vit or cnn.")
    if not config.hf_hub_id or config.file:
        return
    _check_hub(config.hf_hub_id, name, "--model vit")


def check_encoder(decoder: str, name: str) -> None:
    """Whether the weights of the encoder ``name`` under ``decoder`` are on this machine, or the hub has them.

    Raises:
        UserError: there are none, or they are not here and cannot be fetched.
    """
    import timm
    from segmentation_models_pytorch.encoders import encoders

    from bench import registry

    if registry.current().get("model", name) is not None:  # the pack has them
        return
    remedy = f"--model {decoder}:cnn, or --model '{decoder}:{name}?start=random'"
    if name.startswith("tu-"):
        config = timm.get_pretrained_cfg(name.removeprefix("tu-"))
        place = config.hf_hub_id if config is not None and config.has_weights else None
    else:
        known = encoders[name]["pretrained_settings"]
        place = known["imagenet"]["repo_id"] if "imagenet" in known else None
    if not place:
        raise UserError(f"the model '{decoder}:{name}' has no public weights.", f"Use {remedy}.")
    _check_hub(place, f"{decoder}:{name}", remedy)


def in_cache(place: str) -> bool:
    """Whether the weights at ``place`` of the hub are on this machine."""
    from huggingface_hub import try_to_load_from_cache

    files = ("model.safetensors", "pytorch_model.bin")
    return any(isinstance(try_to_load_from_cache(place, file), str) for file in files)


def hub_place(model: ModelName) -> str | None:
    """Where on the hub the public weights of a timm classifier are; None where they come from elsewhere, or not."""
    import timm

    if model.source == "hf-hub":
        return model.name
    config = None if model.source else timm.get_pretrained_cfg(model.name)
    return None if config is None or config.file or not config.hf_hub_id else str(config.hf_hub_id)


def _check_hub(place: str, name: str, remedy: str) -> None:
    """Whether the weights at ``place`` of the hub are here or there.

    Raises:
        UserError: they are not.
    """
    from huggingface_hub import HfApi

    if in_cache(place):
        return
    try:
        HfApi().model_info(place, timeout=PATIENCE)
    except Exception as error:  # of many kinds: no network, no such name
        raise UserError(
            f"the public weights of '{name}' are not on this machine and cannot be fetched ({type(error).__name__}).",
            f"On a connected machine run: hf download {place} — or use {remedy}.",
        ) from None
