"""UP and LP of a locked model of the zoo, measured by the judge that measured its record."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from bench import models
from bench.contracts import Key
from bench.datasets import scenario as scenarios
from bench.datasets.scenario import Scenario
from bench.errors import UserError
from bench.guests.subjects import LocalModel, Model
from bench.harness.artefacts import Trained
from bench.harness.judge import Evidence, Judge
from bench.harness.under_key import LockedModel
from bench.keys.none import Identity
from bench.records import Cell, Measured
from bench.zoo.card import NUMBERS, Card

SLACK = 2
"""Images by which a number may differ on another processor, which rounds otherwise."""


def scenario_of(cell: Cell, data: str) -> Scenario:
    """The data of ``cell``.

    Args:
        data: their digest, as the record has it.

    Raises:
        UserError: they cannot be read, or are others.
    """
    found = scenarios.load(cell.scenario, cell.replicate, size=cell.size, settings=cell.data_settings)
    if found.fingerprint() != data:
        raise UserError(
            f"the data of {cell.scenario} are not those that the record was measured on.",
            "Install the versions of numpy and scikit-learn that the card names, or write the entry again.",
        )
    return found


def measured(scenario: Scenario, trained: Trained, key: Key | None) -> tuple[dict[str, Measured], Evidence]:
    """UP and LP, each over the real classes and as shipped, with the answers behind them.

    Args:
        key: None where it is withheld; there is no UP then.
    """
    judge = Judge(scenario, key or Identity())
    verdict, evidence = judge.lock(None, _model(trained))
    names = [name for name in NUMBERS if key is not None or not name.startswith("UP")]
    answers = {name: evidence[f"{judge.measure.prefix}/{name}"] for name in names}
    return {name: getattr(verdict, name) for name in names}, answers


def differences(card: Card, now: Mapping[str, Measured]) -> list[str]:
    """What ``now`` says otherwise than ``card``, beyond `SLACK` images; a phrase each."""
    out = []
    for name, own in now.items():
        before: Measured = getattr(card, name)
        if own.n != before.n:
            out.append(f"{name} is over {own.n} images, not {before.n}")
        elif not same(own, before):
            out.append(f"{name} is {own.value:.2f}, not {before.value:.2f}")
    return out


def same(own: Measured, other: Measured) -> bool:
    """Whether two measurements differ by `SLACK` images at most."""
    return abs(own.value - other.value) <= 100 * SLACK / other.n + 1e-6


def _model(trained: Trained) -> Model:
    def rebuild(state: Mapping[str, Tensor]) -> Model:
        model = models.rebuild(dict(trained.spec), dict(state))
        return LocalModel(model, dense=model.dense)

    shipped = rebuild(trained.state)
    return LockedModel(shipped, trained.state, trained.withheld, rebuild) if trained.withheld else shipped
