"""The surest of a few guessed prompts: what an attack edits images with that does not search for the key itself."""

from __future__ import annotations

import random
from typing import Any

from attacks.kit import proposers
from attacks.kit.access import ask
from attacks.kit.input import subset
from attacks.kit.known import edit_settings
from attacks.kit.selection import guess_score, highest
from bench.contracts import AttackerView, BudgetSpent, Run


def surest(target: AttackerView, run: Run, guesses: int, most: int) -> tuple[str, dict[str, Any]]:
    """Of ``guesses`` prompts from the word list the best one, and the editor's settings.

    Tried on labelled images where there are any, else on unlabelled ones; `selection.guess_score` is the score.

    Args:
        target: grants the editor's settings, a word list and images.
        most: images that each guess is tried on.

    Raises:
        BudgetSpent: before the first guess was scored.
    """
    settings = edit_settings(target.known)
    labelled = target.threat.share > 0
    sample = subset(target.labelled if labelled else target.unlabelled, most, run.rng("guesses"))
    images, labels = sample.images, sample.labels if labelled else None
    prompts = proposers.dictionary(target.wordlist(), random.Random(run.seed("guesses")))[:guesses]
    scores: dict[str, float] = {}
    try:
        for prompt, edited in run.edits(images, prompts, settings):
            run.guess(prompt)
            scores[prompt] = guess_score(ask(target, edited), labels, target.spec.k)
            run.progress(len(scores), len(prompts), "guesses")
    except BudgetSpent:  # what was paid for counts
        if not scores:
            raise
    return highest(scores), settings
