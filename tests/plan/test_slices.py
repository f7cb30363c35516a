"""Slices of a graph: every cell once, those of one lock together, about the same seconds to each."""

from __future__ import annotations

import pytest

from bench import plan
from bench.plan.graph import Graph
from bench.plan.slices import slices
from bench.store import identity
from bench.store.settings import Settings

SETTINGS = Settings(threads=1)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph.of(plan.build(plan.read_suite("ci-minute")), SETTINGS)


@pytest.mark.parametrize("count", [1, 2, 3, 100])
def test_every_cell_is_in_one_slice_and_a_lock_in_no_two(count: int, graph: Graph) -> None:
    cut = slices(graph, count)
    hashes = [[identity.of(cell, SETTINGS).hashes for cell in each] for each in cut]
    records = sorted(own["record"] for each in hashes for own in each)
    assert records == sorted(stage.hash for stage in graph.stages if stage.kind == "scored")
    locks = [{own["protected"] for own in each} for each in hashes]
    assert sum(map(len, locks)) == len(set().union(*locks))
    assert len(cut) == min(count, len(set().union(*locks)))
    assert all(cut)


def test_the_longest_slice_is_not_much_longer_than_it_must_be(graph: Graph) -> None:
    own: dict[str, float] = {}
    for stage in graph.stages:
        locks = [hash for kind, hash in stage.inputs if kind == "protected"]
        at = stage.hash if stage.kind == "protected" else (locks or [""])[0]
        own[at] = own.get(at, 0.0) + stage.seconds
    own.pop("", None)
    spent = [
        sum(own[lock] for lock in {identity.of(cell, SETTINGS).hashes["protected"] for cell in each})
        for each in slices(graph, 3)
    ]
    assert max(spent) <= max(sum(own.values()) / 3 * 4 / 3, max(own.values())) + 1e-9, "Graham's bound"
