"""MAP: a learnt mask prunes from a frozen model what carries over to the unauthorised side."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from bench import models
from bench.contracts import BadParameter, Batch, Classifier, DefenderNeeds, DefenderView, Images, Key, Lock, Run, param
from bench.gradients import without_gradients
from bench.parameters import layer_weights
from locks.kit.domains import neighbour_domains
from locks.kit.family import sides
from locks.kit.passes import augmentation, batch_statistics, is_apart
from locks.kit.pseudo import pseudo_source

CAPS = {"source": 5.0, "source-free": 0.5, "data-free": 0.25}
"""Where the target's term stops to count. What is only synthesised holds a model less, and bears less pushing."""


class MAP(Lock):
    """A mask prunes the weights that only unauthorised images need.

    Minimises CE(f_m(x_s), y_s) − min(λ CE(f_m(x_t), y_t), cap) over the scores behind a binary mask m, weights
    frozen; y_t is the unmasked model's own answer. `source-free` synthesises the authorised side from the model,
    `data-free` the unauthorised one as well.
    """

    title = "MAP"
    paper = "Peng, Qu, Wu, Zou, He, Knoll, Chen, Jiang: MAP, CVPR 2024, arXiv 2403.04149"
    published = ("map_average.csv",)
    tasks = ("classification", "segmentation")
    unsuited_values = {
        "segmentation": {
            "setting=source-free": "a generator of one class an image makes no masks",
            "setting=data-free": "a generator of one class an image makes no masks",
        },
    }
    deviations = (
        "reconstruction: λ 0.1 is the family's, its cap of 1 became 5, 0.5 and 0.25 in the three settings by tuning",
        "reconstruction: the mask is a score per weight or channel, hard threshold forward, straight-through backward; "
        "batch norm, biases and the last layer stay, and sparsity is that of the others",
        "source-free and data-free: generator and neighbour domains are reconstructed from the paper's description; "
        "see `locks/kit/pseudo.py` for their losses",
        "target images whose pseudo-label has a probability below `confident` are left out (source-free)",
        "segmentation is ours: the cross-entropy is a mean over pixels, and setting=source alone is defined",
        "`passes=apart` and other values of `augment` are hardened forms, not the paper's",
    )
    quick = {"steps": 3, "generator_steps": 2}

    setting: str = param(
        "source", "what the owner has: source and target; the target alone; the model alone",
        choices=("source", "source-free", "data-free"),
    )  # fmt: skip
    use: str = param(
        "authorisation", "`ownership` (setting=source) swaps the sides: clean images work, keyed ones fail",
        choices=("authorisation", "ownership"),
    )  # fmt: skip
    mask: str = param(
        "learned", "`random` is the control: in each layer a random share `kept` of the weights remains",
        choices=("learned", "random"),
    )  # fmt: skip
    kept: float = param(0.9, "share of the weights that remain in every layer", ge=0, le=1, where={"mask": ("random",)})
    granularity: str = param("weight", "what one score stands for", choices=("weight", "channel"))
    weight: float = param(0.1, "λ, weight of the target's cross-entropy", ge=0, le=10, where={"mask": ("learned",)})
    cap: float | None = param(
        None, "where that term stops to count; none: 5 with the source, 0.5 source-free, 0.25 data-free", ge=0, le=100
    )
    confident: float = param(
        0.5, "least probability of a pseudo-label", ge=0, le=1, where={"setting": ("source-free",)}
    )
    threshold: float = param(
        0.005, "a weight is kept where its score is above", ge=0, le=1, where={"mask": ("learned",)}
    )
    start: float = param(0.01, "score every weight starts from", ge=0, le=1, where={"mask": ("learned",)})
    steps: int = param(300, "optimiser steps of the mask", ge=1, le=100_000, unit="steps", where={"mask": ("learned",)})
    generator_steps: int = param(
        400,
        "optimiser steps of the generator",
        ge=1,
        le=100_000,
        unit="steps",
        where={"setting": ("source-free", "data-free")},
    )
    rate: float = param(1e-3, "learning rate of the scores", ge=1e-6, le=1, where={"mask": ("learned",)})
    batch: int = param(64, "images of each side a step", ge=2, le=4096, where={"mask": ("learned",)})
    passes: str = param(
        "joint", "`apart`: unauthorised images also go through a pass of their own, with their own batch statistics",
        choices=("joint", "apart"), where={"mask": ("learned",)},
    )  # fmt: skip
    augment: str = param(
        "victim", "how training images are varied; what is synthesised never is",
        choices=("victim", "jitter", "none"), where={"setting": ("source",)},
    )  # fmt: skip

    def needs(self) -> DefenderNeeds:
        if self.use == "ownership" and self.setting != "source":
            raise BadParameter("use=ownership needs setting=source: the keyed images are what shall fail")
        return DefenderNeeds(
            authorised=self.setting == "source",
            authorised_labels=self.setting == "source",
            unauthorised=self.setting != "data-free",
            unauthorised_labels=self.use == "ownership",
        )

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        model = victim.eval()
        mask = Mask(model, self.granularity, self.start, self.threshold).to(run.device)
        if self.mask == "random":
            mask.draw(self.kept, run.rng("random mask"))
        else:
            self._learn(model, mask, *self._sides(model, data, run), data, run)
        layers = mask.prune()
        remaining, total = (sum(layer[what] for layer in layers.values()) for what in ("kept", "of"))
        run.note(sparsity=round(1 - remaining / total, 4), layers=layers)
        return model

    def _sides(self, model: Classifier, data: DefenderView, run: Run) -> tuple[Images, Images]:
        """Authorised images with labels, unauthorised ones with the model's own answer."""
        if self.setting == "source":
            own, other = sides(data, self.use)
            if data.spec.is_dense:
                return own, other.with_masks(models.answers(model, other))
            return own, self._with_answers(model, other, 0.0)
        source = self._pseudo_source(model, data.spec.size, run)
        if self.setting == "source-free":
            return source, self._with_answers(model, data.unauthorised, self.confident)
        return source, neighbour_domains(model, source, run)

    def _pseudo_source(self, model: Classifier, size: int, run: Run) -> Images:
        """The pseudo-source images, made once for all masks over one victim."""

        def make() -> dict[str, Tensor]:
            images = pseudo_source(model, size, run, steps=self.generator_steps)
            return {"pixels": images.pixels, "labels": images.labels}

        tensors = run.artefact("pseudo-source", {"steps": self.generator_steps, "size": size}, make)
        return Images(tensors["pixels"], tensors["labels"])

    @staticmethod
    def _with_answers(model: Classifier, images: Images, least: float) -> Images:
        p, label = models.logits(model, images).softmax(1).max(1)
        index = torch.nonzero(p >= least).flatten()
        index = index if len(index) else torch.arange(len(images))
        return images.subset(index).with_labels(label[index])

    def _learn(self, model: Classifier, mask: Mask, s: Images, t: Images, data: DefenderView, run: Run) -> None:
        cap = CAPS[self.setting] if self.cap is None else self.cap
        apart = is_apart(self.passes, model)

        def loss(a: Batch, b: Batch) -> Tensor:
            n, weights = len(a.images), mask.weights()
            logits = functional_call(model, weights, (torch.cat([a.images, b.images]),))[:, : model.k]
            keep = F.cross_entropy(logits[:n], a.labels)
            out = keep - (self.weight * F.cross_entropy(logits[n:], b.labels)).clamp(max=cap)
            if apart:
                with batch_statistics(model):
                    logits = functional_call(model, weights, (b.images,))[:, : model.k]
                out = out - (self.weight * F.cross_entropy(logits, b.labels)).clamp(max=cap)
            return out

        with without_gradients(model.parameters()):
            run.fit(
                mask, loss, self.steps, s, t, rate=self.rate, batch=self.batch, decay=0.0, warmup=0.0, clip=0.0,
                augment=augmentation(data, self.augment) if self.setting == "source" else None, name="mask",
            )  # fmt: skip


