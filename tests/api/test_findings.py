"""What an owner is told to do about an attack that opens the checkpoint."""

from __future__ import annotations

import pytest

from bench.api.findings import ADVICE, Finding, advice
from bench.plan import ensemble

FROM_ANSWERS = {
    member.attack
    for threat in ensemble.read().threats
    if threat.params["threat.access"] in ("logits", "labels")
    for member in threat.members
}


def _finding(attack: str, answers: bool) -> Finding:
    return Finding(attack, "weights-few", 90.0, 10.0, 20.0, "1 s", True, behind_interface=answers)


@pytest.mark.parametrize("attack", sorted(FROM_ANSWERS))
def test_nobody_who_serves_answers_is_told_to_keep_the_weights(attack: str) -> None:
    (line,) = advice([_finding(attack, answers=True)])
    assert "weights" not in line
    assert f"Opened by {attack}." in line


def test_an_attack_without_advice_of_its_own_adapts_the_weights_that_it_has() -> None:
    assert "shot" not in ADVICE
    assert "weights" in advice([_finding("shot", answers=False)])[0]
    assert "Answer with labels" in advice([_finding("shot", answers=True)])[0]


def test_one_line_stands_for_attacks_of_one_kind() -> None:
    assert len(advice([_finding("shot", answers=False), _finding("nrc", answers=False)])) == 1
