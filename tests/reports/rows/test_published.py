"""Printed numbers: which plugin they speak of, and which rows of ours are in their setting."""

from __future__ import annotations

from dataclasses import replace

import pytest
from example_records import record

from bench import registry
from reports.rows import published
from reports.rows.aggregate import rows

POSTER = "ntl_attacks_jailntl_poster.csv"


def test_every_line_has_a_provenance() -> None:
    for file in published.FOLDER.glob("*.csv"):
        lines = published.load(file.name)
        assert lines
        assert all(any("provenance" in column and text for column, text in line.items()) for line in lines)


@pytest.mark.parametrize(
    ("kind", "name", "column", "printed"),
    [
        ("lock", "cuti", "lock", "CUTI"),
        ("lock", "map", "lock", "SA-MAP"),
        ("attack", "disguise", "attack", "jailntl"),
        ("attack", "transntl", "attack", "transntl"),
    ],
)
def test_a_plugin_goes_by_its_name_its_title_or_its_papers_name(
    kind: str, name: str, column: str, printed: str
) -> None:
    tables = published.of_plugin(registry.current().find(kind, name))
    assert {line[column] for table in tables for line in table.lines} == {printed}


def test_what_must_not_be_shown_is_about_nobody() -> None:
    info = replace(registry.current().find("lock", "ntl"), published=("ntlbench_radar.csv",))
    assert published.of_plugin(info) == []


def test_ours_in_the_same_setting_are_the_rows_with_the_fewest_settings() -> None:
    plain = record("ntl", "none", RP=None, scenario="CIFAR10:STL10")
    tuned = record("ntl", "none", RP=None, scenario="CIFAR10:STL10", lock_explicit={"alpha": 0.5})
    attacked = record("ntl", "disguise", scenario="CIFAR10:STL10")
    table = rows([plain, tuned, attacked, record("ntl", "none", RP=None)])
    lines = {line["attack"]: line for line in published.load(POSTER) if (line["pair"], line["lock"]) == (
        "CIFAR10:STL10", "NTL")}  # fmt: skip
    assert [row.row_key for row in published.same_setting(lines["none"], table)] == [plain.row_key]
    assert [row.row_key for row in published.same_setting(lines["jailntl"], table)] == [attacked.row_key]
    assert published.same_setting(lines["transntl"], table) == []
    assert published.same_setting({"lock": "NTL"}, table) == []
    assert published.sides(lines["none"]) == ("UP", "LP")
    assert published.sides(lines["jailntl"]) == ("authorised_after", "RP")


def test_provenance_is_marked() -> None:
    assert published.marks("second-hand summary, digitised") == ["second-hand", "digitised"]
    assert published.marks("printed in the paper") == []
