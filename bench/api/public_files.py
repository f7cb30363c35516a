"""The public weights that a model's name stands for: where they come from, and whether they are here.

`needed` lists them, `fetch` fetches them; nothing else of `bench prepare` knows models.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench import registry
from bench.checkpoints.model_names import parse
from bench.errors import UserError

HUB = ("model.safetensors", "pytorch_model.bin", "open_clip_model.safetensors")
"""Files of weights that a model of the hub may have."""


@dataclass(frozen=True)
class Weights:
    """Public weights that a model starts from.

    Args:
        model: its name, as ``--model`` takes it.
        source: a hub's name ``ORG/NAME``, or a URL.
        place: the file on this machine; None where it is not here.
    """

    model: str
    source: str
    place: Path | None

    @property
    def remedy(self) -> str:
        """How a person fetches them."""
        if "://" in self.source:
            return f"Fetch {self.source} into {_torch_home()}."
        return f"On a connected machine run: hf download {self.source}"


def needed(model: str) -> list[Weights]:
    """The public weights of ``model``: none where they come with the package, or where it starts at random.

    Raises:
        UserError: there is no such model, or it has no public weights.
    """
    parsed = parse(model)
    if parsed.start == "random" or registry.current().get("model", parsed.base) is not None:
        return []
    if parsed.is_factory:
        raise UserError(f"the factory '{parsed.name}' has no public weights.", f"Write '{model}?start=random'.")
    if parsed.source == "torchvision":
        return [_of_torchvision(model, parsed.name)]
    if parsed.source == "hf-hub":
        return [Weights(model, parsed.name, _cached(parsed.name))]
    place = _encoder(parsed.name) if parsed.has_decoder else _timm(parsed.name)
    if place is None:
        raise UserError(f"the model '{model}' has no public weights on the hub.", f"Write '{model}?start=random'.")
    return [Weights(model, place, _cached(place))]


def fetch(weights: Weights) -> None:
    """Fetch ``weights`` into the cache of the hub (``HF_HOME``) or of torch (``TORCH_HOME``), with a bar of their own.

    Raises:
        UserError: they cannot be fetched.
    """
    try:
        if "://" in weights.source:
            import torch

            torch.hub.load_state_dict_from_url(weights.source, check_hash=True, weights_only=True)
            return
        from huggingface_hub import snapshot_download

        snapshot_download(weights.source, allow_patterns=["config.json", *HUB[:1]])
        if _cached(weights.source) is None:
            snapshot_download(weights.source, allow_patterns=list(HUB))
    except Exception as error:  # of many kinds: no network, no such name, no space
        raise UserError(
            f"the public weights of '{weights.model}' cannot be fetched ({type(error).__name__}).", weights.remedy
        ) from None


def _timm(name: str) -> str | None:
    import timm

    try:
        config = timm.get_pretrained_cfg(name)
    except (RuntimeError, ValueError) as error:  # no such architecture, or no such tag of it
        raise UserError(f"timm has no model '{name}': {error}", "See `bench list`.") from None
    if config is None or not config.has_weights or not config.hf_hub_id:
        return None
    return str(config.hf_hub_id)


def _encoder(name: str) -> str | None:
    if name.startswith("tu-"):
        return _timm(name.removeprefix("tu-"))
    from segmentation_models_pytorch.encoders import encoders

    if name not in encoders:
        raise UserError(f"there is no encoder '{name}'.", "Name one of segmentation_models_pytorch, or tu-NAME.")
    known = encoders[name]["pretrained_settings"]
    return str(known["imagenet"]["repo_id"]) if "imagenet" in known else None


def _of_torchvision(model: str, name: str) -> Weights:
    import torchvision

    try:
        url = str(torchvision.models.get_model_weights(name).DEFAULT.url)
    except (ValueError, KeyError):
        raise UserError(f"torchvision has no model '{name}'.", "See torchvision.models.list_models().") from None
    file = _torch_home() / url.rpartition("/")[2]
    return Weights(model, url, file if file.is_file() else None)


def _torch_home() -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def _cached(place: str) -> Path | None:
    """The file of weights of the hub's ``place`` in this machine's cache."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(place, file) for file in HUB)
    return next((Path(path) for path in found if isinstance(path, str)), None)
