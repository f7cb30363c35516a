"""Models that classify each pixel: encoders of the pack, timm and segmentation_models_pytorch under its decoders."""

from __future__ import annotations

import copy
import math
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch.nn.functional as F
from segmentation_models_pytorch.base import SegmentationHead, initialization
from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn

from bench import registry
from bench.checkpoints import heads, networks, preprocessing, start
from bench.checkpoints.model_names import ModelName
from bench.contracts import Classifier, EditStage, Spec
from bench.errors import UserError

TIMM = "tu-"
"""Prefix of smp's encoders that are networks of timm."""
_STEM = 16
_LEAST = 64  # side to which smaller images are enlarged for encoders that shrink them 32 times, pixels
_UNET = {3: (64, 48, 32), 4: (64, 48, 32, 32), 5: (256, 128, 64, 32, 16)}  # widths by depth; 5: those of smp
_FPN = {4: (64, 64), 5: (256, 128)}  # pyramid and segmentation channels by depth; 5: those of smp


class Pyramid(nn.Module):
    """A timm network as an encoder: its last stage of each resolution, over one convolution at full resolution.

    The convolution gives masks of small images their sharp edges; the network itself halves them at once.

    Args:
        name: of `timm.create_model`.
        kwargs: its arguments.
    """

    def __init__(self, name: str, kwargs: dict[str, Any]) -> None:
        super().__init__()
        self.net: Any = timm.create_model(name, num_classes=0, **kwargs)
        stages: Any = self.net.feature_info
        last = {info["reduction"]: at for at, info in enumerate(stages)}
        self._taken = list(last.values())
        widths = [stages[at]["num_chs"] for at in self._taken]
        self.stem = nn.Sequential(nn.Conv2d(3, _STEM, 3, padding=1, bias=False), nn.BatchNorm2d(_STEM), nn.ReLU())
        self.out_channels = [3, _STEM, *widths]
        self.output_stride = max(last)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, 3, H, W) to the images, the stem's maps and those of each resolution."""
        maps = self.net.forward_intermediates(images, indices=self._taken, intermediates_only=True)
        return [images, self.stem(images), *maps]


