"""MergeGuard: the important weights of a fine-tuned model go back to the public ones, so that merging fails."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.contracts import Batch, Classifier, DefenderNeeds, DefenderView, Images, Key, Lock, Run, param
from bench.parameters import counterparts, layer_weights

AT_ONCE = 256
"""Images that the importance of weights is measured on, at most."""


class MergeGuard(Lock):
    """The model is spread over its weights by training, then some of them go back to the public model's.

    Trains with CE + w Σ ‖θ‖², then θ̂ = θ' − β M ⊙ (θ' − θ_pre). M leaves out the critical layers, and of the others
    the less important weights.
    """

    title = "MergeGuard"
    paper = "MergeGuard, CVPR 2026, arXiv 2511.11851"
    unsuited = "its importance of weights is that for one label an image"
    deviations = (
        "known from a note on the paper; the importance of a weight, |θ ∂L/∂θ| on the owner's images, and of a layer, "
        "its weights' mean, are a reconstruction",
        "the head stays out of M: a public model has none for the task",
        "Σ ‖θ‖² is over the weights of layers, without norms and biases",
        "AdamW with a cosine rate for a fixed number of steps, from the victim's weights",
        "w of Σ ‖θ‖² is 0.0001 by tuning, where the note has 0.01: at that, three quarters of UP were lost here",
        "the claim is about merged models: RP under `merging` is what to read; nothing here lowers LP by itself",
    )
    quick = {"steps": 3}

    beta: float = param(1.0, "β, how far chosen weights go back to the public ones", ge=0, le=10)
    penalty: float = param(1e-4, "w, weight of Σ ‖θ‖²", ge=0, le=10)
    critical: float = param(0.1, "share of the layers that M leaves out, the most important", ge=0, le=1)
    kept: float = param(0.9, "share of each other layer's weights that M leaves out, the least important", ge=0, le=1)
    steps: int = param(300, "optimiser steps", ge=1, le=100_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(64, "images a step", ge=2, le=4096)

    def needs(self) -> DefenderNeeds:
        return DefenderNeeds(unauthorised=False, unauthorised_labels=False)

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        model = victim
        weights = layer_weights(model)

        def loss(batch: Batch) -> Tensor:
            size = torch.stack([w.square().sum() for w in weights.values()]).sum()
            return F.cross_entropy(model.logits(batch.images), batch.labels) + self.penalty * size

        run.fit(
            model, loss, self.steps, data.authorised,
            rate=self.rate, batch=self.batch, decay=0.0, augment=data.augment, name="spread",
        )  # fmt: skip
        body = layer_weights(model, head=False)
        masks = least_to_public(self._importance(model, body, data.authorised, run), self.critical, self.kept)
        public = counterparts(model, data.public_model(model.extra))
        with torch.no_grad():
            for name, mask in masks.items():
                if name in public:
                    there = torch.lerp(body[name], public[name].to(body[name]), self.beta)  # at β = 1 exactly public
                    body[name].copy_(torch.where(mask, there, body[name]))
        changed, total = sum(int(m.sum()) for m in masks.values()), sum(w.numel() for w in body.values())
        run.note(weights_changed=changed, share_changed=round(changed / total, 4))
        return model

    def _importance(
        self, model: Classifier, body: dict[str, torch.nn.Parameter], images: Images, run: Run
    ) -> dict[str, Tensor]:
        """|θ ∂L/∂θ| of each weight."""
        some = images.take(torch.randperm(len(images), generator=run.rng("importance"))[:AT_ONCE], run.device)
        loss = F.cross_entropy(model.eval().logits(some.images), some.labels)
        gradients = torch.autograd.grad(loss, list(body.values()), materialize_grads=True)
        return {n: (w * g).abs().detach() for (n, w), g in zip(body.items(), gradients, strict=True)}


def least_to_public(importance: dict[str, Tensor], critical: float, kept: float) -> dict[str, Tensor]:
    """M, bool masks by layer: the ``critical`` share of layers is left out, and ``kept`` of each other's weights.

    Args:
        importance: of each weight, by layer; a layer's is the mean of its weights'.
    """
    order = sorted(importance, key=lambda n: float(importance[n].mean()), reverse=True)
    out = {}
    for name in order[round(critical * len(order)) :]:
        values = importance[name]
        count = round((1 - kept) * values.numel())
        mask = torch.zeros(values.numel(), dtype=torch.bool, device=values.device)
        mask[values.flatten().topk(count).indices] = True
        out[name] = mask.view_as(values)
    return out
