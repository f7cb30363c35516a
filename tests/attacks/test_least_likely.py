"""The class that a lock avoids is the answer, and of models that avoid none the sign stays."""

from __future__ import annotations

from bench.predictors import Direct
from tests.helpers.toy_locks import accuracy, locked, run_attack, tinted


def test_the_class_that_a_lock_avoids_is_the_answer() -> None:
    """It trains lock and attack for a second each: whether training undoes a lock shows in no closed form."""
    assert accuracy(Direct(locked("avoided"))) < 20
    outcome = run_attack("least-likely", {"steps": 40, "answer_steps": 20}, "avoided", {}, key=tinted)
    assert outcome.run.notes["sign"] == -1
    assert accuracy(outcome.predictor) > 80


def test_the_sign_of_a_model_that_avoids_no_class_stays() -> None:
    outcome = run_attack("least-likely", {"steps": 40, "answer_steps": 20}, "statistics", {}, key=tinted)
    assert outcome.run.notes["sign"] == 1
    assert accuracy(outcome.predictor) > 80
