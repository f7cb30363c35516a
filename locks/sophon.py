"""SOPHON: a model that resists fine-tuning on a restricted domain."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.augment import varied
from bench.contracts import Batch, Classifier, DefenderNeeds, DefenderView, Key, Lock, Run, param


class SOPHON(Lock):
    """The model resists fine-tuning: simulated attackers end with a failing model.

    First-order MAML: the gradient of the failure loss at the fine-tuned weights is applied to the weights before
    fine-tuning. Failure is the inverse cross-entropy −log(1 − p_y), or KL(uniform ‖ p).
    """

    title = "SOPHON"
    paper = "SOPHON, IEEE S&P 2024, arXiv 2404.12699"
    unsuited = "its failure losses and simulated attackers are published for one label an image alone"
    deviations = (
        "fewer and shorter simulated attacks than the published up to 50 batches, so that it runs on a processor",
        "failure is computed over the K real classes on a fresh batch of the restricted domain",
        "learning rates are 3e-4 for the model and 1e-3 for the simulated attacker; 1e-4 is published",
        "`fail=uniform` changes the loss alone; published with it are weights 1 and 1 and 5 inner batches",
    )
    quick = {"rounds": 1, "inner": 2, "repairs": 1}

    fail: str = param("inverse", "loss that the simulated attacker is left with", choices=("inverse", "uniform"))
    rounds: int = param(120, "simulated attacks", ge=1, le=100_000, unit="rounds")
    inner: int = param(8, "batches an attacker trains on at most", ge=1, le=1000, unit="steps")
    inner_rate: float = param(1e-3, "the simulated attacker's learning rate (Adam)", ge=1e-6, le=1)
    repairs: int = param(4, "source batches after each attack", ge=0, le=1000, unit="steps")
    fail_weight: float = param(3.0, "weight of the failure loss", ge=0, le=100)
    keep_weight: float = param(5.0, "weight of the source loss", ge=0, le=100)
    rate: float = param(3e-4, "learning rate of Adam", ge=1e-6, le=1)
    clip: float = param(0.5, "gradient norm each step is clipped to", ge=0, le=100)
    batch: int = param(64, "images a batch", ge=2, le=4096)

    def needs(self) -> DefenderNeeds:
        return DefenderNeeds()

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        model = victim.train()
        optimiser = torch.optim.Adam(model.parameters(), lr=self.rate)
        attacks = run.steps(
            self.rounds * (self.inner + 1), data.unauthorised, batch=self.batch, name="simulated attack"
        )
        repairs = run.steps(max(1, self.rounds * self.repairs), data.authorised, batch=self.batch, name="repair")
        rng, lengths = run.rng("augment"), run.rng("lengths")
        for _ in range(self.rounds):
            batches = [varied(next(attacks)[0], data.augment, rng, data.unauthorised) for _ in range(self.inner + 1)]
            length = int(torch.randint(1, self.inner + 1, (1,), generator=lengths))
            attacker = copy.deepcopy(model)
            fine_tune(attacker, batches[:length], self.inner_rate)
            for p, gradient in zip(model.parameters(), self._failure_gradient(attacker, batches[-1]), strict=True):
                p.grad = gradient
            self._step(model, optimiser)
            for _ in range(self.repairs):
                batch = varied(next(repairs)[0], data.augment, rng, data.authorised)
                optimiser.zero_grad(set_to_none=True)
                loss = self.keep_weight * F.cross_entropy(model.logits(batch.images), batch.labels)
                loss.backward()  # type: ignore[no-untyped-call]
                self._step(model, optimiser)
        return model.eval()

    def _step(self, model: Classifier, optimiser: torch.optim.Optimizer) -> None:
        if self.clip:
            nn.utils.clip_grad_norm_(model.parameters(), self.clip)
        optimiser.step()

    def _failure_gradient(self, attacker: Classifier, batch: Batch) -> list[Tensor | None]:
        """Gradient of the failure loss at the attacker's weights; batch-norm statistics stay the attacker's own."""
        logits = attacker.logits(batch.images)
        loss = self.fail_weight * failure(logits, batch.labels, self.fail)
        return list(torch.autograd.grad(loss, list(attacker.parameters()), allow_unused=True))


def failure(logits: Tensor, labels: Tensor, form: str) -> Tensor:
    """−log(1 − p_y), the inverse cross-entropy, or KL(uniform ‖ p); mean over the batch, in nats."""
    if form == "uniform":
        k = logits.shape[1]
        return -logits.log_softmax(1).mean() - float(torch.log(torch.tensor(float(k))))
    wrong = logits.masked_fill(F.one_hot(labels, logits.shape[1]).bool(), float("-inf"))
    return (logits.logsumexp(1) - wrong.logsumexp(1)).mean()  # 1 - p_y as a share of the wrong classes, no overflow


def fine_tune(model: Classifier, batches: list[Batch], rate: float) -> None:
    """Adam steps of cross-entropy, one a batch, on ``model`` itself."""
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    for batch in batches:
        optimiser.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model.logits(batch.images), batch.labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
