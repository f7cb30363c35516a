"""The grid of key conditions by kind and place."""

from __future__ import annotations

from example_records import exactly, record

from bench.records import Condition
from reports.tools.key_grid import BEST, grid, markdown


def _conditions(**values: float) -> list[Condition]:
    pairs = [(*name.partition("__")[::2], value) for name, value in values.items()]
    return [Condition(kind=kind, label=label, what=label, accuracy=exactly(value)) for kind, label, value in pairs]


def test_kinds_are_averaged_within_a_seed() -> None:
    first = record(replicate=0, conditions=_conditions(right=90, wrong__a=20, wrong__b=40))
    again = record(attack="finetune", replicate=0, conditions=_conditions(right=90, wrong__a=20, wrong__b=40))
    second = record(replicate=1, conditions=_conditions(right=92, wrong__c=50, wrong__d=50))
    other = record(lock_explicit={"decoys": "none"}, conditions=_conditions(right=1))
    table = grid([first, again, second, other])
    assert table == {
        "right": {"digits, vit": [90, 92], "digits, vit, decoys none": [1]},
        "wrong": {"digits, vit": [30, 50]},
        BEST: {"digits, vit": [40, 50]},
    }
    assert "| right | 90.0, 92.0 | 1.0 |" in markdown(table)
    assert "| right | 90.0 |" in markdown(grid([first]))


def test_three_seeds_get_an_interval_and_are_listed_where_asked() -> None:
    table = grid([record(replicate=i, conditions=_conditions(right=value)) for i, value in ((2, 92), (0, 90), (1, 91))])
    assert "| right | 91.0 ± 2.5 |" in markdown(table)  # t(2 degrees of freedom, 97.5 %) × 1 / √3
    assert "| right | 90.0, 91.0, 92.0 |" in markdown(table, each_seed=True)


def test_a_changed_setting_is_a_kind_of_its_own() -> None:
    table = grid([record(conditions=_conditions(setting__alpha=30, setting__seed=50, near__a=60, near__b=70))])
    assert {name: values["digits, vit"] for name, values in table.items()} == {
        "setting/alpha": [30], "setting/seed": [50], "near": [65],
    }  # fmt: skip
