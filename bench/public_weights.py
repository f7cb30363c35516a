"""Whether the public weights of a timm classifier can be had. Nothing is fetched."""

from __future__ import annotations

from functools import cache

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
    from huggingface_hub import HfApi, try_to_load_from_cache

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise UserError(f"the model '{name}' has no public weights.", "Use another --model, such as vit or cnn.")
    if not config.hf_hub_id or config.file:
        return
    files = ("model.safetensors", "pytorch_model.bin")
    if any(isinstance(try_to_load_from_cache(config.hf_hub_id, file), str) for file in files):
        return
    try:
        HfApi().model_info(config.hf_hub_id, timeout=PATIENCE)
    except Exception as error:  # of many kinds: no network, no such name
        raise UserError(
            f"the public weights of '{name}' are not on this machine and cannot be fetched ({type(error).__name__}).",
            f"On a connected machine run: hf download {config.hf_hub_id} — or use --model vit.",
        ) from None
