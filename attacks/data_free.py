"""Data-free extraction: a generator draws the images that a student asks the locked model about."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.kit.access import ANSWERS, ask
from attacks.kit.adaptation import balance
from attacks.kit.input import to_pixels
from attacks.kit.students import (
    affordable,
    all_labelled,
    divergence,
    soft_targets,
    student,
    with_own_statistics,
)
from bench.augment import jitter
from bench.contracts import Acceptance, Attack, AttackerView, Classifier, Images, Predictor, Run, ThreatModel, param
from bench.predictors import Direct
from bench.synthesis import NOISE, Generator, NormStatistics, surrogates


class DataFree(Attack):
    """A student learns from images that a generator makes: the attacker needs none.

    With weights t the generator minimises H(p_t) − 5 H(mean p_t) + BN + w · [−KL(p_t ‖ p_s)]: sure and balanced
    answers, the batch-norm statistics of the locked model, and disagreement with the student s. With answers alone it
    minimises the first two terms under the student. The student learns from a memory of answers, which starts with
    procedural images, and from true labels where the view has any. Where the view has unlabelled images, its batch-norm
    statistics are theirs in the end.
    """

    title = "data-free extraction"
    paper = (
        "after Chen et al.: Data-Free Learning of Student Networks (DAFL), ICCV 2019; Fang et al.: Data-Free "
        "Adversarial Distillation, 2019"
    )
    selection = "last"
    unsuited = "its generator draws images of no scene, in which pixels have no classes to learn"
    defaults = {
        "threat.access": "weights",
        "threat.share": 0.0,
        "threat.unlabelled": False,
        "threat.wordlist": "none",
        "threat.known": "none",
    }
    deviations = (
        "DAFL's activation term is replaced by the distance to batch-norm statistics, where the model has any",
        "without weights the generator sees the student only: no zeroth-order gradients are bought with queries",
        "the student learns from a memory, not from the newest images alone, against forgetting",
        "for images whose answer is an extra output the student learns the K real logits, renormalised; under "
        "access=labels they are left out",
    )
    quick = {"steps": 3, "queries": 80}

    student: str = param("same", "the victim's architecture (`same`), vit, cnn, or a timm name")
    start: str = param("public", "weights the student starts from", choices=("public", "random"))
    steps: int = param(
        400, "optimiser steps of the student; the generator takes half as many", ge=1, le=100_000, unit="steps"
    )
    queries: int = param(4000, "images queried in all; half of them procedural", ge=1, le=1_000_000, unit="images")
    disagree: float = param(0.3, "w, weight of the disagreement of model and student", ge=0, le=10)
    statistics: float = param(1.0, "weight of the batch-norm statistics", ge=0, le=10)
    handed: int = param(4, "students handed in on the way", ge=1, le=50)
    rate: float = param(3e-4, "of the student's AdamW, falling as a cosine, and of the generator's Adam", ge=1e-6, le=1)
    batch: int = param(64, "images a step", ge=4, le=4096)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(ANSWERS)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        rng, size = run.rng("noise"), target.spec.size
        model = student(self.student, self.start, target, run)
        run.submit(Direct(copy.deepcopy(model)), images=0)
        torch.manual_seed(run.seed("generator weights"))
        generator = Generator(size).to(run.device)
        memory = _Memory(self, target, run)
        memory.query(surrogates(affordable(target, run, self.queries // 2), size, rng))
        if not len(memory):
            return Direct(model.eval())  # the budget allows no query
        forger = torch.optim.Adam(generator.parameters(), lr=self.rate, betas=(0.5, 0.99))
        learner = torch.optim.AdamW(model.parameters(), lr=self.rate)
        course = torch.optim.lr_scheduler.CosineAnnealingLR(learner, self.steps)
        true = all_labelled(target)
        marks = {self.steps * (i + 1) // self.handed for i in range(self.handed)}
        each = max(1, (self.queries - self.queries // 2) // max(1, (self.steps + 1) // 2))
        for step in range(self.steps):
            if step % 2 == 0:
                self._draw(generator, model, target, run, forger, rng)
                with torch.no_grad():
                    fakes = generator(torch.randn(max(self.batch, each), NOISE, generator=rng).to(run.device))
                memory.query(fakes[: affordable(target, run, each)].cpu())
            model.train()
            images, targets, weight = memory.recall(rng)
            images = jitter(images, rng)
            if true is None:
                loss = self.distilled(model(images), targets, weight)
            else:
                truth = true.take(torch.randint(0, len(true), (self.batch,), generator=rng))
                outputs = model(torch.cat([images, jitter(truth.images.to(run.device), rng)]))
                loss = self.distilled(outputs[: len(images)], targets, weight)
                loss = loss + F.cross_entropy(outputs[len(images) :], truth.labels.to(run.device))
            learner.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            learner.step()
            course.step()
            run.progress(step + 1, self.steps, "extract")
            if step + 1 in marks:
                run.submit(Direct(with_own_statistics(model, target, run)), images=len(memory))
        return Direct(with_own_statistics(model, target, run))

    def weigh(self, _target: AttackerView, _pixels: Tensor, weight: Tensor) -> Tensor:
        """(N,) what each image (N, 3, H, W) uint8 counts in `distilled`, of its weight (N,) by its answer."""
        return weight

    def distilled(self, logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
        """What the student's ``logits`` (N, K) lose on answers ``targets`` (N, K) with weights (N,)."""
        return divergence(logits, targets, weight)

    def _draw(
        self,
        generator: Generator,
        model: Classifier,
        target: AttackerView,
        run: Run,
        optimiser: torch.optim.Optimizer,
        rng: torch.Generator,
    ) -> None:
        """One step of the generator."""
        white = target.threat.access == "weights"
        guide = (target.classifier if white else model).eval()
        images = generator(torch.randn(self.batch, NOISE, generator=rng).to(run.device))
        with NormStatistics(guide) as statistics:
            logits = guide.logits(images)
            p = logits.softmax(1)
            loss = -(p * logits.log_softmax(1)).sum(1).mean() + 5 * balance(p)
        if white:
            loss = loss + self.statistics * statistics.mean()
            theirs = model.eval()(images).log_softmax(1)
            loss = loss - self.disagree * F.kl_div(theirs, p, reduction="batchmean").clamp(max=5)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()


