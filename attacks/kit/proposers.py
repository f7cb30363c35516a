"""Where guesses come from: orders in which candidate prompts are tried, and local changes of the best one."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bench.contracts import AttackerView, BudgetSpent, Images
from bench.editors import relatedness
from bench.editors.vocabulary import KEY_TEMPLATE, TEMPLATES

DECORATIONS = ("{}", "{} style", "{} painting", "{} drawing", "soft {}", "bold {}", "a {}", "{} texture", "{} colours")

MOST_SCORES = 64
"""Scores that a language model is shown."""


def dictionary(words: Sequence[str], rng: random.Random) -> list[str]:
    """Every word of the list in the key's template, shuffled."""
    out = [KEY_TEMPLATE.format(w) for w in words]
    rng.shuffle(out)
    return out


def grammar(words: Sequence[str], rng: random.Random) -> list[str]:
    """Every template around every word, shuffled; one template of each word before the second of any."""
    out = []
    for turn in range(len(TEMPLATES)):
        part = [TEMPLATES[(turn + i) % len(TEMPLATES)].format(w) for i, w in enumerate(words)]
        rng.shuffle(part)
        out += part
    return out


def by_clip(words: Sequence[str], leaked: tuple[Images, Images], name: str = "miniature") -> list[str]:
    """The dictionary, ranked by how well each word explains, to the CLIP ``name``, what a key did to leaked images."""
    clip = relatedness.named(name)
    raw, keyed = leaked
    prompts = [KEY_TEMPLATE.format(w) for w in words]
    text = clip.text_embedding(prompts)
    gain: Tensor = (clip.image_embedding(keyed.images) - clip.image_embedding(raw.images)).mean(0)
    return [prompts[i] for i in torch.argsort(text @ gain, descending=True).tolist()]


def by_language_model(target: AttackerView, n: int, scores: Mapping[str, float]) -> list[str]:
    """At most ``n`` prompts that a language model proposes; none once the budget of calls is spent.

    Args:
        scores: prompts tried so far, each the key's template around a word or a proposal, with their scores; the best
            64 are shown to the model.
    """
    best = sorted((p for p in scores if math.isfinite(scores[p])), key=lambda p: scores[p], reverse=True)[:MOST_SCORES]
    try:
        concepts = target.propose(n, {p.removeprefix(KEY_TEMPLATE.format("")): scores[p] for p in best})
    except BudgetSpent:
        return []
    return [KEY_TEMPLATE.format(concept) for concept in concepts]


def mutations(best: Sequence[str], words: Sequence[str], n: int, rng: random.Random) -> list[str]:
    """``n`` local changes of the best prompts: another template, a decoration, a cross of two, a fresh word."""
    cores = [p.removeprefix(KEY_TEMPLATE.format("")) for p in best]
    out: list[str] = []
    for _ in range(20 * n):
        if len(out) >= n:
            break
        how, core = rng.random(), rng.choice(cores)
        if how < 0.3:
            prompt = rng.choice(TEMPLATES).format(core)
        elif how < 0.6:
            prompt = KEY_TEMPLATE.format(rng.choice(DECORATIONS).format(core))
        elif how < 0.8 and len(cores) > 1:
            prompt = KEY_TEMPLATE.format(f"{core} and {rng.choice(cores)}")
        else:
            prompt = KEY_TEMPLATE.format(rng.choice(list(words)) if words else core)
        if prompt not in out and prompt not in best:
            out.append(prompt)
    return out
