"""What the harness hands to an attack's process: the view that a threat model grants, and no more."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.contracts import Images, Key
from bench.datasets.scenario import Scenario, Side, draw_share
from bench.editors import vocabulary
from bench.errors import UserError
from bench.harness.artefacts import Trained
from bench.harness.job import Job
from bench.harness.views import keyed
from bench.records import Cell
from bench.seeds import derive
from bench.store.settings import Settings

MOST_PLACES = 300_000
"""Places of withheld weights that an attack may be told: ten characters each, in a message of 4 MiB."""


def materialise(
    scenario: Scenario, locked: Trained | None, key: Key, cell: Cell, seed: int, key_seed: int, settings: Settings
) -> Job:
    """The job of the attack of ``cell`` under its threat model.

    Labelled images come from the attacker pool as a share of the defender's training count: the same sample for every
    attack, nested as the share grows. Unlabelled ones are the pool, in an order that tells no class. Leaked pairs are
    raw images of the pool with the same images after the key. An image of which the attacker has the authorised form is
    in no other set of its: its raw form would make a pair, and carry a label.

    Args:
        locked: needed where the threat model grants its weights.
        key_seed: of the key; draws what an unlisted word list lacks beside the key.
    """
    threat = cell.threat
    side = scenario.unauthorised
    authorised = _sample(threat.authorised, scenario.authorised, scenario.authorised.splits.attacker, 1)
    pool = side.splits.attacker
    if scenario.authorised.origin == side.origin:
        pool = pool[~torch.isin(pool, authorised)]
    granted: dict[str, Images | tuple[Images, Images]] = {}
    if threat.share > 0:
        granted["labelled"] = side.images(_sample(threat.share, side, pool))
    if threat.unlabelled:
        granted["unlabelled"] = side.images(_shuffled(pool, "pool", side)).unlabelled()
    if threat.authorised > 0:
        granted["authorised"] = keyed(key, scenario.authorised.images(authorised))
    if threat.leaked > 0:
        raw = side.images(_shuffled(pool, "leaked", side)[: threat.leaked]).unlabelled()
        granted["leaked_pairs"] = (raw, keyed(key, raw))
    parts = {**key.parts(), **(_places(locked) if "geometry" in threat.parts() else {})}
    words = None
    if threat.wordlist != "none":
        words = list(vocabulary.wordlist(threat.wordlist))
        if not threat.listed and "prompt" in parts:
            words = _unlisted(words, parts["prompt"], key_seed)
    weights = None
    if threat.access == "weights":
        if locked is None:
            raise ValueError("the threat model grants weights, and there is no locked model")
        weights = locked.spec, locked.state
    return Job(
        attack=cell.attack.name,
        params=cell.attack.params,
        plugin_files=list(settings.plugin_files),
        model=cell.model,
        task=scenario.spec,
        threat=threat,
        budget=cell.budget,
        seed=seed,
        granted=granted,
        classifier=weights,
        known={name: parts[name] for name in threat.parts() if name in parts},
        words=words,
        device=settings.device,
        threads=settings.threads,
        precision=settings.precision,
    )


def _sample(share: float, side: Side, pool: Tensor, more: int = 0) -> Tensor:
    """Indices of labelled images from ``pool``; ``more`` tells samples of one set apart."""
    seed = derive("share", task=side.dataset.name, split=side.splits.fingerprint) + more
    return draw_share(side.dataset.labels, pool, share, len(side.splits.defender), seed)


def _shuffled(pool: Tensor, name: str, side: Side) -> Tensor:
    """``pool`` in an order of its own: a data set may be sorted by class, and then a place would tell the class."""
    rng = torch.Generator().manual_seed(derive(name, task=side.dataset.name, split=side.splits.fingerprint))
    return pool[torch.randperm(len(pool), generator=rng)]


def _places(locked: Trained | None) -> dict[str, Any]:
    """Which weights are withheld, as the key part ``geometry``; nothing where none are. Values are no part of it.

    Raises:
        UserError: they are more than a message to the attack's process holds.
    """
    if locked is None or not locked.withheld:
        return {}
    count = sum(map(len, locked.withheld.values()))
    if count > MOST_PLACES:
        raise UserError(
            f"threat.known=geometry: {count:,} places of weights are withheld, and {MOST_PLACES:,} can be handed over.",
            "Let the lock withhold fewer, or leave geometry out of threat.known.",
        )
    return {"geometry": {name: part.at.tolist() for name, part in locked.withheld.items()}}


def _unlisted(words: list[str], prompt: str, key_seed: int) -> list[str]:
    """``words`` without the key's concept and without a quarter of the others, so that the gap does not name the key.

    The others are drawn by the key's seed, which no attacker has.
    """
    rest = list(vocabulary.without(words, [prompt]))
    rng = torch.Generator().manual_seed(derive("decoys", key=key_seed))
    left_out = torch.randperm(len(rest), generator=rng)[: len(rest) // 4].tolist()
    return list(vocabulary.without(rest, [rest[i] for i in left_out]))