class _Memory:
    """All images that were queried, with the targets that the answers give."""

    def __init__(self, attack: DataFree, target: AttackerView, run: Run) -> None:
        self.attack, self.target, self.run, self.batch = attack, target, run, attack.batch
        size, k = target.spec.size, target.spec.k
        self.images = Images(torch.zeros(0, 3, size, size, dtype=torch.uint8))
        self.targets, self.weight = torch.zeros(0, k), torch.zeros(0)

    def __len__(self) -> int:
        return len(self.images)

    def query(self, images: Tensor) -> None:
        """Query images (N, 3, H, W) and add the answers."""
        for part in images.split(self.batch) if len(images) else ():
            pixels = to_pixels(part)
            outputs = ask(self.target, pixels.float() / 255)
            targets, weight = soft_targets(outputs, self.target.spec.k, self.target.threat.access == "labels")
            weight = self.attack.weigh(self.target, pixels, weight)
            self.images = Images(torch.cat([self.images.pixels, pixels]))
            self.targets, self.weight = torch.cat([self.targets, targets]), torch.cat([self.weight, weight])

    def recall(self, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """A batch of images, probabilities and weights, one half from the newest tenth."""
        n, half = len(self), self.batch // 2
        newest = torch.randint(max(0, n - max(half, n // 10)), n, (half,), generator=rng)
        at = torch.cat([newest, torch.randint(0, n, (self.batch - half,), generator=rng)])
        parts = (self.images.take(at).images, self.targets[at], self.weight[at])
        return tuple(t.to(self.run.device) for t in parts)  # type: ignore[return-value]
