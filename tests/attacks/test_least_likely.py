"""The class that a lock avoids is the answer, and of models that avoid none the sign stays."""

from __future__ import annotations

import torch

from attacks.least_likely import skewness
from bench.predictors import Direct
from tests.helpers.toy_locks import accuracy, locked, run_attack, tinted


def test_the_skewness_of_one_outlier() -> None:
    rows = torch.tensor([[0.0, 0.0, 0.0, 4.0], [0.0, 0.0, 0.0, -4.0], [1.0, 2.0, 3.0, 4.0]])
    torch.testing.assert_close(skewness(rows), torch.tensor([2 / 3**0.5, -2 / 3**0.5, 0.0]))


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
