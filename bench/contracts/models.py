"""What is locked and what an attack hands back: `Classifier` and `Predictor`."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

from torch import Tensor, nn

from bench.contracts.images import EditStage


class Classifier(nn.Module, abc.ABC):
    """A model that a JSON ``spec`` and a state dict rebuild. Normalisation is inside.

    Outputs are (N, K + extra): a lock may ship more outputs than classes. In segmentation every pixel has its own:
    outputs are (N, K + extra, H, W), embeddings (N, D, h, w). A subclass is named in the spec as
    ``spec["class"] = "module:Class"`` and is rebuilt as ``Class(spec)``.
    """

    dense: ClassVar[bool] = False
    """Whether every pixel has a class."""
    spec: dict[str, Any]
    k: int
    extra: int

    @abc.abstractmethod
    def forward(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        """(N, K + extra) logits: every output the model ships."""

    def logits(self, images: Tensor) -> Tensor:
        """(N, K) logits of the real classes."""
        outputs: Tensor = self(images)
        return outputs[:, : self.k]

    @abc.abstractmethod
    def features(self, images: Tensor, edit_stage: EditStage | None = None) -> list[Tensor]:
        """The activation after each stage, first to last: (N, C, h, w), or (N, tokens, C) in a transformer."""

    @abc.abstractmethod
    def embed(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        """(N, D): what the head sees."""

    @abc.abstractmethod
    def head(self, embedding: Tensor) -> Tensor:
        """(N, D) embeddings to (N, K + extra) outputs."""


class Predictor(nn.Module, abc.ABC):
    """What an attack hands back.

    A predictor crosses to the judge as JSON and tensors. It is rebuilt as ``cls(**arguments(), **parts)``, then its
    state dict is loaded; ``parts`` are the classifiers and predictors it holds, by attribute name. `bench.predictors`
    has the usual ones.
    """

    transductive: bool = False
    """True where predictions depend on the batch or on its order. The judge then feeds fixed batches."""
    costly: bool = False
    """True where an image costs much more than a forward pass. The judge then scores all but the last submission on
    its first images only."""

    @abc.abstractmethod
    def predict(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) images in [0, 1] to (N, K) scores of the real classes; (N, K, H, W) in segmentation.

        The judge calls it without gradients, in evaluation mode, never in inference mode.
        """

    def arguments(self) -> dict[str, Any]:
        """JSON arguments of the constructor, apart from inner classifiers and predictors."""
        return {}

    def transformed(self, images: Tensor) -> Tensor | None:
        """The images the model inside sees in place of ``images``, for samples; None where they stay as they are."""
        return None

    def describe(self) -> dict[str, Any]:
        """JSON facts about the choice it stands for, such as the prompt it uses; kept as `Record.selected`."""
        return {}

    def forward(self, images: Tensor) -> Tensor:
        """As `predict`."""
        return self.predict(images)
