"""Printed numbers: which plugin they speak of, and which rows of ours are in their setting."""

from __future__ import annotations

from example_records import record

from bench import registry
from reports.rows import published
from reports.rows.aggregate import rows

POSTER = "ntl_attacks_jailntl_poster.csv"


def test_every_file_has_lines_with_a_provenance() -> None:
    assert POSTER in published.files()
    for file in published.files():
        lines = published.load(file)
        assert lines
        assert all(any("provenance" in column and text for column, text in line.items()) for line in lines)


def test_a_plugin_goes_by_its_name_its_title_or_its_papers_name() -> None:
    find = registry.current().find
    assert {line["lock"] for line in published.lines_of(find("lock", "cuti"), POSTER)} == {"CUTI"}
    assert {line["lock"] for line in published.lines_of(find("lock", "map"), "map_average.csv")} == {"SA-MAP"}
    assert {line["attack"] for line in published.lines_of(find("attack", "disguise"), POSTER)} == {"jailntl"}
    assert published.lines_of(find("lock", "h-ntl"), POSTER) == []
    no_attack = registry.current().with_purpose("attack", "no-attack")
    assert published.lines_of(no_attack, POSTER) == []


def test_what_must_not_be_shown_speaks_of_nobody() -> None:
    assert published.lines_of(registry.current().find("lock", "ntl"), "ntlbench_radar.csv") == []


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
