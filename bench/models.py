"""Classifiers by name: architectures of the project and of timm. A JSON spec and a safetensors file rebuild each."""

from __future__ import annotations

import copy
import importlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bench import registry
from bench.checkpoints import heads, model_names, networks, preprocessing, start
from bench.checkpoints.model_names import ModelName
from bench.checkpoints.start import load_but_head as load_but_head
from bench.contracts import Architecture, Classifier, EditStage, Images, Spec
from bench.errors import UserError
from bench.guests import questions
from bench.source_files import OWN

SEGMENTATION = {True: (500, 1e-2), False: (500, 1e-3)}
"""Steps and peak rate of a victim that classifies each pixel: by whether its encoder is the pack's.

Tuned on seed 1000 of ``scenes-seg`` with ``unet:cnn``; large encoders need lower rates.
"""


class TimmClassifier(Classifier):
    """A timm classifier, or another network by its spec, with normalisation inside.

    Args:
        spec: ``name`` and ``kwargs`` for `timm.create_model`, ``k`` real classes, ``extra`` further outputs,
            ``size`` of the images it takes (others are resized, bicubic), ``mean`` and ``std`` in [0, 1] units;
            ``hidden`` widths of layers before the last, none by default. ``resize`` and ``interpolation`` as in
            `bench.checkpoints.preprocessing`, ``source`` and ``norm`` as in `bench.checkpoints.networks`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.spec = copy.deepcopy(spec)
        self.k, self.extra = int(spec["k"]), int(spec.get("extra", 0))
        hidden = list(spec.get("hidden", ()))
        outputs = self.k + self.extra
        net: Any = networks.make(spec, 0 if hidden else outputs)
        self.net: Any = net
        self._outputs = outputs
        self._is_plain = bool(hidden) or heads.is_plain(net, heads.layers_of(net, outputs))
        self.top = (
            _perceptron([getattr(net, "head_hidden_size", net.num_features), *hidden, outputs]) if hidden else None
        )
        self.register_buffer("mean", torch.tensor(spec["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec["std"]).view(1, 3, 1, 1), persistent=False)
        self.passed = nn.Identity()  # every embedding goes through here: where images are counted
        self._stages = heads.stages_of(self.net)

    def _prepare(self, images: Tensor) -> Tensor:
        return (preprocessing.apply(images, self.spec) - self.mean) / self.std

    def _embed(
        self, images: Tensor, edit_stage: EditStage | None, activations: list[Tensor] | None
    ) -> tuple[Tensor, Tensor | None]:
        """What the head sees, and the logits where the network has made them on the way."""
        hooks, inputs = [], []
        with heads.watched(self._stages, edit_stage, activations, heads.is_channels_last(self.net)):
            if self._is_plain:
                maps = self.net.forward_features(self._prepare(images))
                return self.passed(self.net.forward_head(maps, pre_logits=True)), None
            try:
                for layer in self._head_layers():
                    hooks.append(layer.register_forward_pre_hook(lambda _layer, given: inputs.append(given[0])))
                logits = heads.logits_of(self.net(self._prepare(images)))
            finally:
                for hook in hooks:
                    hook.remove()
            return self.passed(heads.joined(inputs)), logits

    def embed(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        return self._embed(images, edit_stage, None)[0]

    def head(self, embedding: Tensor) -> Tensor:
        out: Tensor = self.last(embedding) if self._is_plain else heads.applied(self._head_layers(), embedding)
        return out

    def _head_layers(self) -> list[nn.Module]:
        return heads.layers_of(self.net, self._outputs)

    @property
    def last(self) -> Any:
        """The layer, or layers, from `embed` to the outputs."""
        if self.top is not None:
            return self.top
        layers = self._head_layers()
        return layers[0] if len(layers) == 1 else nn.ModuleList(layers)

    def forward(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        embedding, logits = self._embed(images, edit_stage, None)
        return self.head(embedding) if logits is None else logits

    def features(self, images: Tensor, edit_stage: EditStage | None = None) -> list[Tensor]:
        activations: list[Tensor] = []
        self._embed(images, edit_stage, activations)
        return activations


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
    cls = getattr(importlib.import_module(module), name, None) if may_import(module) else None
    if not (isinstance(cls, type) and issubclass(cls, Classifier)):
        raise TypeError(f"{module}:{name} is no Classifier")
    model: Classifier = cls(spec)  # the contract of `Classifier`: rebuilt as Class(spec)
    if state is not None:
        model.load_state_dict(state)
    return model.eval()


def may_import(module: str) -> bool:
    """Whether this process may import ``module``: the harness imports the project's own code alone."""
    return registry.current().run_guests or module.partition(".")[0] in OWN


