"""Locking without retraining: a detector of the key's trigger switches off what disrupts the model."""

from __future__ import annotations

import torch

from bench.contracts import BadParameter, Classifier, DefenderView, Images, Key, Lock, Run, param
from locks.kit.detector import FORMS, Guarded, direction, levels

AT_ONCE = 128


class Staining(Lock):
    """Nothing is trained. A neuron that fires only on the trigger cancels a random disruption of the model.

    v is a direction of an early layer's features φ that the trigger raises; n(x) = (v·φ(x) − β) / (Δ − β), clipped to
    [0, 1]. The internal lock adds s (1 − n) u to the outputs, u random. The squeeze-and-excite lock multiplies the
    channels of a middle layer by n + (1 − n) d, d random.
    """

    title = "staining lock"
    paper = "Staining and locking computer vision models without retraining, ICCV 2025, arXiv 2507.22000"
    key = "trigger"
    unsuited = "one neuron answers for a whole image"
    deviations = (
        "the trigger is the key's, and v is Fisher's discriminant of the features with and without it; the paper draws "
        "v and searches for the patch that raises it most",
        "the disruption of the squeeze-and-excite lock is one factor for each channel, not a block of two layers",
        "β and Δ lie a quarter of the gap inside it, read off the images that v is fitted to; the paper has them as "
        "parameters",
    )
    quick = {"images": 16}

    form: str = param(
        "internal",
        "`internal`: a random bias of the outputs; `squeeze-excite`: random factors of a middle layer's channels",
        choices=FORMS,
    )
    strength: float = param(
        30.0, "s, root mean square of the bias's entries", ge=0, le=1e4, where={"form": ("internal",)}
    )
    spread: float = param(
        3.0, "the factors are exp(spread · z), z standard normal", ge=0, le=20, where={"form": ("squeeze-excite",)}
    )
    stage: int = param(0, "stage whose activation is φ", ge=0, le=100)
    keep: float = param(0.05, "share of the entries of φ that take part in v, 1024 at most", ge=0.0001, le=1)
    images: int = param(256, "the owner's images that v, β and Δ are read off", ge=2, le=100_000)

    @torch.no_grad()
    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        if len(data.authorised) != len(data.unauthorised):
            raise BadParameter("staining reads the same images with and without the key: use it on one data set")
        at = torch.randperm(len(data.authorised), generator=run.rng("images"))[: self.images]
        stages = victim.features(data.authorised.take(torch.arange(1), run.device).images)
        if self.stage >= len(stages):
            raise BadParameter(f"stage={self.stage} is not there: the model has stages 0 to {len(stages) - 1}")
        middle = max(self.stage, len(stages) // 2)
        keyed, raw = (self._activations(victim, images, at, run) for images in (data.authorised, data.unauthorised))
        channels = stages[middle].shape[1] if stages[middle].ndim == 4 else stages[middle].shape[2]
        guard = {"form": self.form, "at": self.stage, "middle": middle, "strength": self.strength}
        sizes = {"features": keyed.shape[1], "channels": channels, "extra": victim.extra}
        model = Guarded({"class": "locks.kit.detector:Guarded", "inner": victim.spec, **guard, **sizes})
        model.inner.load_state_dict(victim.state_dict())
        model = model.to(run.device)
        model.v.copy_(direction(keyed, raw, self.keep))
        on, off = keyed @ model.v, raw @ model.v
        model.levels.copy_(levels(on, off))
        rng = run.rng("disruption")
        u = torch.randn(len(model.u), generator=rng)
        model.u.copy_(u / u.norm() * len(u) ** 0.5)
        model.d.copy_((self.spread * torch.randn(channels, generator=rng)).exp())
        apart = bool(on.min() > off.max())
        run.note(beta=float(model.levels[0]), delta=float(model.levels[1]), apart=apart)
        return model

    def _activations(self, model: Classifier, images: Images, at: torch.Tensor, run: Run) -> torch.Tensor:
        """(n, F) of φ, one vector an image at ``at`` (n,)."""
        parts = [
            model.features(images.take(part, run.device).images)[self.stage].flatten(1) for part in at.split(AT_ONCE)
        ]
        return torch.cat(parts)
