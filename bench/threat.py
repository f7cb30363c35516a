"""Threat models and budgets: what an attacker may see, and how much it may spend.

Both are axes of a cell, from a closed list of names; a plugin never defines one. No torch here.
"""

from __future__ import annotations

from bench.params import BadParameter, Parametrised, param

KEY_PARTS = ("editor", "prompt", "settings", "geometry")


class AccessDenied(PermissionError):
    """The plugin asked for what its threat model (or its declared needs) withholds."""


class BudgetSpent(Exception):
    """The attack ran over its budget; it ends with its last submission."""


class ThreatModel(Parametrised):
    """What an attacker has. Shares count from the defender's training set, stratified, one a class at least."""

    access: str = param("weights", "what it has of the locked model", choices=("labels", "logits", "weights", "none"))
    share: float = param(0.01, "labelled share of un-authorised images", ge=0, le=1)
    unlabelled: bool = param(True, "has the unlabelled images of the attacker pool")
    authorised: float = param(0.0, "labelled share of authorised images", ge=0, le=1)
    leaked: int = param(0, "leaked pairs of a raw image and the same image after the key", ge=0, le=1000)
    known: str = param("editor+settings", "known key parts, joined by +: editor, prompt, settings, geometry; or none")
    wordlist: str = param("published", "word list it searches", choices=("published", "wide", "styles", "none"))
    listed: bool = param(True, "the key is in its word list; false drops the key and its paraphrases")

    def parts(self) -> tuple[str, ...]:
        """The known key parts, each one of `KEY_PARTS`."""
        named = tuple(p for p in self.known.split("+") if p and p != "none")
        for part in named:
            if part not in KEY_PARTS:
                raise BadParameter(f"known={self.known} is not allowed: '{part}' is none of {', '.join(KEY_PARTS)}")
        return named

    def data_budget(self) -> dict[str, float | bool]:
        """What decides the public baseline: the images and labels the view holds."""
        return {"share": self.share, "unlabelled": self.unlabelled, "authorised": self.authorised}


class Budget(Parametrised):
    """What an attack may spend; ``none`` is no limit, and is metered all the same."""

    steps: int | None = param(None, "optimiser steps", ge=0, unit="steps")
    queries: int | None = param(None, "images answered by the locked model behind its interface", ge=0, unit="images")
    edited: int | None = param(None, "images edited", ge=0, unit="images")
    guesses: int | None = param(None, "prompts tried", ge=1, unit="prompts")