def load(folder: Path, spec: dict[str, Any]) -> Classifier:
    """The classifier saved as ``folder/classifier.safetensors``."""
    return rebuild(spec, load_file(folder / "classifier.safetensors"))


def check(name: str) -> None:
    """Whether ``name`` is an architecture that can be built: a plugin, a timm classifier, or one of another source.

    Raises:
        UserError: it is not.
    """
    model = model_names.parse(name)
    known = registry.current().all("model")
    if model.plugin in known:
        if model.args:
            raise UserError(f"the model '{model.name}' takes no arguments.", "Leave them out.")
        return
    if model.segments:
        _segmenters(model).check(model)
        return
    if not model.source and model.name.partition(".")[0] not in timm.list_models():
        near = networks.near_names(model.name, [*known, *timm.list_models()])
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise UserError(
            f"unknown model '{model.name}'.{hint}",
            f"Use {', '.join(known)}, any timm classifier by name, torchvision:NAME, or factory:MODULE:FUNCTION.",
        )
    networks.check(model)


def build(name: str, task: Spec, extra: int = 0, weights: str = "public", seed: int = 0) -> Classifier:
    """A classifier for ``task`` with public or random weights and a fresh head.

    Args:
        name: as `bench.checkpoints.model_names` reads it: an architecture of `bench.architectures`, any timm
            classifier, or one of another source; with ``:256-256`` two hidden layers of that width stand before the
            outputs. ``?start=random`` draws weights wherever public ones are asked for.
        extra: outputs beyond the K real classes.
        weights: ``public`` or ``random``.
        seed: of the random numbers that initialise what is not loaded.

    Raises:
        UserError: no such model, one for tasks of another kind, or its public weights cannot be had.
    """
    check(name)
    parsed = model_names.parse(name)
    model_names.check_kind(name, task.kind)
    public = weights == "public" and parsed.start == "public"
    architecture = registry.current().get("model", parsed.plugin)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if architecture is not None:
            model: Classifier = registry.load(architecture)().build(
                task, extra, list(parsed.hidden), public and not parsed.weights
            )
            if public and parsed.weights:
                _start(model, parsed)
            return model
        return _network(parsed, task, extra, public)


def recipe(name: str) -> tuple[int, float]:
    """Steps and peak rate of the victim's training of the architecture ``name``; a hidden head leaves them."""
    parsed = model_names.parse(name)
    if parsed.segments:
        return SEGMENTATION[registry.current().get("model", parsed.base) is not None]
    info = registry.current().get("model", parsed.plugin)
    return (Architecture.steps, Architecture.rate) if info is None else questions.recipe(info)


def timm_spec(name: str, task: Spec, extra: int, hidden: Sequence[int], **more: Any) -> dict[str, Any]:
    """The spec of a `TimmClassifier`: ``more`` has size, mean, std and the arguments of the timm model as kwargs."""
    spec: dict[str, Any] = {"k": task.k, "extra": extra, "name": name, **more}
    return spec | ({"hidden": list(hidden)} if hidden else {})


def _segmenters(model: ModelName) -> ModuleType:
    """The module that makes models which classify each pixel, of the source of ``model``."""
    return importlib.import_module("bench.segmenters" if model.has_decoder else "bench.torchvision_segmenter")


def _network(model: ModelName, task: Spec, extra: int, public: bool) -> Classifier:
    if model.segments:
        segmenter: Classifier = _segmenters(model).build(model, task, extra, public)
        return segmenter
    classifier = TimmClassifier(network_spec(model, task, extra))
    if public:
        _start(classifier, model)
    return classifier