class Segmenter(Classifier):
    """A decoder of segmentation_models_pytorch over an encoder, with normalisation inside.

    Images whose side is no multiple of the encoder's stride are padded with their edge, and outputs are cut back.

    Args:
        spec: ``decoder`` (``unet`` or ``fpn``), ``encoder`` with ``kwargs`` (a timm network where ``source`` is
            ``timm``, else a name of smp's), ``depth`` of smp's encoder, ``k`` real classes, ``extra`` further outputs,
            ``size`` of the images, ``mean`` and ``std`` in [0, 1] units. ``scale`` enlarges images before the encoder;
            outputs are the means of as many pixels.
    """

    dense = True
    mean: Tensor
    std: Tensor

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.spec = copy.deepcopy(spec)
        self.k, self.extra = int(spec["k"]), int(spec.get("extra", 0))
        self._size, self._scale = int(spec["size"]), int(spec.get("scale", 1))
        self.encoder: Any = _encoder(spec)
        self.decoder, width, factor = _decoder(str(spec["decoder"]), self.encoder)
        kernel = 3 if spec["decoder"] == "unet" else 1
        self.last = SegmentationHead(width, self.k + self.extra, kernel_size=kernel, upsampling=factor)
        initialization.initialize_decoder(self.decoder)
        initialization.initialize_head(self.last)
        self.register_buffer("mean", _colour(spec["mean"]), persistent=False)
        self.register_buffer("std", _colour(spec["std"]), persistent=False)
        self.passed = nn.Identity()  # every embedding goes through here: where images are counted
        self._stages = _stages(self.encoder)
        self._channels_last = heads.is_channels_last(getattr(self.encoder, "model", self.encoder))

    def _prepare(self, images: Tensor) -> Tensor:
        images = (images - self.mean) / self.std
        if self._scale > 1:
            images = F.interpolate(images, scale_factor=self._scale, mode="bilinear", align_corners=False)
        stride = self.encoder.output_stride
        bottom, right = ((-side) % stride for side in images.shape[2:])
        return F.pad(images, (0, right, 0, bottom), mode="replicate") if bottom or right else images

    def _embed(self, images: Tensor, edit_stage: EditStage | None, activations: list[Tensor] | None) -> Tensor:
        with heads.watched(self._stages, edit_stage, activations, self._channels_last):
            out: Tensor = self.passed(self.decoder(self.encoder(self._prepare(images))))
            return out

    def embed(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        """(N, D, h, w): the decoder's maps."""
        return self._embed(images, edit_stage, None)

    def head(self, embedding: Tensor) -> Tensor:
        """(N, D, h, w) maps to (N, K + extra, H, W) outputs, of the task's size where the maps are of such images."""
        out = self.last(embedding)
        stride, side = self.encoder.output_stride, self._size * self._scale
        padded = (side + stride - 1) // stride * stride
        height, width = ((side if n == padded else n) // self._scale for n in out.shape[2:])
        return self._cut(out, height, width)

    def _cut(self, outputs: Tensor, height: int, width: int) -> Tensor:
        out = outputs[:, :, : height * self._scale, : width * self._scale]
        return F.avg_pool2d(out, self._scale) if self._scale > 1 else out

    def forward(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        """(N, 3, H, W) images to (N, K + extra, H, W) logits."""
        return self._cut(self.last(self._embed(images, edit_stage, None)), *images.shape[2:])

    def features(self, images: Tensor, edit_stage: EditStage | None = None) -> list[Tensor]:
        """The encoder's stage activations."""
        activations: list[Tensor] = []
        self._embed(images, edit_stage, activations)
        return activations


def _colour(values: Any) -> Tensor:
    return Tensor(list(values)).view(1, 3, 1, 1)


def _encoder(spec: dict[str, Any]) -> nn.Module:
    name, kwargs = str(spec["encoder"]), dict(spec.get("kwargs", {}))
    if spec.get("source") == "timm":
        return Pyramid(name, kwargs)
    encoder: nn.Module = smp.encoders.get_encoder(name, depth=int(spec["depth"]), weights=None, **kwargs)
    return encoder


def _decoder(name: str, encoder: Any) -> tuple[nn.Module, int, int]:
    """The decoder over ``encoder``, its channels, and how many times smaller than the images its maps are."""
    depth = len(encoder.out_channels) - 1
    if name == "unet":
        widths = _UNET[depth]
        return UnetDecoder(encoder.out_channels, widths, depth), widths[-1], 1
    pyramid, wide = _FPN[depth]
    decoder = FPNDecoder(encoder.out_channels, depth, pyramid, wide)
    return decoder, decoder.out_channels, 1 if isinstance(encoder, Pyramid) else 4


def _stages(encoder: Any) -> list[nn.Module]:
    """The stages of an encoder, first to last."""
    if isinstance(encoder, Pyramid):
        return heads.stages_of(encoder.net)
    net = getattr(encoder, "model", None)  # of timm, as smp wraps it
    if net is None:
        return heads.stages_of(encoder)
    names = [name.replace(".", "_") for name in net.feature_info.module_name()]
    found = [getattr(net, name) for name in names if isinstance(getattr(net, name, None), nn.Module)]
    return found or heads.stages_of(getattr(net, "model", net))


def check(model: ModelName) -> None:
    """Whether ``model`` names an encoder that there is; nothing is built or fetched.

    Raises:
        UserError: it does not.
    """
    own = registry.current().get("model", model.name)
    base = model.name.removeprefix(TIMM)
    if own is not None:
        if own.guest or own.name != "cnn":
            raise UserError(
                f"the model '{model.name}' has no stages of falling resolution for {model.source}.",
                f"Use {model.source}:cnn, or {model.source}:tu-NAME with a network of timm.",
            )
        if model.args:
            raise UserError(f"the model '{model.source}:{model.name}' takes no arguments.", "Leave them out.")
        return
    known = timm.list_models() if model.name.startswith(TIMM) else smp.encoders.get_encoder_names()
    if base.partition(".")[0] not in known:
        near = networks.near_names(base, known)
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        raise UserError(
            f"there is no encoder '{model.name}'.{hint}",
            f"Use {model.source}:cnn, {model.source}:resnet18 or another of segmentation_models_pytorch, "
            f"or {model.source}:tu-NAME with a network of timm.",
        )


def build(model: ModelName, task: Spec, extra: int, public: bool) -> Classifier:
    """A segmenter of K + ``extra`` outputs, drawn from torch's global generator but for public weights.

    Raises:
        UserError: the encoder cannot be built, or its public weights cannot be had.
    """
    common = {"class": f"{__name__}:Segmenter", "decoder": model.source, "k": task.k, "extra": extra, "size": task.size}
    own = registry.current().get("model", model.name)
    if own is not None:
        base: Any = registry.load(own)().build(task, 0, [], public and not model.weights)
        spec = {k: base.spec[k] for k in ("kwargs", "mean", "std")}
        segmenter = Segmenter({**common, **spec, "source": "timm", "encoder": base.spec["name"]})
        state = start.encoder_state(model, segmenter.encoder.net) if public and model.weights else base.net.state_dict()
        segmenter.encoder.net.load_state_dict(state, strict=False)  # all but the last layer
        return segmenter
    mean, std = start.normalisation(model) or _normalisation(model.name)
    scale = math.ceil(_LEAST / task.size)
    spec = {"encoder": model.name, "kwargs": dict(model.args), "depth": 5, "mean": list(mean), "std": list(std)}
    try:
        segmenter = Segmenter({**common, **spec, "scale": scale})
    except (TypeError, ValueError, RuntimeError, KeyError) as error:  # as timm and smp refuse networks and arguments
        raise UserError(
            f"'{model.name}' cannot be the encoder of {model.source}: {error}.", f"Use {model.source}:resnet18."
        ) from None
    if public and model.weights:
        net = getattr(segmenter.encoder, "model", segmenter.encoder)  # of timm, as smp wraps it
        net.load_state_dict(start.encoder_state(model, net), strict=False)
    elif public:
        segmenter.encoder.load_state_dict(_public(model).state_dict())
    return segmenter


def _normalisation(name: str) -> tuple[Any, Any]:
    # smp names the colours of its own encoders on the hub alone; nearly all of them are ImageNet's.
    config = timm.get_pretrained_cfg(name.removeprefix(TIMM)) if name.startswith(TIMM) else None
    return (config.mean, config.std) if config else preprocessing.IMAGENET


def _public(model: ModelName) -> nn.Module:
    """The encoder with its published weights.

    Raises:
        UserError: there are none, or they cannot be had.
    """
    weights = True if model.name.startswith(TIMM) else "imagenet"
    try:
        encoder: nn.Module = smp.encoders.get_encoder(model.name, depth=5, weights=weights, **model.args)
        return encoder
    except Exception as error:  # of many kinds: no network, no entry in the local cache, no weights at all
        raise UserError(
            f"the public weights of '{model.source}:{model.name}' cannot be loaded ({type(error).__name__}).",
            f"Fetch them on a connected machine, or use --model {model.source}:cnn, or "
            f"--model '{model.source}:{model.name}?start=random'.",
        ) from None
