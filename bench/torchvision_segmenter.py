"""Models of torchvision that classify each pixel: fully convolutional networks and DeepLabV3."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from bench.checkpoints import heads, preprocessing, start
from bench.checkpoints.model_names import ModelName
from bench.contracts import Classifier, EditStage, Spec
from bench.errors import UserError


class TorchvisionSegmenter(Classifier):
    """A segmentation network of torchvision without its auxiliary head, with normalisation inside.

    Args:
        spec: ``name`` and ``kwargs`` for `torchvision.models.get_model`, ``k`` real classes, ``extra`` further outputs,
            ``mean`` and ``std`` in [0, 1] units.
    """

    dense = True
    mean: Tensor
    std: Tensor

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.spec = copy.deepcopy(spec)
        self.k, self.extra = int(spec["k"]), int(spec.get("extra", 0))
        args = {"weights": None, "weights_backbone": None, "num_classes": self.k + self.extra, "aux_loss": False}
        self.net: Any = torchvision.models.get_model(spec["name"], **args, **spec.get("kwargs", {}))
        self.register_buffer("mean", torch.tensor(spec["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec["std"]).view(1, 3, 1, 1), persistent=False)
        self.passed = nn.Identity()  # every embedding goes through here: where images are counted
        self._side = int(spec["size"])

    @property
    def last(self) -> nn.Module:
        """The layer from `embed` to the outputs."""
        layer: nn.Module = self.net.classifier[-1]
        return layer

    def _embed(self, images: Tensor, edit_stage: EditStage | None, activations: list[Tensor] | None) -> Tensor:
        stages = [stage for name, stage in self.net.backbone.named_children() if name.startswith("layer")]
        with heads.watched(stages or list(self.net.backbone.children()), edit_stage, activations):
            maps: Tensor = self.net.backbone((images - self.mean) / self.std)["out"]
        for layer in list(self.net.classifier)[:-1]:
            maps = layer(maps)
        out: Tensor = self.passed(maps)
        return out

    def embed(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        """(N, D, h, w): what the last convolution sees."""
        return self._embed(images, edit_stage, None)

    def head(self, embedding: Tensor) -> Tensor:
        """(N, D, h, w) to (N, K + extra, S, S) outputs, S the side of the task's images."""
        return self._outputs(embedding, (self._side, self._side))

    def _outputs(self, embedding: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(self.last(embedding), size=size, mode="bilinear", align_corners=False)

    def forward(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        """(N, 3, H, W) images to (N, K + extra, H, W) logits."""
        height, width = images.shape[2:]
        return self._outputs(self._embed(images, edit_stage, None), (height, width))

    def features(self, images: Tensor, edit_stage: EditStage | None = None) -> list[Tensor]:
        """The backbone's stage activations."""
        activations: list[Tensor] = []
        self._embed(images, edit_stage, activations)
        return activations


def check(model: ModelName) -> None:
    """Whether torchvision has the network; nothing is built.

    Raises:
        UserError: it has not.
    """
    known = [n for n in torchvision.models.list_models(module=torchvision.models.segmentation) if "lraspp" not in n]
    if model.name not in known:
        raise UserError(f"torchvision has no segmentation network '{model.name}'.", f"Use {', '.join(known)}.")


def build(model: ModelName, task: Spec, extra: int, public: bool) -> Classifier:
    """A segmenter of K + ``extra`` outputs; public weights are those of the backbone, of torchvision or of a file.

    Raises:
        UserError: the arguments do not fit, or the weights cannot be had.
    """
    mean, std = start.normalisation(model) or preprocessing.IMAGENET
    spec = {"class": f"{__name__}:TorchvisionSegmenter", "name": model.name, "kwargs": dict(model.args), "k": task.k,
            "extra": extra, "size": task.size, "mean": list(mean), "std": list(std)}  # fmt: skip
    try:
        segmenter = TorchvisionSegmenter(spec)
    except TypeError as error:
        raise UserError(f"'{model.name}' does not take {dict(model.args)}: {error}.", "Change --model-args.") from None
    if public and model.weights:
        segmenter.net.backbone.load_state_dict(start.encoder_state(model, segmenter.net.backbone), strict=False)
    elif public:
        try:
            weights = torchvision.models.get_model_weights(model.name).DEFAULT
            state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
        except Exception as error:  # of many kinds: no network, no weights
            raise UserError(
                f"the public weights of 'torchvision:{model.name}' cannot be loaded ({type(error).__name__}).",
                f"Fetch them on a connected machine, or use --model 'torchvision:{model.name}?start=random'.",
            ) from None
        segmenter.net.backbone.load_state_dict(
            {n.removeprefix("backbone."): v for n, v in state.items() if n.startswith("backbone.")}
        )
    return segmenter