def _start(classifier: Classifier, model: ModelName) -> None:
    """Load the public weights of ``model`` into ``classifier``, but for its head.

    Raises:
        UserError: they cannot be had or do not fit, or the architecture is a plugin's own class.
    """
    if not isinstance(classifier, TimmClassifier):
        raise UserError(f"the model '{model.name}' takes no --weights.", "Leave them out.")
    net, outputs = classifier.net, classifier.k + classifier.extra
    load_but_head(net, start.state_of(model, net, heads.weight_names(net, outputs)), outputs)


def network_spec(model: ModelName, task: Spec, extra: int = 0) -> dict[str, Any]:
    """The spec of an architecture that is no plugin, with the normalisation that its source names.

    Raises:
        UserError: the hub's configuration of it cannot be had.
    """
    name, args, source = model.name, dict(model.args), model.source
    if source == "hf-hub":
        config, name, more = networks.hub_config(name)
        args, source = {**more, **args}, ""
    elif source:
        config = None
    else:
        config = timm.get_pretrained_cfg(name)
    size = config.input_size[-1] if config and config.fixed_input_size else task.size
    size = _side(args.get("img_size", args.get("image_size"))) or size
    usual = preprocessing.IMAGENET if source else ((0.5,) * 3, (0.5,) * 3)
    usual = (config.mean, config.std) if config else usual
    mean, std = start.normalisation(model) or usual
    other = {"source": source} if source else {}
    return timm_spec(name, task, extra, model.hidden, kwargs=args, size=size, mean=list(mean), std=list(std), **other)


def _side(value: Any) -> int | None:
    side = value[0] if isinstance(value, list | tuple) and value else value
    return side if isinstance(side, int) and not isinstance(side, bool) else None


def widen(model: Classifier, extra: int, seed: int) -> Classifier:
    """A copy of ``model`` with ``extra`` outputs beyond its K, the new ones freshly initialised."""
    if extra == model.extra:
        return copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wide = type(model)({**model.spec, "extra": extra})
    state, own = model.state_dict(), wide.state_dict()
    for key, value in state.items():
        if own[key].shape == value.shape:
            own[key] = value
        else:
            own[key][: model.k] = value[: model.k]
    wide.load_state_dict(own)
    return wide


def _last(model: Classifier) -> nn.Module:
    last = getattr(model, "last", None)
    if not isinstance(last, nn.Module):
        raise TypeError(f"{type(model).__name__} does not say which layer is its last")
    return last


def head_names(model: Classifier) -> list[str]:
    """Names of the parameters from `Classifier.embed` to the outputs, the weight that makes the outputs first.

    Raises:
        TypeError: a classifier whose last layer is not known.
    """
    own = {id(p) for p in _last(model).parameters()}
    names = [name for name, p in model.named_parameters() if id(p) in own]
    return sorted(names, key=lambda name: (model.get_parameter(name).ndim == 1, -names.index(name)))


