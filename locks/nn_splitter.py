"""NNSplitter: a few weights of one filter a layer are changed so that accuracy collapses; their values are the key."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import models
from bench.contracts import BadParameter, Batch, Classifier, DefenderNeeds, DefenderView, Key, Lock, Run, param
from bench.contracts.withheld import difference
from bench.parameters import layer_weights
from locks.kit.inside import fit_inside


class NNSplitter(Lock):
    """Weights near c in chosen filters are changed; who holds them as they were has the model.

    A controller chooses filters of each layer. Of those, the weights with |w − c| < ε maximise CE(f(x), y) − λ ‖w‖₁,
    within the layer's range. The reward is 1 − accuracy on the owner's validation images, and REINFORCE with the
    batch's mean as baseline moves the controller. The best choice ships.
    """

    title = "NNSplitter"
    paper = "Zhou, Luo, Ren, Xu: NNSplitter, ICML 2023, arXiv 2305.00097"
    published = ("nn_splitter.csv",)
    key = "weights"
    unsuited = "its reward is the accuracy of one answer an image"
    deviations = (
        "c and ε are the layer's mean plus `centre` σ, and `epsilon` σ; the paper gives one c and one ε a network",
        "the key holds each weight's own value; the authors' code puts c in place of all",
        "changed weights stay within their layer's smallest and largest weight; the code has one range a network",
        "the controller is a table of logits for each layer; the authors' recurrent network reads random input",
        "the authors' code rewards by test accuracy; here by the owner's validation images",
        "the authors' code lowers the probability of good choices; `policy=published` does so, the default raises it",
        "convolutions of 1×1 stay as they are: their filters have too few weights near c",
        "reconstruction: numbers of trials and steps fit a network of half a million weights",
    )
    quick = {"updates": 1, "trials": 1, "steps": 2}

    filters: int = param(1, "filters of each layer that the controller chooses", ge=1, le=1024)
    centre: float = param(0.0, "c, in standard deviations of the layer from its mean", ge=-4, le=4)
    epsilon: float = param(0.3, "ε, in standard deviations of the layer", ge=1e-4, le=8)
    reach: float = param(1.0, "range of changed weights, of that of their layer", ge=0.01, le=10)
    sparsity: float = param(0.0, "λ, weight of ‖w‖₁ of the changed weights", ge=0, le=10)
    policy: str = param(
        "corrected",
        "`corrected`: good choices become likelier; `published`: the sign of the authors' code; `fixed`: choices stay "
        "equally likely",
        choices=("corrected", "published", "fixed"),
    )
    updates: int = param(4, "updates of the controller", ge=1, le=1000, unit="rounds")
    trials: int = param(5, "choices for each update", ge=1, le=100, unit="rounds")
    policy_rate: float = param(
        0.5, "learning rate of the controller", ge=1e-4, le=10, where={"policy": ("corrected", "published")}
    )
    steps: int = param(25, "optimiser steps of each choice", ge=1, le=100_000, unit="steps")
    rate: float = param(0.05, "learning rate of the changed weights", ge=1e-6, le=1)
    batch: int = param(64, "images a step", ge=2, le=4096)

    def needs(self) -> DefenderNeeds:
        return DefenderNeeds(unauthorised=False, unauthorised_labels=False)

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        layers = {name: weight for name, weight in layer_weights(victim).items() if _has_filters(weight)}
        if not layers:
            raise BadParameter("the model has no linear layer, and no convolution but those of 1×1")
        controller = Controller([len(weight) for weight in layers.values()])
        optimiser = torch.optim.Adam([controller.table], lr=self.policy_rate)
        rng = run.rng("controller")
        best, shipped = -1.0, victim
        for update in range(self.updates):
            rewards, chances = [], []
            for trial in range(self.trials):
                choice = controller.choose(self.filters, rng)
                masks = {
                    name: near(weight.detach(), filters, self.centre, self.epsilon)
                    for (name, weight), filters in zip(layers.items(), choice, strict=True)
                }
                model = self._changed(victim, masks, data, run, f"trial/{update}/{trial}")
                answers = models.answers(model, data.validation_authorised)
                rewards.append(1 - float((answers == data.validation_authorised.labels).float().mean()))
                chances.append(controller.log_chance(choice))
                if rewards[-1] > best:
                    best, shipped = rewards[-1], model
            if self.policy != "fixed":
                loss = policy_loss(torch.tensor(rewards), torch.stack(chances))
                optimiser.zero_grad()
                (loss if self.policy == "corrected" else -loss).backward()
                optimiser.step()
        withheld = difference(dict(victim.named_parameters()), dict(shipped.named_parameters()))
        run.withhold(withheld)
        changed, of = sum(map(len, withheld.values())), sum(weight.numel() for weight in victim.parameters())
        run.note(withheld=changed, share=round(changed / of, 8), validation_accuracy=round(100 * (1 - best), 2))
        return shipped

    def _changed(
        self, victim: Classifier, masks: dict[str, Tensor], data: DefenderView, run: Run, name: str
    ) -> Classifier:
        """A copy of the victim whose weights in ``masks`` maximise its loss."""
        model = copy.deepcopy(victim)
        own = {n: model.get_parameter(n) for n in masks}
        ends = {n: w.detach().aminmax() for n, w in own.items()}
        limits = {n: (self.reach * float(low), self.reach * float(high)) for n, (low, high) in ends.items()}

        def loss(batch: Batch) -> Tensor:
            out = -F.cross_entropy(model.logits(batch.images), batch.labels)
            if self.sparsity:
                out = out + self.sparsity * sum((own[n] * at).abs().sum() for n, at in masks.items())
            return out

        fit_inside(model, masks, loss, self.steps, data.authorised, run, self.rate, self.batch, name, limits)
        return model


class Controller:
    """Chooses filters of each layer, each with the probability of its logit.

    Args:
        sizes: filters of each layer.
    """

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes
        self.table = torch.zeros(sum(sizes), requires_grad=True)

    def choose(self, n: int, rng: torch.Generator) -> list[Tensor]:
        """For each layer ``n`` filters, or all it has: (n,) int64."""
        return [
            torch.multinomial(logits.detach().softmax(0), min(n, len(logits)), generator=rng)
            for logits in self.table.split(self.sizes)
        ]

    def log_chance(self, choice: list[Tensor]) -> Tensor:
        """Sum of the log-probabilities of the filters in ``choice``."""
        tables = self.table.split(self.sizes)
        each = [logits.log_softmax(0)[at].sum() for logits, at in zip(tables, choice, strict=True)]
        return torch.stack(each).sum()


def policy_loss(rewards: Tensor, log_chances: Tensor) -> Tensor:
    """−Σ (r − mean r) log p over the choices of one update, each (n,): REINFORCE with the mean as baseline."""
    return -((rewards - rewards.mean()) * log_chances).sum()


def _has_filters(weight: Tensor) -> bool:
    """Whether ``weight`` is a linear layer's, or a convolution's of more than 1×1."""
    return weight.ndim == 2 or weight[0, 0].numel() > 1


def near(weight: Tensor, filters: Tensor, centre: float, epsilon: float) -> Tensor:
    """Where |w − c| < ε in the ``filters`` of ``weight``: truth values in its shape.

    c is the mean of ``weight`` plus ``centre`` standard deviations, ε is ``epsilon`` standard deviations.
    """
    sigma = weight.std(unbiased=False)
    within = (weight - weight.mean() - centre * sigma).abs() < epsilon * sigma
    chosen = torch.zeros_like(within)
    chosen[filters] = True
    return within & chosen
