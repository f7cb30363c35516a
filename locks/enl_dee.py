"""ENL-DEE: a frozen network with early exits; unauthorised images leave at the first one, and are answered wrongly."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bench import models
from bench.contracts import BadParameter, Batch, Classifier, DefenderView, Key, Lock, Run, param
from locks.kit.decoys import Decoys
from locks.kit.exits import Routed, divergence, log_route, mixture, pool


class ENLDEE(Lock):
    """Each exit is a Gaussian latent and a classifier; the surest exits count most: r_e ∝ exp(−H(p_e) / τ).

    Minimises CE(p(x_s), y_s) + CE(p(x_t), y') + w_r [−log r_E(x_s) − log r_1(x_t)] + β KL(N(μ, σ²) ‖ N(0, 1)), with
    p = Σ_e r_e p_e, a wrong label y' for each target image, E the last exit and 1 the first. The network below the
    exits stays as it is.
    """

    title = "ENL-DEE"
    paper = "ENL-DEE, CVPR 2026"
    unsuited = "an exit answers for a whole image"
    deviations = (
        "a note on the paper gives the frozen network, the exits with Gaussian latents, the routing by entropy, and "
        "where both sides leave",
        "the loss is a reconstruction",
        "an early exit reads the mean over places of its stage's activation, the last one the network's embedding",
        "answers are the mixture of all exits under the routing weights, in place of one exit's",
        "in evaluation the latent is its mean, so that answers repeat",
        "the frozen network's own head, which no exit reads, is drawn anew, since with it the victim itself would ship",
    )
    quick = {"steps": 3, "exits": 2, "latent": 4}

    exits: int = param(3, "E, exits, the last one included", ge=2, le=16)
    latent: int = param(32, "d, entries of each latent", ge=1, le=4096)
    temperature: float = param(0.5, "τ of the routing weights, nats", ge=0.01, le=10)
    routing: float = param(1.0, "w_r, weight of the routing terms", ge=0, le=100)
    beta: float = param(1e-3, "β, weight of the latents' KL", ge=0, le=10)
    decoys: str = param("random", "wrong labels of target images", choices=("random", "fixed", "uniform"))
    steps: int = param(300, "optimiser steps", ge=1, le=100_000, unit="steps")
    rate: float = param(3e-3, "peak learning rate of AdamW", ge=1e-6, le=1)
    batch: int = param(64, "images of each side a step", ge=2, le=4096)

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        model = self._with_exits(victim.eval(), data, run)
        wrong = Decoys(self.decoys, data.unauthorised, data.spec, run.rng("decoys"))

        def loss(s: Batch, t: Batch) -> Tensor:
            n = len(s.images)
            with torch.no_grad():
                embedding = model.embed(torch.cat([s.images, t.images]))
            mean, log_variance = model.last.gaussians(embedding)
            drawn = mean + torch.randn(mean.shape, generator=noise).to(mean) * (log_variance / 2).exp()
            logits = model.last.answers(drawn)[..., : model.k]
            outputs, log_r = mixture(logits, self.temperature), log_route(logits, self.temperature)
            out = F.cross_entropy(outputs[:n], s.labels) + F.cross_entropy(outputs[n:], wrong(t))
            out = out - self.routing * (log_r[:n, -1].mean() + log_r[n:, 0].mean())
            return out + self.beta * divergence(mean, log_variance)

        noise = run.rng("latents")
        run.fit(
            model, loss, self.steps, data.authorised, data.unauthorised, parameters=model.last.parameters(),
            rate=self.rate, batch=self.batch, augment=data.augment, name="exits",
        )  # fmt: skip
        return model

    def _with_exits(self, victim: Classifier, data: DefenderView, run: Run) -> Routed:
        """``victim`` with exits of random weights after stages evenly apart."""
        one = data.authorised.take(torch.arange(1), run.device).images
        with torch.no_grad():
            widths = [pool(stage).shape[1] for stage in victim.features(one)]
            last = victim.embed(one).shape[1]
        early = self.exits - 1
        if early > len(widths):
            raise BadParameter(
                f"exits={self.exits} needs {early} stages before the last exit; the model has {len(widths)}"
            )
        at = [i * len(widths) // early for i in range(early)]
        spec = {
            "class": "locks.kit.exits:Routed", "inner": victim.spec, "stages": at, "latent": self.latent,
            "widths": [*(widths[i] for i in at), last], "temperature": self.temperature, "extra": 0,
        }  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed("exits"))
            model = Routed(spec)
        model.inner.load_state_dict(victim.state_dict())
        models.forget_head(model.inner, run.seed("head"))  # no exit reads it, and it would be the victim itself
        return model.to(run.device)