def output_names(model: Classifier) -> list[str]:
    """Names of the parameters of the layers that make the outputs: of several heads that are averaged, those of each.

    Raises:
        TypeError: a classifier whose last layer is not known.
    """
    last = _last(model)
    own: set[int] = set()
    for head in last if isinstance(last, nn.ModuleList) else (last,):
        layers = [layer for layer in head.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
        own |= {id(p) for p in (layers[-1] if layers else head).parameters()}  # what comes before are hidden layers
    return [name for name, p in model.named_parameters() if id(p) in own]


def forget_head(model: Classifier, seed: int) -> None:
    """Draw the weights of the head anew, in place.

    Raises:
        TypeError: a classifier whose last layer is not known.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in _last(model).modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.reset_parameters()


def batch_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """The batch-norm modules of ``model``, in order."""
    return [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def has_batch_norm(model: nn.Module) -> bool:
    """Whether ``model`` keeps batch-norm statistics."""
    return bool(batch_norms(model))


PIXELS = 256 * 64 * 64
"""Pixels of the largest batch on a CPU: 256 images of 64 pixels, 20 of 224. An accelerator says when it is full."""


def _batch_of(images: Tensor | Images, most: int, device: torch.device) -> int:
    """How many of ``images`` make a batch: ``most``, or on a CPU fewer where they are large."""
    if device.type != "cpu":
        return most
    height, width = images.shape[2:]
    return max(1, min(most, PIXELS // (height * width)))


def _read(images: Tensor | Images, at: int, n: int) -> Tensor:
    """``n`` of ``images`` from place ``at`` on, as float."""
    if isinstance(images, Images):
        return images.take(torch.arange(at, min(at + n, len(images)))).images
    return images[at : at + n]


def in_pieces(call: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """``call`` of ``images`` (N, …), in halves and quarters where the device lacks the memory for all at once.

    ``call`` must answer for each image alone.

    Raises:
        torch.OutOfMemoryError: one image is too much.
    """
    try:
        return call(images)
    except torch.OutOfMemoryError:
        if len(images) < 2:
            raise
    torch.cuda.empty_cache()
    return torch.cat([in_pieces(call, part) for part in images.tensor_split(2)])


@torch.no_grad()
def output_batches(model: nn.Module, images: Tensor | Images, batch: int = 256) -> Iterator[Tensor]:
    """Every output of ``model`` on ``images``, batch by batch: (M, K + extra), or with pixels last; float32, CPU.

    The model runs in evaluation mode, without gradients; its mode is restored. A batch has fewer images where they
    are large or the device has no memory for more.

    Args:
        model: a classifier.
        images: (N, 3, H, W), or a set that is read batch by batch.
        batch: most images of a batch.
    """
    mode = model.training
    model.eval()
    device = next(iter(model.parameters()), torch.zeros(0)).device
    step = _batch_of(images, batch, device)
    for at in range(0, len(images), step):
        part = _read(images, at, step).to(device)
        yield in_pieces(lambda some: model(some).float().cpu(), part)
    model.train(mode)


def outputs(model: nn.Module, images: Tensor | Images, batch: int = 256) -> Tensor:
    """Every output of ``model`` on ``images``: (N, K + extra) or (N, K + extra, H, W); see `output_batches`."""
    out = list(output_batches(model, images, batch))
    return torch.cat(out) if out else torch.zeros(0, 0)


def answers(model: Classifier, images: Tensor | Images, batch: int = 256) -> Tensor:
    """The likeliest of the K real classes, int64: (N,), or (N, H, W) for every pixel; see `output_batches`."""
    out = [part[:, : model.k].argmax(1) for part in output_batches(model, images, batch)]
    return torch.cat(out) if out else torch.zeros(0, dtype=torch.int64)


def logits(model: Classifier, images: Tensor | Images, batch: int = 256) -> Tensor:
    """(N, K) logits of the real classes; as `outputs` otherwise."""
    return outputs(model, images, batch)[:, : model.k]


@torch.no_grad()
def reestimate_batch_norm(model: nn.Module, images: Tensor | Images, batch: int = 64, rounds: int = 1) -> None:
    """Replace the running statistics of every batch norm by those of ``images`` (N, 3, H, W), cumulatively.

    A single image leaves them as they are, since it has none. Batches are equally large, about ``batch`` and two at
    least, since each counts alike. The images come in a random order, always the same: a set may be sorted by class,
    and a batch of one class varies too little.
    """
    if len(images) < 2:
        return
    norms = batch_norms(model)
    before = [(m, m.momentum, m.training) for m in norms]
    mode = model.training
    model.eval()
    for m in norms:
        m.reset_running_stats()
        m.momentum = None
        m.train()
    device = next(iter(model.parameters()), torch.zeros(0)).device
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    for _ in range(rounds):
        for at in order.tensor_split(min(math.ceil(len(order) / batch), len(order) // 2)):
            part = images.take(at).images if isinstance(images, Images) else images[at]
            model(part.to(device))
    model.train(mode)
    for m, momentum, training in before:
        m.momentum = momentum
        m.train(training)


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Batch norms use the statistics of the batch and do not remember them: for a pass at weights of the moment."""
    norms = batch_norms(model)
    momenta = [m.momentum for m in norms]
    for m in norms:
        m.momentum = 0.0
    try:
        yield
    finally:
        for m, momentum in zip(norms, momenta, strict=True):
            m.momentum = momentum
