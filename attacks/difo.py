"""DIFO: a frozen CLIP, fitted to the task without labels, guides the locked model, which guides it in turn."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.kit.adaptation import Course, balance, soft_cross_entropy, weak
from bench.contracts import Acceptance, Attack, AttackerView, Batch, Predictor, Run, ThreatModel, param


class DIFO(Attack):
    """CLIP and the locked model teach each other in turns, without labels.

    Fitting CLIP maximises the mutual information I(p, v) of the joint answers of model p and CLIP v over its class
    embeddings alone. Fitting the model minimises −I(p, v) + γ · CE over the likeliest classes of the memory's mixed
    answer q = ω v + (1 − ω) p − H(mean p).
    """

    title = "DIFO"
    paper = "Tang et al.: Source-Free Domain Adaptation with Frozen Multimodal Foundation Model, CVPR 2024"
    selection = "mutual-information"
    assets = ("clip",)
    deviations = (
        "class embeddings are learnt instead of the tokens of a prompt: the same freedom without the text tower",
        "ω is a fixed share; in the paper it is drawn from an exponential distribution",
        "the model learns the likeliest classes by soft cross-entropy instead of the paper's regularisation on logits",
        "AdamW instead of SGD, and no bottleneck layer",
    )
    unsuited = "CLIP guides by one answer for each image"
    defaults = {"threat.access": "weights", "threat.share": 0.0, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 3}

    clip: str = param("miniature", "`miniature`, an open_clip folder, or a model as ViT-B-32/laion2b_s34b_b79k")
    template: str = param("a photo of {}", "text around a class name")
    steps: int = param(300, "optimiser steps of the model", ge=1, le=100_000, unit="steps")
    prompt_steps: int = param(5, "optimiser steps of CLIP's class embeddings at each turn", ge=0, le=1000, unit="steps")
    omega: float = param(0.2, "ω, CLIP's share of the mixed answer", ge=0, le=1)
    likeliest: int = param(2, "classes of the mixed answer that the model learns", ge=1, le=1000)
    gamma: float = param(1.0, "γ, weight of the likeliest classes", ge=0, le=10)
    scale: float = param(100.0, "CLIP's logit scale", ge=1, le=1000)
    every: int = param(20, "steps between two turns", ge=1, le=10_000, unit="steps")
    rate: float = param(1e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(64, "images a step", ge=2, le=4096)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), unlabelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        embeddings, texts = self._clip(target, run)
        course, rng = Course(target, run), run.rng("views")
        prompts = nn.Parameter(texts.clone())
        optimiser = torch.optim.Adam([prompts], lr=1e-3)
        targets = torch.zeros(len(embeddings), course.k, device=run.device)
        guide = torch.zeros_like(targets)

        def answer() -> Tensor:
            return (self.scale * embeddings @ F.normalize(prompts, dim=1).T).softmax(1)

        def refresh() -> None:
            _, p = course.embed_and_answer()
            for _ in range(self.prompt_steps):
                optimiser.zero_grad(set_to_none=True)
                (-joint_information(p, answer())).backward()
                optimiser.step()
            guide.copy_(answer().detach())
            targets.copy_(likely(self.omega * guide + (1 - self.omega) * p, self.likeliest))

        def loss(batch: Batch) -> Tensor:
            index = batch.there
            logits = course.model.logits(weak(batch.images, rng))
            p = logits.softmax(1)
            agreement = soft_cross_entropy(logits, targets[index]).mean()
            return self.gamma * agreement - joint_information(p, guide[index]) + balance(p)

        with torch.enable_grad():
            course.fit(loss, self.steps, rate=self.rate, batch=self.batch, refresh=refresh, every=self.every)
        return course.best()

    def _clip(self, target: AttackerView, run: Run) -> tuple[Tensor, Tensor]:
        """Unit vectors of the unlabelled images (N, E) and of the classes (K, E)."""
        from bench.miniature.clip import MiniatureClip

        clip = MiniatureClip.load(self.clip, run.device)
        texts = clip.text_embedding([self.template.format(name) for name in target.spec.classes])
        images = clip.image_embedding(target.unlabelled.images)
        return images.clone().to(run.device), texts.clone().to(run.device)  # clones are no inference tensors


def joint_information(p: Tensor, v: Tensor) -> Tensor:
    """I in nats of P = mean_i p_i v_iᵀ, symmetrised, of two answers (N, K) to the same images."""
    joint = p.T @ v / len(p)
    joint = ((joint + joint.T) / 2).clamp_min(1e-8)
    joint = joint / joint.sum()
    rows, columns = joint.sum(1, keepdim=True), joint.sum(0, keepdim=True)
    return (joint * (joint.log() - rows.log() - columns.log())).sum()


def likely(q: Tensor, n: int) -> Tensor:
    """q (N, K) cut to its ``n`` likeliest classes, and renormalised."""
    best = q.topk(min(n, q.shape[1]), dim=1)
    likeliest_part = torch.zeros_like(q).scatter(1, best.indices, best.values)
    return likeliest_part / likeliest_part.sum(1, keepdim=True)
