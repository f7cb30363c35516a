"""Networks of the miniature pack: timm name and arguments, and their public weights."""

from __future__ import annotations

from collections.abc import Sequence

from safetensors.torch import load_file
from torch import Tensor

from bench.contracts import Classifier, Spec
from bench.errors import UserError
from bench.miniature import PACK
from bench.miniature.public import PUBLIC
from bench.models import TimmClassifier, load_but_head, timm_spec


def build(name: str, task: Spec, extra: int, hidden: Sequence[int], public: bool) -> Classifier:
    """The network ``name`` of the pack; arguments and errors as `bench.contracts.Architecture.build`."""
    network = PUBLIC[name]
    size = network["kwargs"].get("img_size", task.size)
    half = [0.5] * 3
    spec = timm_spec(network["name"], task, extra, hidden, kwargs=network["kwargs"], size=size, mean=half, std=half)
    model = TimmClassifier(spec)
    if public:
        load_but_head(model.net, _weights(name))
    return model


def _weights(name: str) -> dict[str, Tensor]:
    file = PACK / "public" / f"{name}.safetensors"
    if not file.exists():
        raise UserError(f"the miniature pack lacks {file.name}.", "Train it: python -m tools.miniature.train --out DIR")
    return {k: v.float() if v.dtype.is_floating_point else v for k, v in load_file(file).items()}
