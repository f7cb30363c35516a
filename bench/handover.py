"""What the harness hands to an attack's process: the view that a threat model grants, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from bench.contracts import Classifier, Images, Key, ThreatModel
from bench.isolation import Job
from bench.keys import vocabulary
from bench.scenario import Scenario, draw_share
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
    pool = scenario.splits.attacker
    labels = scenario.dataset.labels
    reference = len(scenario.splits.defender)
    draw = derive("share", task=scenario.dataset.name, split=scenario.splits.fingerprint)
    granted: dict[str, Images | tuple[Images, Images]] = {}
    if threat.share > 0:
        granted["labelled"] = scenario.images(draw_share(labels, pool, threat.share, reference, draw))
    if threat.unlabelled:
        granted["unlabelled"] = scenario.images(pool).unlabelled()
    if threat.authorised > 0:
        granted["authorised"] = keyed(
            key, scenario.images(draw_share(labels, pool, threat.authorised, reference, draw + 1))
        )
    if threat.leaked > 0:
        rng = torch.Generator().manual_seed(draw + 2)
        raw = scenario.images(pool[torch.randperm(len(pool), generator=rng)][: threat.leaked]).unlabelled()
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
