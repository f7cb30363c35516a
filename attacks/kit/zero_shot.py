"""Zero-shot CLIP: a class is the text of its name, and no label is needed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.contracts import Predictor, Spec


class ZeroShot(Predictor):
    """The cosine of an image's embedding with the embedding of each class.

    CLIP itself is loaded by its name wherever the predictor is rebuilt. Only the class embeddings travel.

    Args:
        clip: ``miniature``, a folder, or an open_clip model as ``ViT-B-32/laion2b_s34b_b79k``.
        k: classes.
        width: of an embedding, D.
        scale: CLIP's logit scale.
    """

    classes: Tensor

    def __init__(self, clip: str, k: int, width: int, scale: float = 100.0) -> None:
        super().__init__()
        self.clip, self.k, self.width, self.scale = clip, k, width, scale
        self.register_buffer("classes", torch.zeros(k, width))
        self._model = [load(clip)]  # in a list: no part of the state dict

    @classmethod
    def of(cls, clip: str, spec: Spec, template: str) -> ZeroShot:
        """The predictor of the classes of ``spec``, each named by ``template``, a text with ``{}``."""
        texts = load(clip).text_embedding([template.format(name) for name in spec.classes])
        predictor = cls(clip, spec.k, texts.shape[1])
        predictor.classes.copy_(texts)
        return predictor

    def arguments(self) -> dict[str, Any]:
        return {"clip": self.clip, "k": self.k, "width": self.width, "scale": self.scale}

    def predict(self, images: Tensor) -> Tensor:
        embedded = self._model[0].image_embedding(images).clone().to(self.classes.device)
        scores: Tensor = self.scale * embedded @ self.classes.T
        return scores


def load(clip: str) -> Any:
    """The CLIP of that name, on the CPU.

    Raises:
        UserError: its weights are not here.
    """
    from bench.editors.relatedness import named

    return named(clip)
