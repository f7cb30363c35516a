"""Threat models and budgets: what an attacker may see, and how much it may spend.

Both are axes of a cell, from a closed list of names; a plugin never defines one. No torch here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.params import BadParameter, Parametrised, param

ACCESS = ("none", "labels", "logits", "weights")
"""Kinds of access, each with all that the one before it gives."""
ANSWERS = ACCESS[1:]
"""Kinds of access under which the locked model answers."""
KEY_PARTS = ("editor", "prompt", "settings", "geometry")
MOST_CALLS = 100
"""Questions of one attack to a language model, whatever its budget: each may cost money."""


class AccessDenied(PermissionError):
    """The plugin asked for what its threat model (or its declared needs) withholds."""


class BudgetSpent(Exception):
    """The attack ran over its budget; it ends with its last submission."""


@dataclass(frozen=True)
class Acceptance:
    """Whether an attack can run under a threat model; ``reason`` says why not, and is empty where it can."""

    reason: str = ""

    def __bool__(self) -> bool:
        return not self.reason

    def __and__(self, other: Acceptance) -> Acceptance:
        """Both; the first reason stands."""
        return other if self else self

    @classmethod
    def when(cls, condition: object, reason: str) -> Acceptance:
        """Yes where ``condition`` is true, else no for ``reason``."""
        return cls("" if condition else reason)


class ThreatModel(Parametrised):
    """What an attacker has. Shares count from the defender's training set, as many of each class, one at least.

    The attacker's pool is half as large as that set, so no share is above a half.
    """

    access: str = param("weights", "what it has of the locked model", choices=("labels", "logits", "weights", "none"))
    share: float = param(0.01, "labelled share of unauthorised images", ge=0, le=0.5)
    unlabelled: bool = param(True, "has the unlabelled images of the attacker pool")
    authorised: float = param(0.0, "labelled share of authorised images", ge=0, le=0.5)
    leaked: int = param(0, "leaked pairs of a raw image and the same image after the key", ge=0, le=1000)
    known: str = param("editor+settings", "known key parts, joined by +: editor, prompt, settings, geometry; or none")
    wordlist: str = param(
        "published", "word list it searches", choices=("published", "wide", "styles", "objects", "none")
    )
    listed: bool = param(True, "the key is in its word list; false drops the key and its paraphrases")
    language_model: bool = param(False, "has a language model that proposes guesses, through the harness")

    def parts(self) -> tuple[str, ...]:
        """The known key parts, each one of `KEY_PARTS`."""
        named = tuple(p for p in self.known.split("+") if p and p != "none")
        for part in named:
            if part not in KEY_PARTS:
                raise BadParameter(f"known={self.known} is not allowed: '{part}' is none of {', '.join(KEY_PARTS)}")
        return named

    def grants(
        self,
        access: Sequence[str] = (),
        *,
        labelled: bool = False,
        unlabelled: bool = False,
        images: bool = False,
        authorised: bool = False,
        leaked: bool = False,
        words: bool = False,
        language_model: bool = False,
        known: Sequence[str] = (),
    ) -> Acceptance:
        """Whether the attacker has all that is named, or what it lacks first.

        Args:
            access: one of these kinds of access; empty: any.
            labelled: labelled unauthorised images.
            unlabelled: unlabelled unauthorised images.
            images: unauthorised images, labelled or not.
            authorised: labelled authorised images.
            leaked: leaked pairs.
            words: a word list.
            language_model: a language model.
            known: these key parts.
        """
        checks = [
            (not access or self.access in access, f"it needs threat.access={' or '.join(access)}"),
            (not labelled or self.share > 0, "it needs labelled unauthorised images: threat.share above 0"),
            (not unlabelled or self.unlabelled, "it needs unlabelled images: threat.unlabelled=true"),
            (
                not images or self.share > 0 or self.unlabelled,
                "it needs unauthorised images: threat.share above 0, or threat.unlabelled=true",
            ),
            (not authorised or self.authorised > 0, "it needs authorised images: threat.authorised above 0"),
            (not leaked or self.leaked > 0, "it needs leaked pairs: threat.leaked above 0"),
            (not words or self.wordlist != "none", "it needs a word list: threat.wordlist other than none"),
            (
                not language_model or self.language_model,
                "it needs a language model: threat.language_model=true",
            ),
        ]
        checks += [(part in self.parts(), f"it needs the key part '{part}' in threat.known") for part in known]
        return Acceptance(next((reason for has, reason in checks if not has), ""))

    def within(self, other: ThreatModel) -> bool:
        """Whether ``other`` has all that this attacker has, and so can do all that this one does."""
        return (
            ACCESS.index(self.access) <= ACCESS.index(other.access)
            and self.share <= other.share
            and self.unlabelled <= other.unlabelled
            and self.authorised <= other.authorised
            and self.leaked <= other.leaked
            and set(self.parts()) <= set(other.parts())
            and self.wordlist in ("none", other.wordlist)
            and self.listed == other.listed
            and self.language_model <= other.language_model
        )

    def data_budget(self) -> dict[str, float | bool]:
        """What decides the public baseline: the images and labels the view holds."""
        return {"share": self.share, "unlabelled": self.unlabelled, "authorised": self.authorised}


class Budget(Parametrised):
    """What an attack may spend; ``none`` is no limit, and is metered all the same."""

    steps: int | None = param(None, "optimiser steps", ge=0, unit="steps")
    queries: int | None = param(None, "images answered by the locked model behind its interface", ge=0, unit="images")
    edited: int | None = param(None, "images edited", ge=0, unit="images")
    guesses: int | None = param(None, "prompts tried", ge=1, unit="prompts")
    calls: int | None = param(
        None, "questions to a language model; none: 100, the most there can be", ge=0, le=100, unit="questions"
    )
    seconds: float | None = param(None, "wall seconds; what was handed in by then stands", ge=0.1, unit="s")

    @property
    def most_calls(self) -> int:
        """Questions to a language model that are answered."""
        return MOST_CALLS if self.calls is None else self.calls
