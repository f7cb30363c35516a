"""ATEsc: data-free extraction that tells the model's own images from its traps by how robust its answers are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.data_free import DataFree
from attacks.kit.students import divergence
from bench.contracts import Acceptance, AttackerView, Classifier, ThreatModel, param


class ATEsc(DataFree):
    """Synthetic images are split by an adversary: the student learns fragile answers, and shuns robust ones.

    An answer is fragile where a small change of the image changes the class, ‖δ‖_∞ ≤ ε. A lock's answers outside its
    own domain are robust: many images share one. The student minimises KL on fragile images minus
    w · min(cap, KL) on robust ones; all else is data-free extraction.
    """

    title = "ATEsc"
    paper = "ATEsc, ICML 2025, arXiv 2507.04119"
    against = ("ntl", "cuti")
    deviations = (
        "the student, the generator and the memory are those of data-free extraction, deviations included",
        "known from the abstract: the split, and what is done with its parts",
        "ε, the adversary's steps, w and the cap are a reconstruction",
        "the split is by whether projected gradient ascent changes the answer, once for each image",
    )

    epsilon: float = param(0.03, "ε, largest change of a value, of the whole range", ge=0.001, le=0.5)
    ascents: int = param(5, "steps of the adversary", ge=1, le=100)
    shun: float = param(0.1, "w, weight of the robust images", ge=0, le=10)
    cap: float = param(2.0, "where KL on robust images stops to count, nats", ge=0, le=100)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",))

    def weigh(self, target: AttackerView, pixels: Tensor, weight: Tensor) -> Tensor:
        """``weight`` of fragile images, −``weight`` of robust ones."""
        device = next(target.classifier.parameters()).device
        robust = is_robust(target.classifier, pixels.to(device).float() / 255, self.epsilon, self.ascents).cpu()
        return torch.where(robust, -weight, weight)

    def distilled(self, logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
        """KL on fragile images less w · min(cap, KL) on robust ones."""
        fragile, robust = weight.clamp_min(0), (-weight).clamp_min(0)
        return divergence(logits, targets, fragile) - self.shun * divergence(logits, targets, robust).clamp(
            max=self.cap
        )


def is_robust(model: Classifier, images: Tensor, epsilon: float, steps: int) -> Tensor:
    """(N,) bool: whether the answer of ``model`` to each of ``images`` (N, 3, H, W) outlasts the adversary.

    Signed gradient ascent of the cross-entropy to the model's own answer, with steps of 2.5 ε / ``steps``, in the box
    of ε around the image and in [0, 1].
    """
    model.eval()
    with torch.enable_grad():
        changed = images.detach().clone().requires_grad_()
        logits = model.logits(changed)
        answer = logits.argmax(1)
        robust = torch.ones_like(answer, dtype=torch.bool)
        for step in range(steps):  # the pass that gives a step its gradient also says whether the last one succeeded
            (gradient,) = torch.autograd.grad(F.cross_entropy(logits, answer, reduction="sum"), changed)
            moved = changed.detach() + 2.5 * epsilon / steps * gradient.sign()
            moved = torch.minimum(torch.maximum(moved, images - epsilon), images + epsilon).clamp(0, 1)
            changed = moved.requires_grad_(step + 1 < steps)
            logits = model.logits(changed)
            robust &= logits.argmax(1) == answer
    return robust
