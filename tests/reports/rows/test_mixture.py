"""Seeds of one row that were not measured alike are flagged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bench import plan
from bench.store import identity
from bench.store.settings import Settings
from reports.rows import mixture
from tests.helpers.example_records import the_row, world


def _flags(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, str]]:
    records = world((80.0, 81.0), (30.0, 31.0))
    for record in records:
        own = second if record.cell.replicate else first
        record.provenance = record.provenance.model_copy(update=dict(own))
    row = the_row(records)
    return dict(row.flags), dict(row.flag_details)


@pytest.mark.parametrize(
    ("first", "second", "detail"),
    [
        ({"code": "a"}, {"code": "b"}, "seeds 0 and 1: code of two versions"),
        ({"versions": {"torch": "2.14"}}, {"versions": {"torch": "2.15"}}, "seeds 0 and 1: torch 2.14 and 2.15"),
        ({"dtype": "float32"}, {"dtype": "bf16"}, "seeds 0 and 1: precision float32 and bf16"),
    ],
)
def test_seeds_that_differ_are_named(first: dict[str, Any], second: dict[str, Any], detail: str) -> None:
    flags, details = _flags(first, second)
    assert flags[mixture.MIXED] == 1
    assert details[mixture.MIXED] == detail


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"code": "a"}, {"code": "a"}),
        ({"code": ""}, {"code": "b"}),
        ({"versions": {}}, {"versions": {"torch": "2.15"}}),
    ],
)
def test_seeds_that_agree_or_do_not_say_have_no_flag(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert mixture.MIXED not in _flags(first, second)[0]


def test_the_digest_of_code_is_one_for_all_seeds_of_a_row_and_moves_with_code() -> None:
    def inputs(replicate: int, attack: str = "prompt-search") -> dict[str, Any]:
        cell = plan.make_cell("modellock", attack, "digits", "cnn", {}, replicate=replicate)
        return dict(identity.of(cell, Settings()).inputs)

    zero = identity.code_of(inputs(0))
    assert identity.code_of(inputs(1)) == zero
    assert identity.code_of(inputs(0, "knockoff")) != zero
    other = inputs(0)
    stage = other["victim"] | {"code": other["victim"]["code"] | {"bench.training": "another"}}
    assert identity.code_of(other | {"victim": stage}) != zero
