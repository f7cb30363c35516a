"""Edit imitation: ordinary style transfer, fitted on a few leaked pairs, in place of diffusion model and prompt."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks.kit.access import ANSWERS, ask, handle
from attacks.kit.front import InFront
from attacks.kit.input import Moments, Residual, Swap, Transform, least_squares, subset
from attacks.kit.selection import guess_score, highest
from bench.augment import jitter
from bench.contracts import Acceptance, Attack, AttackerView, Batch, Images, Predictor, Run, ThreatModel, param


class Pairs(NamedTuple):
    """Raw images and the same after the key, each (N, 3, H, W) in [0, 1]."""

    raw: Tensor
    keyed: Tensor

    def at(self, index: Tensor) -> Pairs:
        return Pairs(self.raw[index], self.keyed[index])


class EditImitation(Attack):
    """A copy of the key's effect, fitted to leaked pairs, in front of the locked model.

    `colour`: the linear colour map of least squares. `adain`: the edited images' channel moments, on pixels.
    `fourier`: their amplitude at low frequencies. `network`: a small residual network trained on the pairs, after the
    colour map. `auto` fits each on a part of the pairs and refits the best on all.
    """

    title = "edit imitation"
    paper = (
        "ours; AdaIN, Huang and Belongie, ICCV 2017; FDA, Yang and Soatto, CVPR 2020; image translation from pairs "
        "after pix2pix, Isola et al., CVPR 2017"
    )
    selection = (
        "held-out-pairs-or-label-free",
        "least error on leaked pairs held out; choose=label-free: most information in answers to the attacker's images",
    )
    deviations = (
        "AdaIN is applied to pixels: no decoder of features is trained",
        "the network learns by squared error alone: with a handful of pairs a discriminator knows them by heart",
    )
    tasks = ("classification", "segmentation")
    defaults = {
        "threat.access": "logits",
        "threat.share": 0.0,
        "threat.leaked": 16,
        "threat.wordlist": "none",
        "threat.known": "none",
    }
    quick = {"steps": 3}

    how: str = param(
        "auto", "what imitates the edit", choices=("auto", "colour", "fourier", "adain", "network")
    )  # fmt: skip
    choose: str = param(
        "pairs",
        "what `auto` keeps: least error on held-out pairs, or the most confident and balanced on unlabelled images",
        choices=("pairs", "label-free"),
        where={"how": ("auto",)},
    )
    band: float = param(
        0.25, "frequencies that are swapped, as a share of the highest", ge=0, le=1, where={"how": ("auto", "fourier")}
    )
    width: int = param(24, "channels of the network", ge=1, le=512, where={"how": ("auto", "network")})
    steps: int = param(
        400, "optimiser steps of the network", ge=1, le=100_000, unit="steps", where={"how": ("auto", "network")}
    )
    rate: float = param(3e-3, "peak learning rate of the network", ge=1e-6, le=1, where={"how": ("auto", "network")})
    probe: int = param(128, "unlabelled images that the label-free choice asks about", ge=2, le=4096, unit="images")

    def accepts(self, threat: ThreatModel) -> Acceptance:
        free = self.how == "auto" and self.choose == "label-free"
        return threat.grants(ANSWERS, leaked=True, unlabelled=free)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        raw, keyed = target.leaked_pairs
        pairs = Pairs(raw.images, keyed.images)
        how = self.how
        if how == "auto":
            how = self._best_form(pairs, target, run)
        return InFront.of(handle(target), *self._fit(how, pairs, run, "all"))

    def _best_form(self, pairs: Pairs, target: AttackerView, run: Run) -> str:
        """The name of the imitation that does best on what it was not fitted on; hands in each."""
        forms = ("colour", "fourier", "adain", "network")
        order = torch.randperm(len(pairs.raw), generator=run.rng("held out"))
        n = len(order) // 4 or (1 if len(order) > 1 else 0)
        train, validation = pairs.at(order[n:]), pairs.at(order[:n] if n else order)
        probe = subset(target.unlabelled, self.probe, run.rng("probe")) if self.choose == "label-free" else None
        scores = {}
        for form in forms:
            chain = self._fit(form, train, run, "part")
            with torch.no_grad():
                transform = nn.Sequential(*chain)
                if probe is not None:
                    scores[form] = guess_score(ask(target, transform(probe.images)), None, target.spec.k)
                else:
                    scores[form] = -float(F.mse_loss(transform(validation.raw), validation.keyed))
            run.submit(InFront.of(handle(target), *chain), how=form, score=round(scores[form], 6))
        return highest(scores)

    def _fit(self, how: str, pairs: Pairs, run: Run, name: str) -> list[Transform]:
        if how == "adain":
            return [Moments().set(pairs.keyed)]
        if how == "fourier":
            return [Swap(pairs.raw.shape[-1], self.band).set(pairs.keyed)]
        colour = least_squares(pairs.raw, pairs.keyed)
        return [colour] if how == "colour" else [colour, self._network(pairs, colour, run, name)]

    def _network(self, pairs: Pairs, colour: Transform, run: Run, name: str) -> Transform:
        """The residual network that takes colour-mapped images the rest of the way."""
        torch.manual_seed(run.seed("network"))
        transform = Residual(pairs.raw.shape[-1], self.width)
        rng = run.rng(f"network/{name}/augment")
        both = torch.cat([colour(pairs.raw), pairs.keyed], 1).to(run.device)
        source = Images((pairs.raw * 255).round().byte())

        def loss(batch: Batch) -> Tensor:
            pair = batch.of(both)
            # Moved copies teach it what does not depend on the place; the originals keep what does.
            copies = jitter(pair, rng)
            coin = torch.rand(len(pair), generator=rng).to(pair.device) < 0.5
            pair = torch.where(coin.view(-1, 1, 1, 1), copies, pair)
            return F.mse_loss(transform(pair[:, :3]), pair[:, 3:])

        run.fit(transform, loss, self.steps, source, rate=self.rate, batch=16, decay=1e-3, name=f"network/{name}")
        return transform.cpu()