class Mask(nn.Module):
    """A score for every weight (or output channel) of every layer but the last of a frozen model."""

    def __init__(self, model: Classifier, granularity: str, start: float, threshold: float) -> None:
        super().__init__()
        self._weights = dict(list(layer_weights(model).items())[:-1])
        self.threshold = threshold
        self.scores = nn.ParameterList(
            [
                nn.Parameter(torch.full((len(p), *(1,) * (p.ndim - 1)) if granularity == "channel" else p.shape, start))
                for p in self._weights.values()
            ]
        )

    def weights(self) -> dict[str, Tensor]:
        """Weights under the mask by name; the gradient passes straight through the threshold to the scores."""
        out = {}
        for (name, weight), score in zip(self._weights.items(), self.scores, strict=True):
            hard = (score > self.threshold).to(weight.dtype)
            out[name] = weight.detach() * (hard + score - score.detach())
        return out

    @torch.no_grad()
    def draw(self, kept: float, rng: torch.Generator) -> None:
        """Keep a random ``kept`` of the scores in every layer."""
        for score in self.scores:
            order = torch.randperm(score.numel(), generator=rng).to(score.device)
            selection = torch.zeros(score.numel(), device=score.device)
            selection[order[: round(kept * score.numel())]] = 1.0
            score.copy_(selection.view_as(score) * (self.threshold + 1))

    @torch.no_grad()
    def prune(self) -> dict[str, dict[str, int]]:
        """Set pruned weights to 0 in the model; by layer, how many weights remain (``kept``) of how many (``of``)."""
        sizes = {}
        for (name, weight), score in zip(self._weights.items(), self.scores, strict=True):
            hard = (score > self.threshold).expand_as(weight)
            weight.mul_(hard)
            sizes[name] = {"kept": int(hard.sum()), "of": weight.numel()}
        return sizes
