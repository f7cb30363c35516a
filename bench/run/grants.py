"""What the harness hands to an attack's process: the view that a threat model grants, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from bench.contracts import Classifier, Images, Key, ThreatModel
from bench.datasets.scenario import Scenario, Side, draw_share
from bench.editors import vocabulary
from bench.run.attack_process import Job
from bench.seeds import derive


def materialise(
    scenario: Scenario,
    locked: Classifier,
    key: Key,
    threat: ThreatModel,
    budget: Mapping[str, Any],
    attack: dict[str, Any],
    model: str,
    seed: int,
    device: str,
    threads: int,
) -> Job:
    """The job of an attack under ``threat``.

    Labelled images are drawn from the attacker pool as a share of the defender's training count, the same
    draw for every attack, nested as the share grows; un-labelled ones are the pool. Leaked pairs are raw
    images of the pool with the same images after the key.
    """
    side = scenario.unauthorised
    pool = side.splits.attacker

    def drawn(share: float, side: Side, more: int = 0) -> Images:
        seed = derive("share", task=side.dataset.name, split=side.splits.fingerprint) + more
        parts = side.splits
        return side.images(draw_share(side.dataset.labels, parts.attacker, share, len(parts.defender), seed))

    granted: dict[str, Images | tuple[Images, Images]] = {}
    if threat.share > 0:
        granted["labelled"] = drawn(threat.share, side)
    if threat.unlabelled:
        granted["unlabelled"] = side.images(pool).unlabelled()
    if threat.authorised > 0:
        granted["authorised"] = keyed(key, drawn(threat.authorised, scenario.authorised, 1))
    if threat.leaked > 0:
        rng = torch.Generator().manual_seed(derive("leaked", task=side.dataset.name, split=side.splits.fingerprint))
        raw = side.images(pool[torch.randperm(len(pool), generator=rng)][: threat.leaked]).unlabelled()
        granted["leaked_pairs"] = (raw, keyed(key, raw))
    parts = key.parts()
    words = None
    if threat.wordlist != "none":
        words = list(vocabulary.wordlist(threat.wordlist))
        if not threat.listed and "prompt" in parts:
            words = list(vocabulary.without(words, [parts["prompt"]]))
    return Job(
        attack=attack,
        model=model,
        spec={"size": scenario.spec.size, "classes": list(scenario.spec.classes), "kind": scenario.spec.kind},
        threat=threat.values(),
        budget=dict(budget),
        seed=seed,
        granted=granted,
        classifier=(locked.spec, locked.state_dict()) if threat.access == "weights" else None,
        known={name: parts[name] for name in threat.parts() if name in parts},
        words=words,
        device=device,
        threads=threads,
    )


def keyed(key: Key, images: Images) -> Images:
    """``images`` after ``key``, in 8 bit, with the labels they had."""
    return Images((key(images.images) * 255).round().clamp(0, 255).byte(), images.labels)
