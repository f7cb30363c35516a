"""ModelLock: a model that works only on images edited by a diffusion model with the right prompt."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import models
from bench.contracts import Batch, Classifier, DefenderView, Key, Lock, Run, param
from locks.kit.decoys import Decoys
from locks.kit.passes import batch_statistics, is_apart


class ModelLock(Lock):
    """Fine-tuning on edited images with true labels and raw decoys with wrong ones.

    About ``edit_share`` of the training images are used after the key, with their labels y; the rest stay raw
    and get decoy labels y'. The loss has one term for each part: CE(f(key(x)), y) + w · CE(f(x), y').
    ``passes=apart`` adds w · CE(f_r(x), y'): f_r is f with the batch statistics of the raw images alone.
    """

    title = "ModelLock"
    paper = "Gao, Sun, Ma, Wu, Jiang: ModelLock: Locking Your Model With a Spell, ACM MM 2024, arXiv 2405.16285"
    published = ("modellock_prompts.csv",)
    key = "edit"
    tasks = ("classification", "segmentation")
    unsuited_values = {
        "segmentation": {"decoys=random": "a class drawn for every pixel is noise; `shifted` draws one shift an image"},
        "classification": {
            "decoys=background": "no class stands for the ground of an image; `fixed` leads to one class",
            "decoys=shifted": "an image has one label, so that a shift is a random class; `random` is the same",
        },
    }
    deviations = (
        "the training recipe is not published: AdamW, cosine rate, from the victim's weights, no mixup or cutmix",
        "the decoys' label is not published; the released Pets checkpoint has 38 outputs for 37 classes, which fits "
        "one extra class, the default",
        "other decoys are options: a fixed wrong class, random wrong classes, the uniform answer",
        "decoys are drawn anew each step from all raw images, since of a few hundred images a fixed 5 % is learnt by "
        "heart; `parts=fixed` is the paper's form",
        "raw images are not squashed and cropped apart from edited ones; the geometry-only condition stands for that",
        "segmentation is shown in the paper, but not how decoy masks are made: every form here is a reconstruction",
        "`passes=apart` is a hardened form, not the paper's",
    )
    quick = {"steps": 3}

    decoys: str = param(
        "extra",
        "label of raw images, or of their pixels: an `extra` class; a `fixed` wrong class; the `uniform` answer; per "
        "image `random` wrong classes; per pixel the `background`, or classes `shifted` by one number an image; `none` "
        "trains without decoys",
        choices=("extra", "fixed", "random", "uniform", "background", "shifted", "none"),
    )
    edit_share: float = param(0.95, "share of the training images that are edited and keep their label", ge=0.05, le=1)
    parts: str = param(
        "redrawn",
        "`fixed`: one draw of edited images and decoys for good, as in the paper; `redrawn`: drawn anew each step",
        choices=("fixed", "redrawn"),
    )
    decoy_weight: float = param(
        1.0,
        "w, weight of the decoys' term",
        ge=0,
        le=100,
        where={"decoys": ("extra", "fixed", "random", "uniform", "background", "shifted")},
    )
    passes: str = param(
        "joint",
        "`apart`: raw images also go through a pass of their own, with their own batch statistics",
        choices=("joint", "apart"),
        where={"decoys": ("extra", "fixed", "random", "uniform", "background", "shifted")},
    )
    raw: int = param(64, "raw images a step in the pass of their own", ge=2, le=4096, where={"passes": ("apart",)})
    start: str = param("victim", "weights training starts from", choices=("victim", "public"))
    steps: int = param(500, "optimiser steps", ge=1, le=100_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    weight_decay: float = param(0.05, "weight decay of AdamW", ge=0, le=1)
    batch: int = param(64, "edited images a step; decoys come on top in proportion", ge=2, le=4096)

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        extra = 1 if self.decoys == "extra" else 0
        start = victim if self.start == "victim" else data.public_model()
        model = models.widen(start, extra, run.seed("extra")).to(run.device)
        edited, decoy = data.authorised, data.unauthorised
        if self.parts == "fixed":
            rng = run.rng("parts")
            order = torch.randperm(len(edited), generator=rng)
            # Edited images and decoys of one set are different images; those of a pair are other images anyway.
            other = order if len(decoy) == len(edited) else torch.randperm(len(decoy), generator=rng)
            edited = edited.subset(order[: round(self.edit_share * len(order))])
            decoy = decoy.subset(other[round(self.edit_share * len(other)) :])
        decoys = max(2, round(self.batch * (1 - self.edit_share) / self.edit_share))
        if self.decoys == "none" or self.edit_share == 1:
            sources, sizes = [edited], [self.batch]
        else:
            sources, sizes = [edited, decoy], [self.batch, decoys]
            if is_apart(self.passes, model):
                sources, sizes = [*sources, decoy], [*sizes, self.raw]
        wrong = Decoys(self.decoys, decoy, data.spec, run.rng("decoys"))

        def loss(e: Batch, d: Batch | None = None, alone: Batch | None = None) -> Tensor:
            if d is None:
                return F.cross_entropy(model(e.images), e.labels)
            outputs = model(torch.cat([e.images, d.images]))
            keep = F.cross_entropy(outputs[: len(e.images)], e.labels)
            lead = F.cross_entropy(outputs[len(e.images) :], wrong(d))
            if alone is not None:
                with batch_statistics(model):
                    lead = lead + F.cross_entropy(model(alone.images), wrong(alone))
            return keep + self.decoy_weight * lead

        run.fit(
            model, loss, self.steps, *sources,
            rate=self.rate, batch=sizes, decay=self.weight_decay, augment=data.augment, name="lock",
        )  # fmt: skip
        return model
