"""Condition-number immunisation: features on which gradient descent trains a linear head slowly, on one domain."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.contracts import Batch, Classifier, DefenderNeeds, DefenderView, Images, Key, Lock, Run, param
from locks.kit.conditioning import even, ill, kappa, spectrum, well

MEASURED = 512
"""Images of each side whose features the note RIR is computed on, at most."""


class ConditionNumber(Lock):
    """Linear probing on the harmful domain is ill-conditioned, on the model's own domain well-conditioned.

    Minimises CE_own + w_ill R_ill(H_harm) + w_well R_well(H_own), with H = φᵀφ of the embeddings φ of a batch,
    R_ill(S) = 1 / (‖S‖_F² / (2k) − σ_min² / 2) and R_well(S) = σ_max² / 2 − ‖S‖_F² / (2k).
    The lock notes RIR = (κ_harm after / before) / (κ_own after / before), κ the condition number of H.
    """

    title = "condition-number immunisation"
    paper = "CN: condition-number immunisation, ICML 2025, arXiv 2505.23760"
    published = ("clamp.csv",)
    unsuited = "its Hessian is that of a linear head on one embedding for each image"
    deviations = (
        "the public code divides the gradient of R_ill by (‖S‖_F / (2k) + σ_min² / 2)², which is not the square of its "
        "denominator; here the gradient is exact (`gradient=published`: as in the code)",
        "the singular values of both terms are divided by their mean, so that larger or smaller features satisfy "
        "neither (`scale=none`: as in the paper)",
        "H is that of a batch; k is the lesser of images and features, since the other singular values are always 0",
        "κ in RIR is that of H plus a millionth of its mean singular value: a channel that never fires has a σ of 0",
        "AdamW with a cosine rate for a fixed number of steps, from the victim's weights; the weights of the terms are "
        "a reconstruction",
    )
    quick = {"steps": 3, "batch": 8}

    ill: float = param(10.0, "w_ill, weight of R_ill on the harmful domain", ge=0, le=1e4)
    well: float = param(1e-3, "w_well, weight of R_well on the own domain", ge=0, le=1e4)
    gradient: str = param("exact", "gradient of R_ill; `published`: of the public code", choices=("exact", "published"))
    scale: str = param("mean", "what singular values are divided by: their mean, or nothing", choices=("mean", "none"))
    steps: int = param(300, "optimiser steps", ge=1, le=100_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(128, "images of each side a step", ge=2, le=4096)

    def needs(self) -> DefenderNeeds:
        return DefenderNeeds(unauthorised_labels=False)

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        model = victim
        sides = {"own": data.authorised, "harm": data.unauthorised}
        before = {name: self._kappa(model, images, run) for name, images in sides.items()}

        def loss(own: Batch, harm: Batch) -> Tensor:
            n = len(own.images)
            phi = model.embed(torch.cat([own.images, harm.images]))
            task = F.cross_entropy(model.head(phi[:n])[:, : model.k], own.labels)
            return task + self.ill * self._term(phi[n:], harmful=True) + self.well * self._term(phi[:n], harmful=False)

        run.fit(
            model, loss, self.steps, data.authorised, data.unauthorised,
            rate=self.rate, batch=self.batch, augment=data.augment, name="immunise",
        )  # fmt: skip
        after = {name: self._kappa(model, images, run) for name, images in sides.items()}
        growth = {name: after[name] / before[name] for name in sides}
        run.note(RIR=round(growth["harm"] / growth["own"], 4), kappa_before=before, kappa_after=after)
        return model

    def _term(self, phi: Tensor, harmful: bool) -> Tensor:
        """R_ill or R_well of the second moments of embeddings (N, D)."""
        sigma = spectrum(phi)
        sigma = even(sigma) if self.scale == "mean" else sigma
        return (ill(sigma, self.gradient) if harmful else well(sigma)).float()

    @torch.no_grad()
    def _kappa(self, model: Classifier, images: Images, run: Run) -> float:
        """κ of the embeddings of `MEASURED` images, drawn at random."""
        model.eval()
        some = images.subset(torch.randperm(len(images), generator=run.rng("measured"))[:MEASURED])
        phi = torch.cat([model.embed(batch.images.to(run.device)) for batch in some.batches(256)])
        return round(float(kappa(spectrum(phi))), 4)
