"""Estimates of time know the size of the model and of the images."""

from __future__ import annotations

import pytest

from bench import plan
from bench.architectures.cnn import CNN
from bench.forward_cost import multiply_adds
from bench.plan import durations, length
from bench.records import Cell


def _seconds(model: str, size: int = 32) -> float:
    cell = plan.make_cell("modellock", "none", "digits", model, {"task.size": str(size)})
    estimates = durations.Durations([])
    return sum(estimates.seconds(kind, cell) for kind in ("victim", "protected", "judged", "unlocked", "scored"))


def test_a_larger_model_and_larger_images_take_longer() -> None:
    assert _seconds("cnn") == pytest.approx(sum([20, 25, 3 + 37, 1, 1]))
    assert _seconds("resnet18") > 1.5 * _seconds("cnn")
    assert _seconds("resnet50", 112) > 20 * _seconds("resnet18")
    assert _seconds("cnn", 64) > 2 * _seconds("cnn")


def test_the_miniature_networks_are_what_the_others_are_measured_by() -> None:
    costs = [multiply_adds(name, durations.SIDE) for name in ("cnn", "vit")]
    assert min(costs) < durations.MINIATURE < max(costs)
    assert durations.relative_cost("resnet18", 32) == pytest.approx(37.0e6 / durations.MINIATURE, rel=0.01)


def test_a_model_that_is_none_is_no_reason_to_fail() -> None:
    assert durations.relative_cost("no-such-model", 32) == 1.0


@pytest.mark.parametrize(
    ("lock", "task", "steps"),
    [("encoder-lock", "digits:fonts", 15 * (20 + 40)), ("clamp", "digits:fonts", 120 * (5 + 4)),
     ("nn-splitter", "digits", 4 * 5 * 25)],
)  # fmt: skip
def test_steps_are_those_of_each_round(lock: str, task: str, steps: int) -> None:
    cell = plan.make_cell(lock, "none", task, "cnn", {})
    assert length.images_seen("lock", cell.lock) == steps * cell.lock.params["batch"]


def test_every_start_of_a_trigger_inversion_trains() -> None:
    usual, more = (
        plan.make_cell("authority-backdoor", "trigger-inversion", "digits", "cnn", {"attack.starts": n}) for n in (3, 6)
    )
    assert length.relative("unlocked", more) == 2 * length.relative("unlocked", usual)


def test_a_stage_that_trains_longer_takes_longer_and_what_like_ones_took_is_scaled() -> None:
    def cell(**params: object) -> Cell:
        return plan.make_cell("ntl", "finetune", "digits:fonts", "cnn", {"threat.share": 0.1, **params})

    estimates = durations.Durations([])
    usual, long = cell(), cell(**{"lock.steps": 3000, "task.victim_steps": 5000})
    assert estimates.seconds("protected", long) == pytest.approx(10 * estimates.seconds("protected", usual))
    victims = [estimates.seconds("victim", each) for each in (long, usual)]
    assert victims[0] == pytest.approx(5000 / CNN.steps * victims[1])
    assert length.relative("unlocked", usual) == length.relative("judged", long) == 1
    twice = {f"attack.{name}": 2 * usual.attack.params[name] for name in ("steps", "head_steps")}
    assert length.relative("unlocked", cell(**twice)) == 2
