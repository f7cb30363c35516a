"""The grid of key conditions by kind and place."""

from __future__ import annotations

from example_records import exactly, record

from bench.records import Condition
from reports.tools.key_grid import BEST, grid, markdown


def _conditions(**values: float) -> list[Condition]:
    out = []
    for name, value in values.items():
        kind, _, label = name.partition("__")
        out.append(Condition(kind=kind, label=label, what=name, accuracy=exactly(value)))  # type: ignore[arg-type]
    return out


def test_kinds_are_averaged_within_a_seed_and_seeds_get_an_interval() -> None:
    first = record(replicate=0, conditions=_conditions(right=90, wrong__a=20, wrong__b=40))
    again = record(attack="finetune", replicate=0, conditions=_conditions(right=90, wrong__a=20, wrong__b=40))
    second = record(replicate=1, conditions=_conditions(right=92, wrong__c=50, wrong__d=50))
    other = record(lock_explicit={"decoys": "none"}, conditions=_conditions(right=1))
    found = grid([first, again, second, other])
    assert found == {
        "right": {"digits, vit": [90, 92], "digits, vit, decoys none": [1]},
        "wrong": {"digits, vit": [30, 50]},
        BEST: {"digits, vit": [40, 50]},
    }
    assert "| right | 91.0 ± 12.7 |" in markdown(found)
    assert "| right | 90.0 |" in markdown(grid([first]))
