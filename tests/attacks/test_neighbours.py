"""Neighbours tell which answers hang together: in closed form, and on a model that avoids the true class."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.kit.coherence import coherence, graph_of, smoothed
from attacks.kit.witnesses import SHARES, Reading, belief, readings
from bench.predictors import Direct
from bench.training import Run
from tests.helpers.toy_locks import POOL, accuracy, locked, run_attack, tinted

K, EACH = 4, 12
CLASSES = torch.arange(K).repeat_interleave(EACH)


def _graph() -> Tensor:
    """Neighbours of points in K clusters of their own."""
    points = F.one_hot(CLASSES, K).float() * 5 + torch.randn(K * EACH, K, generator=torch.Generator().manual_seed(0))
    return graph_of(points, 5)


def _reading(classes: Tensor, sign: int = 1, graph: Tensor | None = None) -> Reading:
    p = F.one_hot(classes, K).float() * 0.8 + 0.05
    graph = _graph() if graph is None else graph
    return Reading("", sign, p, coherence(classes, graph, K))


def test_neighbours_are_others_of_the_same_cluster() -> None:
    graph = _graph()
    assert (CLASSES[graph] == CLASSES[:, None]).all()
    assert (graph != torch.arange(len(graph))[:, None]).all()


def test_neighbours_are_looked_for_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """All cosines of a large pool would not fit into memory."""
    whole = _graph()
    monkeypatch.setattr("attacks.kit.coherence.ROWS", 7)
    assert torch.equal(_graph(), whole)


@pytest.mark.parametrize("name", ["true", "renamed", "one class", "random"])
def test_coherence_in_closed_form(name: str) -> None:
    """log K where neighbours agree and the classes are even, whatever their names; 0 where all have one class."""
    graph = _graph()
    noise = torch.randint(K, CLASSES.shape, generator=torch.Generator().manual_seed(1))
    classes = {"true": CLASSES, "renamed": (CLASSES + 1) % K, "one class": torch.zeros_like(CLASSES), "random": noise}
    expected = {"true": math.log(K), "renamed": math.log(K), "one class": 0.0}
    value = coherence(classes[name], graph, K)
    if name == "random":
        assert value < 0.3
    else:
        assert value == pytest.approx(expected[name], abs=1e-4)


@pytest.mark.parametrize(("rest", "mended"), [(0.2, True), (0.05, False)])
def test_a_walk_over_neighbours_mends_errors_that_are_less_sure_than_the_neighbours(rest: float, mended: bool) -> None:
    """It keeps half of each answer, so an error as sure as its neighbours stays."""
    wrong = CLASSES.clone()
    wrong[::EACH] = (wrong[::EACH] + 1) % K
    others = torch.full((len(wrong), 1), 0.05)
    others[::EACH] = rest
    p = smoothed(F.one_hot(wrong, K) * (1 - K * others) + others, _graph())
    assert torch.equal(p.argmax(1), CLASSES if mended else wrong)
    assert p.sum(1).allclose(torch.ones(len(p)))


def test_what_is_incoherent_has_no_vote() -> None:
    graph = _graph()
    noise = torch.randint(K, CLASSES.shape, generator=torch.Generator().manual_seed(1))
    p, weights = belief([_reading(CLASSES), _reading(noise, -1), _reading(torch.zeros_like(CLASSES))], graph, least=0.5)
    assert weights[1:] == [0.0, 0.0]
    assert torch.equal(p.argmax(1), CLASSES)


def test_many_readings_of_one_sign_weigh_no_more_than_one_of_the_other() -> None:
    graph = _graph()
    few = [_reading(CLASSES, -1)]
    _, weights = belief([*few, *[_reading(CLASSES, 1)] * 7], graph, least=0.5)
    assert weights[0] == pytest.approx(0.5, abs=1e-3)


def test_the_sign_is_turned_for_the_own_weights_of_a_lock_alone() -> None:
    images = POOL.images[:24]
    graph = graph_of(images.flatten(1), 3)
    every = [reading for reading, _ in readings(locked("avoided"), locked("statistics"), images, graph, Run(0))]
    assert {r.sign for r in every} == {1, -1}
    assert all(" 0% public" in r.name for r in every if r.sign < 0)
    assert sum(r.sign > 0 for r in every) == 4 * (len(SHARES) + 1)
    for r in every:
        assert r.p.sum(1).allclose(torch.ones(len(images)), atol=1e-4)


def test_the_class_that_a_lock_avoids_is_read_with_the_sign_turned() -> None:
    """It trains lock and attack for a second each: whether training undoes a lock shows in no closed form."""
    assert accuracy(Direct(locked("avoided"))) < 20
    outcome = run_attack("neighbours", {"steps": 80, "again": 40, "rate": 2e-3}, "avoided", {}, key=tinted)
    assert accuracy(outcome.predictor) > 80
