"""Several ways to read one locked model, and how much each is to be believed; no label."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attacks.interpolation import mixture
from attacks.kit.canonical import Canonical, Look
from attacks.kit.coherence import coherence, smoothed
from attacks.kit.information import balanced, logs
from attacks.last_exit import every_exit
from bench import models
from bench.contracts import Classifier, Run

DARK = Look(grey=True, ground="dark", contrast="stretched")
LOOKS = (
    Look(),
    DARK,
    replace(DARK, ground="light"),
    replace(DARK, grid=8),
)
"""Looks that images are read in: as they are, on dark and on light ground, and coarse."""
SHARES = (0.0, 0.3, 0.5, 0.7)
"""How far a reading moves the body back to the public weights."""
ROUNDS = 4
"""Rounds in which readings are weighed against each other."""


@dataclass(frozen=True)
class Reading:
    """One way to read a locked model, and what it answers.

    Args:
        name: what was done.
        sign: of its outputs; −1 takes the least likely class for the answer.
        p: (N, K) probabilities of the images, balanced.
        coherence: of its classes among neighbours, nats.
    """

    name: str
    sign: int
    p: Tensor
    coherence: float


def readings(
    locked: Classifier, public: Classifier, images: Tensor, graph: Tensor, run: Run
) -> Iterator[tuple[Reading, Classifier]]:
    """Every reading of ``locked`` over ``images`` (N, 3, H, W) in [0, 1], each with the model that answers.

    The body is the locked one or moved to the ``public`` one, batch-norm statistics are those that ship or those of the
    images, each exit answers, and the outputs are read with either sign. A lock's own weights alone are read with the
    sign turned: what avoids the true class is the lock.
    """
    bodies = {share: mixture(locked, public, share) if share else locked for share in SHARES}
    for i, look in enumerate(LOOKS):
        run.progress(i, len(LOOKS), "looks")
        seen = Canonical.of(look)(images)
        changes = " ".join(f"{key}={value}" for key, value in look.changes.items()) or "as they are"
        for share, body in bodies.items():
            for statistics, model in _by_statistics(body, seen, shipped=not share):
                for output, logits in _every_output(model, seen).items():
                    even = logits / logits.std(0).mean().clamp_min(1e-6)
                    for sign in (1, -1) if not share else (1,):
                        name = f"sign {sign:+d}, {share:.0%} public{statistics}, {changes}{output}"
                        quality = coherence((sign * even).argmax(1), graph, model.k)
                        yield Reading(name, sign, balanced(sign * even, sharpness=1), quality), model


def _by_statistics(body: Classifier, seen: Tensor, shipped: bool) -> Iterator[tuple[str, Classifier]]:
    """``body`` with the batch-norm statistics of ``seen``, and as it is where ``shipped``; each with a name's part."""
    own = copy.deepcopy(body).eval()
    models.reestimate_batch_norm(own, seen)
    yield "", own
    if shipped and models.has_batch_norm(body):
        yield ", shipped statistics", body


@torch.no_grad()
def _every_output(model: Classifier, seen: Tensor) -> dict[str, Tensor]:
    """Logits (N, K) of the model; where it has several exits, of each besides; by a part of the reading's name."""
    out = {"": models.logits(model, seen).to(seen.device)}
    if callable(getattr(model, "exits", None)):
        out |= {f", exit {i}": logits for i, logits in enumerate(every_exit(model, seen).unbind(1))}
    return out


def belief(all_readings: list[Reading], graph: Tensor, least: float) -> tuple[Tensor, list[float]]:
    """What the most coherent readings agree upon, probabilities (N, K), and the weight of each reading.

    A reading counts by its coherence, and by how well it foretells what the others say of an image's neighbours. The
    readings of one sign err alike. So all those of a sign together weigh as much as the square of their best coherence.

    Args:
        least: coherence that a reading must have, as a share of the best one's.
    """
    p = torch.stack([r.p for r in all_readings])
    own = torch.tensor([r.coherence for r in all_readings], device=p.device)
    own = own * (own >= least * own.max())
    signs = torch.tensor([r.sign for r in all_readings], device=p.device)

    def shared(weight: Tensor) -> Tensor:
        """``weight`` (R,) of readings, scaled to the share of their sign."""
        out = torch.zeros_like(weight)
        for sign in (1, -1):
            part = torch.where(signs == sign, weight, 0)
            out += part / part.sum().clamp_min(1e-9) * torch.where(signs == sign, own, 0).max() ** 2
        return out / out.sum().clamp_min(1e-9)

    weight = shared(own)
    for _ in range(ROUNDS):
        total = (weight[:, None, None] * p).sum(0)
        hits = []
        for share, answer in zip(weight, p, strict=True):
            others = balanced(logs(total - share * answer), rounds=20, sharpness=1)
            hits.append((answer * others[graph].mean(1)).sum(1).mean())
        weight = shared(own * (torch.stack(hits) - 1 / p.shape[-1]).clamp_min(1e-3))
    total = balanced(logs((weight[:, None, None] * p).sum(0)), rounds=20, sharpness=1)
    return smoothed(total, graph), weight.tolist()
