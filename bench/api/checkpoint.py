"""How `bench audit` reads a checkpoint: architecture, outputs, preprocessing, class order; before it runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

from bench import datasets, models, public_weights, registry
from bench.checkpoints import class_order, factories, model_names, networks, preprocessing
from bench.checkpoints.class_order import ClassOrder
from bench.checkpoints.preprocessing import Preprocessing
from bench.contracts import Spec
from bench.errors import UserError
from bench.guests import questions
from bench.harness import checkpoint_process
from bench.harness.checkpoint_process import Facts
from bench.hashing import file_digest
from bench.paths import user_path
from bench.store.settings import Settings

NORMS = ("once", "twice", "both")
DRAWN = 64
"""Side at which a segmentation checkpoint sees images that are drawn, pixels."""


@dataclass(frozen=True)
class Options:
    """How to read a checkpoint, where the file does not say it; None or empty: as the architecture has it.

    Args:
        model: a plugin, a timm name with or without tag, ``torchvision:NAME``, or ``hf-hub:ORG/NAME``.
        model_args: arguments of the architecture.
        factory: ``package.module:function`` or ``file.py:function`` in place of ``model``.
        weights_key: the key of the file that holds the weights, such as ``ema``.
        classes: names of the outputs in their order, or a file of them.
        class_order: ``given``, ``codepoint``, ``casefold`` or ``natural``.
        mean, std: of the channels, in [0, 1] units, one number or three.
        image_size: side that the network sees, pixels.
        resize: side before the centre is cut out, pixels; crop_pct: the share that is cut out, in its place.
        interpolation: ``bicubic``, ``bilinear`` or ``nearest``.
        fc_norm: how often the norm before the head is applied: ``once``, ``twice`` or ``both``.
        start: weights of controls and the public baseline: ``public``, ``random``, or ``auto``: public where there are.
    """

    model: str = ""
    model_args: Mapping[str, Any] = field(default_factory=dict)
    factory: str = ""
    weights_key: str = ""
    classes: Sequence[str] | str | Path | None = None
    class_order: str = "given"
    mean: Sequence[float] | float = ()
    std: Sequence[float] | float = ()
    image_size: int | None = None
    resize: int | None = None
    crop_pct: float | None = None
    interpolation: str = ""
    fc_norm: str = "once"
    start: str = "auto"


@dataclass(frozen=True)
class Reading:
    """How a checkpoint is read.

    Args:
        file: the weights.
        digest: of its content.
        model: the architecture, as ``--model`` takes it.
        task_size: side at which images are read, pixels.
        classes: of the data.
        order: the output of each class.
        preprocessing: what happens to an image.
        facts: the checkpoint in its architecture.
        start: a sentence on the weights that controls start from.
        norms: how often fc_norm is applied, for each variant that runs.
        lock: parameters of the lock ``given``.
    """

    file: Path
    digest: str
    model: str
    task_size: int
    classes: tuple[str, ...]
    order: ClassOrder
    preprocessing: Preprocessing
    facts: Facts
    start: str
    norms: tuple[str, ...]
    lock: Mapping[str, Any]

    @property
    def extra(self) -> tuple[str, ...]:
        """Names of the outputs that are no class of the data."""
        k, n = len(self.classes), self.facts.outputs
        return self.order.extra if len(self.order.extra) == n - k else tuple(f"output {i}" for i in range(k, n))

    def lines(self) -> list[tuple[str, str]]:
        """What is printed before the run: a heading and a text each."""
        k, facts = len(self.classes), self.facts
        outputs = f"{facts.outputs} for {k} classes" if facts.outputs > k else f"{facts.outputs}, one for each class"
        order = self.order.source + ("" if self.order.is_plain else ", outputs put into the order of the data")
        out = [
            ("checkpoint", f"{self.file}, digest {self.digest}"),
            ("architecture", f"{self.model}, {facts.parameters:,} parameters"),
            ("outputs", outputs),
            ("class order", order),
            ("preprocessing", self.preprocessing.describe()),
            ("", f"from {self.preprocessing.source}; images are read at {self.task_size} × {self.task_size}"),
            ("weights", "; ".join(facts.notes) if facts.notes else "names as in the architecture"),
            ("controls", self.start),
        ]
        if self.norms != ("once",):
            out.append(("fc_norm", f"applied {' and '.join(self.norms)}"))
        return out

    def warnings(self) -> list[str]:
        """What the owner should know before the run."""
        k, out = len(self.classes), []
        if self.preprocessing.source == preprocessing.GUESS:
            out.append(
                f"nothing says how the network sees images: {self.preprocessing.size} pixels and ImageNet's mean and "
                "std are a guess. Set --image-size, --mean and --std."
            )
        if self.extra:
            shown = ", ".join(self.extra[:5]) + (f" and {len(self.extra) - 5} more" if len(self.extra) > 5 else "")
            out.append(
                f"{_count(self.facts.outputs - k)} beyond the {k} classes: {shown}. UP and LP use the {k} alone."
            )
        if not self.facts.is_split:
            out.append(
                "the outputs are not the head's answer to the embedding alone: attacks on the head approximate them."
            )
        if not self.facts.stages:
            out.append("the network names no stages: attacks that read activations cannot use them.")
        return out


def describe(file: Path, task: str, options: Options, settings: Settings, size: int | None = None) -> Reading:
    """How the checkpoint ``file`` is read for the data ``task``.

    Args:
        size: side at which images are read; None: as large as the network sees them, at most 256 pixels.

    Raises:
        UserError: it cannot be read, does not fit its architecture, or has fewer outputs than the data have classes.
    """
    if options.fc_norm not in NORMS:
        raise UserError(f"fc_norm={options.fc_norm} is not allowed.", f"Use {', '.join(NORMS)}.")
    if not file.is_file():
        raise UserError(f"there is no file {file}.", "Give a .safetensors, .pth or .pt file.")
    name = _architecture(file, options)
    public_weights.fetch_configuration(name)
    model_names.check_kind(name, datasets.kind(task))
    usual = _of_segmenter(name, task) if model_names.parse(name).segments else _preprocessing(name)
    read = _changed(usual, options)
    args = dict(options.model_args)
    if options.image_size and _is_fixed(name) and options.image_size != usual.size:
        args.setdefault("img_size", options.image_size)
    base = model_names.text_of(name, args)
    models.check(base)
    starts, sentence = _start(base, options.start)
    model = model_names.text_of(base, {}, starts)
    smallest, largest = datasets.SIZES
    side = size or min(largest, max(smallest, read.resize))
    classes = _classes(task, side, settings)
    order = _order(classes, options)
    norms = ("once", "twice") if options.fc_norm == "both" else (options.fc_norm,)
    lock: dict[str, Any] = {"file": str(file), "digest": file_digest(file)}
    lock |= {"weights_key": options.weights_key} if options.weights_key else {}
    lock |= {"order": ",".join(map(str, order.outputs))} if not order.is_plain else {}
    lock |= {name: ",".join(f"{x:g}" for x in values) for name, values in (("mean", read.mean), ("std", read.std))}
    lock |= {"image_size": read.size}
    lock |= {"resize": read.resize} if read.resize != read.size else {}
    lock |= {"interpolation": read.interpolation} if read.interpolation != "bicubic" else {}
    facts = checkpoint_process.read(
        model,
        Spec(side, classes, datasets.kind(task)),
        lock | ({"norm": "twice"} if "twice" in norms else {}),
        settings,
    )
    return Reading(
        file, lock["digest"], model, side, classes, _full(order, facts, options), read, facts, sentence, norms, lock
    )


def _architecture(file: Path, options: Options) -> str:
    if options.model and options.factory:
        raise UserError("both a model and a factory are named.", "Name one.")
    if options.factory:
        return f"factory:{factories.canonical(options.factory)}"
    if options.model:
        return options.model
    noted = checkpoint_process.architecture_of(file, options.weights_key)
    if not noted:
        raise UserError(
            f"{file} does not say which architecture it is.",
            "Name it: --model NAME, e.g. resnet18 or torchvision:vit_b_16.",
        )
    return noted


def _preprocessing(name: str) -> Preprocessing:
    parsed = model_names.parse(name)
    if parsed.plugin in registry.current().all("model") and parsed.plugin:
        task, info = Spec(32, ("one", "other")), registry.current().find("model", parsed.plugin)
        if info.guest:
            spec = questions.built(info, task, 0, False, 0)[0]
        else:
            spec = models.build(name, task, weights="random").spec
        size = int(spec["size"])
        return Preprocessing(size, size, tuple(spec["mean"]), tuple(spec["std"]), source="the architecture")
    models.check(name)
    if parsed.source == "torchvision":
        return _of_torchvision(parsed.name)
    if parsed.source == "factory":
        return preprocessing.of_config(None)
    import timm

    config = networks.hub_config(parsed.name)[0] if parsed.source else timm.get_pretrained_cfg(parsed.name)
    return preprocessing.of_config(config)


def _of_segmenter(name: str, task: str) -> Preprocessing:
    """Images as they are: networks that classify each pixel take any size, here the largest that the data have."""
    info = datasets.source(task)
    size = datasets.SIZES[1] if info is not None and info.prefix else DRAWN
    spec = models.build(name, Spec(size, ("one", "other"), "segmentation"), weights="random").spec
    return Preprocessing(size, size, tuple(spec["mean"]), tuple(spec["std"]), source="the architecture")


def _of_torchvision(name: str) -> Preprocessing:
    import torchvision

    chosen = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    mode = getattr(chosen.interpolation, "value", "bilinear")
    size, resize = int(chosen.crop_size[0]), int(chosen.resize_size[0])
    mean, std = tuple(chosen.mean), tuple(chosen.std)
    return Preprocessing(size, max(size, resize), mean, std, mode, "torchvision's weights")


def _changed(usual: Preprocessing, options: Options) -> Preprocessing:
    """``usual`` with what the owner set."""
    size = options.image_size or usual.size
    resize = round(size * usual.resize / usual.size)
    if options.crop_pct is not None and not 0.1 <= options.crop_pct <= 1:
        raise UserError(f"crop_pct={options.crop_pct:g} is not allowed.", "Give a share from 0.1 to 1.")
    if options.resize is not None and options.crop_pct is not None:
        raise UserError("both resize and crop_pct are set.", "Set one.")
    if options.crop_pct is not None:
        resize = round(size / options.crop_pct)
    if options.resize is not None:
        resize = options.resize
    if resize < size:
        raise UserError(f"resize={resize} is smaller than the {size} pixels that are cut out.", "Give a larger one.")
    mode = options.interpolation or usual.interpolation
    if mode not in preprocessing.INTERPOLATIONS:
        raise UserError(f"interpolation={mode} is not allowed.", f"Use {', '.join(preprocessing.INTERPOLATIONS)}.")
    values = {}
    for field_name in ("mean", "std"):
        three = _channels(field_name, getattr(options, field_name))
        if three and max(three) > 1:
            raise UserError(
                f"{field_name}={list(three)} is above 1: it counts in 0 to 255.",
                "Divide by 255: channels are in [0, 1].",
            )
        if three and (len(three) != 3 or (field_name == "std" and min(three) <= 0)):
            raise UserError(f"{field_name}={list(three)} is not allowed.", "Give one number, or three with commas.")
        values[field_name] = three or getattr(usual, field_name)
    changed = Preprocessing(size, resize, values["mean"], values["std"], mode, usual.source)
    own = [n for n in ("size", "resize", "mean", "std", "interpolation") if getattr(changed, n) != getattr(usual, n)]
    return replace(changed, source=f"{usual.source}; set here: {', '.join(own)}") if own else changed


def _channels(name: str, value: Any) -> tuple[float, ...]:
    """One number or several as three; empty where none is set.

    Raises:
        UserError: something else than numbers.
    """
    plain = value.tolist() if hasattr(value, "tolist") else value  # of numpy or torch
    values = (plain,) if isinstance(plain, Real) else () if plain is None else plain
    try:
        if isinstance(values, str):
            raise TypeError
        numbers = tuple(float(x) for x in values)
    except (TypeError, ValueError):
        numbers = (math.nan,)
    if not all(map(math.isfinite, numbers)):
        raise UserError(f"{name}={value!r} is not allowed.", "Give one number, or three.")
    return preprocessing.three(numbers)


def _is_fixed(name: str) -> bool:
    """Whether timm builds the network for one size of images."""
    parsed = model_names.parse(name)
    if parsed.source or parsed.plugin in registry.current().all("model"):
        return False
    import timm

    config = timm.get_pretrained_cfg(parsed.name)
    return bool(config and config.fixed_input_size)


def _start(name: str, start: str) -> tuple[str, str]:
    """The weights that controls and the public baseline start from, and a sentence on them.

    Raises:
        UserError: public ones are asked for, and there are none.
    """
    parsed = model_names.parse(name)
    if start not in ("auto", *model_names.STARTS):
        raise UserError(f"start={start} is not allowed.", "Use auto, public or random.")
    public = "the public baseline and the controls start from public weights"
    if parsed.plugin and parsed.plugin in registry.current().all("model"):
        return ("random", "start from random weights, as asked") if start == "random" else ("public", public)
    random = "the public baseline and the controls start from random weights"
    if start == "random":
        return start, f"{random}, as asked"
    try:
        if parsed.is_factory and not parsed.weights:
            raise UserError("a factory has no public weights")
        public_weights.check(public_weights.needs(name))
    except UserError as error:
        if start == "public":
            raise
        return "random", f"{random}: {error.message.removesuffix('.')}. A public attacker may do better"
    return "public", public


def _classes(task: str, size: int, settings: Settings) -> tuple[str, ...]:
    from bench.datasets import scenario

    return tuple(scenario.load(task, 0, size=size, skip_bad=settings.skip_bad).spec.classes)


def _order(classes: Sequence[str], options: Options) -> ClassOrder:
    if options.classes is None:
        return class_order.sorted_by(classes, options.class_order)
    if options.class_order != "given":
        raise UserError("both a file of classes and an order are named.", "Name one.")
    if isinstance(options.classes, str | Path):
        file = user_path(options.classes)
        return class_order.named(classes, class_order.read(file), file.name)
    return class_order.named(classes, list(options.classes), "the list of classes")


def _full(order: ClassOrder, facts: Facts, options: Options) -> ClassOrder:
    """``order``, once it is known that its names are as many as the outputs."""
    if options.classes is not None and len(order.outputs) + len(order.extra) != facts.outputs:
        n = len(order.outputs) + len(order.extra)
        raise UserError(
            f"{order.source} has {n} names, and the checkpoint {facts.outputs} outputs.", "Give a name for each output."
        )
    return order


def arguments(text: str) -> dict[str, Any]:
    """``--model-args``: JSON, or ``name=value`` with commas or spaces between.

    Raises:
        UserError: neither.
    """
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except ValueError:
            raise UserError(f"--model-args {text} is no JSON.", "Write name=value,name=value.") from None
        return dict(found)
    out = {}
    for part in filter(None, text.replace(",", " ").split()):
        name, equals, value = part.partition("=")
        if not equals or not name.isidentifier():
            raise UserError(f"cannot read '{part}' in --model-args.", "Write name=value,name=value, or JSON.")
        out[name] = model_names.value_of(value)
    return out


def _count(n: int) -> str:
    return "1 output" if n == 1 else f"{n} outputs"
