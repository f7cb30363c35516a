"""What the harness hands to an owner, who makes a key or a lock: the defender's part of the data."""

from __future__ import annotations

from bench import models, seeds
from bench.contracts import Classifier, DefenderNeeds, Key
from bench.datasets.scenario import Scenario
from bench.harness.views import DefenderView


def view(scenario: Scenario, model: str, seed: int, key: Key | None, needs: DefenderNeeds) -> DefenderView:
    """The view of the owner of ``model`` in ``scenario``.

    Args:
        seed: of the lock; draws the weights of the public model.
        key: None while it is being made.
        needs: what the lock declares to read.
    """

    def public(extra: int) -> Classifier:
        return models.build(model, scenario.spec, extra, "public", seeds.derive("public", seed=seed))

    own, other = (
        (side.images(side.splits.defender), side.images(side.splits.defender_validation))
        for side in (scenario.authorised, scenario.unauthorised)
    )
    return DefenderView(scenario.spec, *own, key, needs, public, other)
