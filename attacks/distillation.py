"""Distillation: a student of any architecture learns what the locked model says, in place of labels."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.kit.access import ANSWERS
from attacks.kit.guess import surest
from attacks.kit.input import to_pixels
from attacks.kit.students import affordable, all_labelled, answers_to, learn, soft_targets, student
from bench.augment import jitter
from bench.contracts import (
    Acceptance,
    Attack,
    AttackerView,
    Batch,
    Classifier,
    Images,
    Predictor,
    Run,
    ThreatModel,
    param,
)
from bench.pixels import rows
from bench.predictors import Direct


class Distillation(Attack):
    """A student learns the locked model's answers to the attacker's images.

    Minimises T² · KL(softmax(o_K / T) ‖ softmax(s / T)) over the K real outputs, plus cross-entropy on labelled
    images; `match=feature` adds ‖W φ_s − φ_t‖², a learned linear map between normalised embeddings. With `ask=guess`
    the queries are images edited with a guessed key, and the student learns the answers for the raw ones.
    """

    title = "distillation"
    paper = (
        "Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network, 2015; features after Romero et al.: "
        "FitNets, ICLR 2015"
    )
    selection = "last"
    tasks = ("classification", "segmentation")
    defaults = {"threat.access": "logits", "threat.share": 0.01, "threat.wordlist": "none", "threat.known": "none"}
    deviations = (
        "for images whose answer is an extra output the student learns the K real logits, renormalised; under "
        "access=labels they are left out",
        "features are those that the head sees, one layer and not a hint in the middle",
    )
    quick = {"steps": 3, "rounds": 1}

    student: str = param("same", "the victim's architecture (`same`), vit, cnn, or a timm name")
    start: str = param("public", "weights the student starts from", choices=("public", "random"))
    match: str = param(
        "soft", "`hard` labels, `soft` labels, or soft labels and `feature`s (access=weights, ask=clean)",
        choices=("hard", "soft", "feature"),
    )  # fmt: skip
    ask: str = param(
        "clean", "images the model is asked about: as they are, edited with the surest of a few guesses, or by halves",
        choices=("clean", "guess", "mixed"),
    )  # fmt: skip
    guesses: int = param(24, "prompts tried", ge=1, le=10_000, unit="guesses", where={"ask": ("guess", "mixed")})
    temperature: float = param(2.0, "T, of soft answers", ge=0.1, le=50, where={"match": ("soft", "feature")})
    views: int = param(2, "queries of each image: as it is, then jittered", ge=1, le=100)
    rounds: int = param(
        2, "parts of the images; after the queries of each the student learns and is handed in", ge=1, le=50
    )
    steps: int = param(400, "optimiser steps in all", ge=1, le=100_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(64, "images a step", ge=2, le=4096)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        feature, edited = self.match == "feature", self.ask != "clean"
        some = threat.unlabelled or threat.share > 0 or threat.authorised > 0
        return (
            threat.grants(("weights",) if feature else ANSWERS)
            & Acceptance.when(
                some, "it needs images: threat.unlabelled=true, or threat.share or threat.authorised above 0"
            )
            & Acceptance.when(not (feature and edited), "match=feature goes with ask=clean alone")
            & threat.grants(images=edited, words=edited, known=("settings",) if edited else ())
        )

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        k = target.spec.k
        hard = self.match == "hard" or target.threat.access == "labels"
        temperature = 1.0 if hard else self.temperature
        labelled = all_labelled(target)
        pool = self._pool(target, labelled, run)
        model = student(self.student, self.start, target, run)
        run.submit(Direct(copy.deepcopy(model)), images=0)
        hint = Hint(target.classifier, model, target.spec.size) if self.match == "feature" else None
        guess = surest(target, run, self.guesses, 16) if self.ask != "clean" else None
        maps = pool.shape[2:] if target.spec.is_dense else ()
        targets, weight = torch.zeros(0, k, *maps), torch.zeros(0, *maps)
        pixels = pool.pixels[:0]
        for part, images in enumerate(pool.pixels.tensor_split(self.rounds)):
            images = images[: affordable(target, run, len(images))]
            views = images.float() / 255
            if guess is not None and len(views):
                edited = len(views) if self.ask == "guess" else len(views) // 2
                views = torch.cat([run.edit(views[:edited], *guess), views[edited:]])
            answers = answers_to(target, views)
            if target.threat.access != "labels":
                answers = answers[:, :k]
            new = soft_targets(answers, k, hard, temperature)
            targets, weight = torch.cat([targets, new[0]]), torch.cat([weight, new[1]])
            pixels = torch.cat([pixels, images])
            steps = self.steps * (part + 1) // self.rounds - self.steps * part // self.rounds
            if steps and len(pixels):
                learn(
                    model, Images(pixels), targets, weight, run, steps, self.rate, self.batch, f"student/{part}",
                    labelled, temperature, hint, None if hint is None else hint.map,
                )  # fmt: skip
            run.submit(Direct(copy.deepcopy(model)), images=len(pixels))
        return Direct(model)

    def _pool(self, target: AttackerView, labelled: Images | None, run: Run) -> Images:
        """All images to query, in order: shuffled, and each as it is before any jittered."""
        sets = [target.unlabelled.pixels] if target.threat.unlabelled else []
        if labelled is not None:
            sets.append(labelled.pixels)
        rng = run.rng("asked")
        pixels = torch.cat(sets)
        pixels = pixels[torch.randperm(len(pixels), generator=rng)]
        copies = [to_pixels(jitter(pixels.float() / 255, rng)) for _ in range(self.views - 1)]
        return Images(torch.cat([pixels, *copies]))


class Hint:
    """‖W φ_s − φ_t‖², a mean over coordinates of layer-normalised embeddings; W learns beside the student.

    Embeddings that are maps are compared pixel by pixel, the student's at the resolution of the teacher's.

    Args:
        teacher: the locked model.
        model: the student.
        size: side length of the task's images.
    """

    def __init__(self, teacher: Classifier, model: Classifier, size: int) -> None:
        self.teacher, self.model = teacher.eval().requires_grad_(False), model
        device = next(model.parameters()).device
        with torch.no_grad():
            probe = torch.zeros(1, 3, size, size, device=device)
            self.wide, narrow = teacher.embed(probe).shape[1], copy.deepcopy(model).eval().embed(probe).shape[1]
        self.map = nn.Linear(narrow, self.wide).to(device)

    def __call__(self, batch: Batch) -> Tensor:
        with torch.no_grad():
            embedded = self.teacher.embed(batch.images)
            theirs = F.layer_norm(rows(embedded), (self.wide,))
        own = self.model.embed(batch.images)
        if own.shape[2:] != embedded.shape[2:]:
            own = F.interpolate(own, embedded.shape[2:], mode="bilinear", align_corners=False)
        return F.mse_loss(self.map(rows(own)), theirs)
