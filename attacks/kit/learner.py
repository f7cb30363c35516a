"""Training a classifier of one's own on whatever a view grants: labels of either side, and unlabelled images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.kit.selection import mutual_information
from bench import models
from bench.augment import jitter, recolour
from bench.contracts import AttackerView, Augment, Batch, Classifier, Images, Run

AUGMENTS: Mapping[str, Augment] = {"jitter": jitter, "recolour": recolour}
"""What an attack or a victim varies its images by."""


@dataclass(frozen=True)
class Data:
    """The images of a view, each None where it grants none.

    Args:
        near: labelled unauthorised images: of the side that is judged.
        far: labelled authorised images.
        pool: unlabelled unauthorised images.
    """

    near: Images | None
    far: Images | None
    pool: Images | None

    @classmethod
    def of(cls, target: AttackerView) -> Data:
        """What ``target`` grants."""
        threat = target.threat
        return cls(
            target.labelled if threat.share > 0 else None,
            target.authorised if threat.authorised > 0 else None,
            target.unlabelled if threat.unlabelled else None,
        )

    @property
    def labelled(self) -> list[Images]:
        """The labelled sets there are: near, then far."""
        return [images for images in (self.near, self.far) if images is not None]

    def everything_labelled(self) -> Images:
        """All labelled images as one set; there must be some."""
        sets = self.labelled
        return Images(torch.cat([s.pixels for s in sets]), torch.cat([s.labels for s in sets]))


class Learner:
    """One training of a classifier on all of ``data``.

    Minimises the mean cross-entropy of each labelled side, minus the mutual information of the pool or plus the
    cross-entropy of labels given to it. Unauthorised images go through the model in one pass and authorised ones in
    another: batch norm answers each side by its own statistics, and ends with those of the pool.

    Args:
        model: trained in place.
        augment: how images vary from step to step.
        batch: unlabelled images a step; of each labelled side half as many.
        name: of the random numbers.

    Attributes:
        labels_of_pool: (N,) int64 classes given to the pool, or None.
    """

    def __init__(self, model: Classifier, data: Data, run: Run, augment: Augment, batch: int, name: str) -> None:
        self.model, self.data, self.run = model, data, run
        self.augment, self.batch, self.name = augment, batch, name
        self.labels_of_pool: Tensor | None = None

    def fit(self, steps: int, rate: float, information: bool) -> None:
        """``steps`` of AdamW at peak ``rate``; with ``information`` the pool's mutual information counts."""
        uses_pool = self.data.pool is not None and (information or self.labels_of_pool is not None)
        sources = [("near", self.data.near), ("far", self.data.far), ("pool", self.data.pool if uses_pool else None)]
        names = [name for name, images in sources if images is not None]
        half = max(2, self.batch // 2)

        def loss(*batches: Batch) -> Tensor:
            return self.loss(dict(zip(names, batches, strict=True)), information)

        self.run.fit(
            self.model, loss, steps, *[images for _, images in sources if images is not None],
            rate=rate, batch=[self.batch if name == "pool" else half for name in names], augment=self.augment,
            name=self.name,
        )  # fmt: skip
        if self.data.pool is not None and models.has_batch_norm(self.model):
            models.reestimate_batch_norm(self.model, self.data.pool)

    def loss(self, batches: Mapping[str, Batch], information: bool) -> Tensor:
        """The loss of one batch of each of ``near``, ``far`` and ``pool`` that is there."""
        logits = self._answers(batches)
        sides = [F.cross_entropy(logits[name], batches[name].labels) for name in ("near", "far") if name in batches]
        loss = torch.stack(sides).mean()
        if "pool" in batches:
            if information:
                loss = loss - mutual_information(logits["pool"])
            if self.labels_of_pool is not None:
                given = self.labels_of_pool[batches["pool"].index].to(loss.device)
                loss = loss + F.cross_entropy(logits["pool"], given)
        return loss

    def _answers(self, batches: Mapping[str, Batch]) -> dict[str, Tensor]:
        """(N, K) logits of each batch: the unauthorised ones from one pass, the authorised one from its own."""
        out = {}
        for names in (("near", "pool"), ("far",)):
            here = [name for name in names if name in batches]
            if here:
                together = self.model.logits(torch.cat([batches[name].images for name in here]))
                out |= dict(zip(here, together.split([len(batches[name]) for name in here]), strict=True))
        return out
