"""Which attacker has all that another one has."""

from __future__ import annotations

from typing import Any

import pytest

from bench.threat import ThreatModel

WEAK = ThreatModel(
    access="logits", share=0.0, unlabelled=False, authorised=0.0, leaked=0, known="editor", wordlist="none", listed=True
)


def _with(**changes: Any) -> ThreatModel:
    return ThreatModel(**{**WEAK.values(), **changes})


MORE: list[dict[str, Any]] = [
    {"access": "weights"}, {"share": 0.01}, {"unlabelled": True}, {"authorised": 0.1}, {"leaked": 8},
    {"known": "settings+editor"}, {"wordlist": "published"}, {"language_model": True},
]  # fmt: skip


@pytest.mark.parametrize("change", MORE, ids=lambda change: next(iter(change)))
def test_each_right_that_is_added_makes_a_stronger_attacker(change: dict[str, Any]) -> None:
    assert WEAK.within(_with(**change))
    assert not _with(**change).within(WEAK)


def test_an_attacker_has_all_that_it_has_itself() -> None:
    assert WEAK.within(WEAK)
    assert not ThreatModel(access="none").within(WEAK)
    assert _with(access="none").within(WEAK)


def test_two_attackers_may_each_have_what_the_other_lacks() -> None:
    labels, sources = _with(share=0.01), _with(authorised=0.1)
    assert not labels.within(sources)
    assert not sources.within(labels)


@pytest.mark.parametrize("change", [{"wordlist": "wide"}, {"listed": False}])
def test_word_lists_are_not_ordered(change: dict[str, Any]) -> None:
    """A longer list costs guesses, and whether the key is in it is no right of the attacker."""
    listed = _with(wordlist="published")
    other = ThreatModel(**{**listed.values(), **change})
    assert not listed.within(other)
    assert not other.within(listed)
