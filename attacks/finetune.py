"""Fine-tuning: what the locked weights give somebody with a few labelled images."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from bench import models
from bench.contracts import Attack, AttackerView, Batch, Predictor, Run, ThreatModel, param
from bench.predictors import Direct
from bench.training import jitter


class FineTune(Attack):
    """Train all layers of the locked model on labelled images of either side, as the public baseline trains its own.

    Cross-entropy over the K real classes. `data=source` trains on authorised images (the literature's FTAL and RTAL).
    """

    title = "fine-tuning"
    paper = "FTAL and RTAL after Adi et al., USENIX Security 2018; as used by NTL, CUTI-domain and their successors"
    selection = "last"
    defaults = {"threat.access": "weights", "threat.share": 0.1, "threat.wordlist": "none", "threat.known": "none"}

    data: str = param(
        "target", "`target`: labelled un-authorised images; `source`: labelled authorised ones (threat.authorised)",
        choices=("target", "source"),
    )  # fmt: skip
    head: str = param("kept", "the last layer: `kept`, or `new` random weights first", choices=("kept", "new"))
    steps: int = param(400, "optimiser steps", ge=1, le=100_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(64, "images a step", ge=1, le=4096)

    def accepts(self, threat: ThreatModel) -> bool:
        return threat.access == "weights" and (threat.share if self.data == "target" else threat.authorised) > 0

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        model = target.classifier
        images = target.labelled if self.data == "target" else target.authorised
        if self.head == "new":
            models.forget_head(model, run.seed("head"))

        def loss(batch: Batch) -> torch.Tensor:
            assert batch.labels is not None
            return F.cross_entropy(model(batch.images)[:, : model.k], batch.labels)

        run.fit(model, loss, self.steps, images, rate=self.rate, batch=self.batch, augment=jitter, name="fine-tune")
        return Direct(model)
