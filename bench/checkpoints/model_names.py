"""What ``--model`` takes: a plugin, a timm name, ``torchvision:NAME``, ``hf-hub:…``, a factory, or for segmentation
``unet:ENCODER`` and ``fpn:ENCODER``. No torch here."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from bench import registry
from bench.errors import UserError

DECODERS = ("unet", "fpn")
"""Prefixes of models that classify each pixel; what follows is their encoder."""
TORCHVISION = ("fcn_", "deeplabv3_")
"""How torchvision's models that classify each pixel begin."""
SOURCES = ("torchvision", "factory", "hf-hub", *DECODERS)
"""Prefixes of names that are neither a plugin's nor timm's."""
STARTS = ("public", "random")
"""The weights that training starts from."""
NO_WEIGHTS = "none"
"""What ``--weights`` takes for a start from random weights."""
PIN = "@sha256:"
"""What stands between the file of public weights and the digest of its content."""
SEGMENTER = "unet:cnn"
"""The model of segmentation tasks where a user names none."""
_WIDTHS = re.compile(r"[1-9][0-9]{0,5}(-[1-9][0-9]{0,5})*")
_ARGUMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class ModelName:
    """The parts of a model's name ``[SOURCE:]NAME[:WIDTHS][?ARGUMENT=VALUE&…]``.

    ``start`` and ``weights`` are arguments too.

    Args:
        source: one of `SOURCES`, or "" for a plugin or a timm classifier.
        name: of the architecture at its source.
        hidden: widths of layers before the outputs.
        args: arguments of the architecture, JSON values.
        start: ``public`` weights, or ``random`` ones in their place wherever public ones would be loaded.
        weights: the public weights, as `bench.checkpoints.weights` reads them; "" for those of the source.
        digest: of the content of their file, where it is known.
    """

    source: str
    name: str
    hidden: tuple[int, ...] = ()
    args: Mapping[str, Any] = field(default_factory=dict)
    start: str = "public"
    weights: str = ""
    digest: str = ""

    @property
    def plugin(self) -> str:
        """The name under which an architecture plugin would be registered; "" where there can be none."""
        return "" if self.source else self.name

    @property
    def base(self) -> str:
        """The architecture plugin that it is, or whose network is its encoder; "" where there can be none."""
        return self.name if self.has_decoder else self.plugin

    @property
    def has_decoder(self) -> bool:
        """Whether it is a decoder of segmentation_models_pytorch over an encoder."""
        return self.source in DECODERS

    @property
    def segments(self) -> bool:
        """Whether it classifies each pixel."""
        return self.has_decoder or (self.source == "torchvision" and self.name.startswith(TORCHVISION))

    @property
    def is_factory(self) -> bool:
        """Whether the architecture is the owner's own code."""
        return self.source == "factory"


@cache
def parse(text: str) -> ModelName:
    """The parts of a model's name.

    Raises:
        UserError: a list of widths or an argument that cannot be read.
    """
    base, _, query = text.partition("?")
    source, colon, rest = base.partition(":")
    widths = ""
    if source in SOURCES and colon:
        name = rest
        if not name:
            raise UserError(f"'{text}' names no architecture.", f"Write {source}:NAME.")
    else:
        source = ""
        name, colon, widths = base.partition(":")
        if colon and _WIDTHS.fullmatch(widths) is None:
            raise UserError(
                f"the head '{widths}' of model '{name}' is no list of widths.", "Write e.g. vgg13_bn:256-256."
            )
    args = _arguments(text, query)
    weights, pin, digest = _decoded(args.pop("weights", "")).partition(PIN)
    start = args.pop("start", STARTS[0])
    if weights == NO_WEIGHTS:
        weights, start = "", STARTS[1]
    if start not in STARTS:
        raise UserError(f"start={start} is not allowed in '{text}'.", f"Use {' or '.join(STARTS)}.")
    if weights and start != STARTS[0]:
        raise UserError(f"'{text}' names weights and starts from random ones.", "Leave one of them out.")
    hidden = tuple(map(int, widths.split("-"))) if widths else ()
    return ModelName(source, name, hidden, args, str(start), weights, digest if pin else "")


def kinds(text: str) -> tuple[str, ...]:
    """The kinds of task that the model ``text`` serves.

    Raises:
        UserError: as `parse`.
    """
    model = parse(text)
    info = registry.current().get("model", model.plugin)
    if info is not None:
        return info.tasks
    return ("segmentation",) if model.segments else ("classification",)


def check_kind(text: str, kind: str) -> None:
    """Whether the model ``text`` serves tasks of ``kind``.

    Raises:
        UserError: it does not, and the message names one that does.
    """
    if kind in kinds(text):
        return
    if kind == "segmentation" and parse(text).is_factory:
        raise UserError("factories are read for classification alone.", f"For segmentation use --model {SEGMENTER}.")
    if kind == "segmentation":
        raise UserError(
            f"the model '{text}' classifies images, not pixels.", f"For segmentation use --model {SEGMENTER}."
        )
    raise UserError(f"the model '{text}' classifies pixels, not images.", "For classification use --model vit or cnn.")


def _arguments(text: str, query: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if not equals or _ARGUMENT.fullmatch(name) is None:
            raise UserError(f"cannot read '{part}' in model '{text}'.", "Write NAME?ARGUMENT=VALUE&ARGUMENT=VALUE.")
        out[name] = value if name == "weights" else value_of(value)
    return out


def _decoded(text: str) -> str:
    return text.replace("%26", "&").replace("%25", "%")


def with_weights(text: str, weights: str, digest: str = "") -> str:
    """The model ``text`` with these public weights in place of its own; ``none``: it starts from random ones.

    Args:
        weights: as `bench.checkpoints.weights` reads them.
        digest: of the content of their file; a name that has it is the name of that content.

    Raises:
        UserError: as `parse`.
    """
    parse(text)
    base, _, query = text.partition("?")
    kept = [part for part in query.split("&") if part and part.partition("=")[0] not in ("weights", "start")]
    if weights == NO_WEIGHTS:
        kept.append("start=random")
    else:
        value = weights.replace("%", "%25").replace("&", "%26")
        kept.append(f"weights={value}{PIN}{digest}" if digest else f"weights={value}")
    return f"{base}?{'&'.join(sorted(kept))}"


def value_of(text: str) -> Any:
    """``text`` as JSON where it is JSON, else itself: ``64`` is a number, ``avg`` a text, ``True`` true."""
    try:
        return json.loads({"True": "true", "False": "false", "None": "null"}.get(text, text))
    except ValueError:
        return text


def text_of(base: str, args: Mapping[str, Any], start: str = "public") -> str:
    """The name of ``base`` with arguments, as `parse` reads it: sorted, so that equal arguments are equal names."""
    both = {**args, **({} if start == STARTS[0] else {"start": start})}
    written = [f"{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in sorted(both.items())]
    return base + (("&" if "?" in base else "?") + "&".join(written) if written else "")
