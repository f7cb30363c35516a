"""A memory of answers to all of the attacker's images, and the neighbours in it: AdaContrast, PLUE and NRC."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.contracts import Classifier


class MemoryBank:
    """One row for each image: its embedding and its probabilities.

    Args:
        model: fills the memory.
        images: (N, 3, H, W) on the model's device.

    Attributes:
        embeddings: (N, D).
        answers: (N, K), probabilities of the real classes.
    """

    def __init__(self, model: Classifier, images: Tensor) -> None:
        self.images = images
        self.embeddings, self.answers = embed_and_answer(model, images)

    def refresh(self, model: Classifier) -> None:
        """Replace every row by what ``model`` makes of its image."""
        embeddings, answers = embed_and_answer(model, self.images)
        self.embeddings.copy_(embeddings)
        self.answers.copy_(answers)

    def write(self, index: Tensor, embeddings: Tensor, answers: Tensor) -> None:
        """Replace the rows at ``index`` (B,) by ``embeddings`` (B, D) and ``answers`` (B, K)."""
        self.embeddings[index], self.answers[index] = embeddings, answers

    def vote(self, embeddings: Tensor, index: Tensor, n: int) -> Tensor:
        """(B, K): the mean answer of the ``n`` rows nearest to ``embeddings`` (B, D), their own ``index`` left out."""
        return self.answers[nearest(embeddings, self.embeddings, n, but=index)].mean(1)


@torch.no_grad()
def embed_and_answer(model: Classifier, images: Tensor, batch: int = 256) -> tuple[Tensor, Tensor]:
    """Embeddings (N, D) and probabilities (N, K) of the real classes, in evaluation mode; the mode is restored."""
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    embeddings = torch.cat([model.embed(part) for part in images.split(batch)])
    probabilities = model.head(embeddings)[:, : model.k].softmax(1)
    for m, training in modes:
        m.training = training
    return embeddings, probabilities


def nearest(of: Tensor, among: Tensor, n: int, but: Tensor | None = None) -> Tensor:
    """(B, n) indices of the rows of ``among`` (N, D) with the highest cosine to each row of ``of`` (B, D).

    Args:
        but: (B,) the row of ``among`` that is the image itself and does not count.
    """
    cosine = F.normalize(of, dim=1) @ F.normalize(among, dim=1).T
    if but is not None:
        cosine = cosine.scatter(1, but[:, None], -2.0)
    return cosine.topk(min(n, len(among) - (but is not None)), dim=1).indices
