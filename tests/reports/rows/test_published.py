"""Published numbers beside plugins and rows."""

from __future__ import annotations

from example_records import record

from bench import registry
from reports.rows import published
from reports.rows.aggregate import rows


def _lines(kind: str, name: str) -> dict[str, int]:
    info = registry.current().find(kind, name)
    return {table.name: len(table.lines) for table in published.of_plugin(info)}


def test_a_plugin_is_known_by_name_title_or_the_name_its_paper_gives() -> None:
    assert _lines("lock", "map") == {"map_average.csv": 1}  # SA-MAP
    assert _lines("attack", "disguise") == {"ntl_attacks_jailntl_poster.csv": 6}  # JailNTL
    assert _lines("lock", "modellock") == {"modellock_prompts.csv": 70}  # a file without a column of locks


def test_controls_and_lines_that_must_not_be_shown_are_left_out() -> None:
    assert _lines("attack", "none") == _lines("attack", "from-scratch") == {}
    assert _lines("attack", "shot") == {}  # the radar alone has it


def test_the_same_setting_is_the_row_with_the_fewest_settings() -> None:
    plain = record("ntl", "none", RP=None, scenario="CIFAR10:STL10")
    other = record("ntl", "none", RP=None, scenario="CIFAR10:STL10", lock_explicit={"alpha": 0.2})
    table = rows([plain, other, record("ntl", "none", RP=None)])
    line = next(
        x for x in published.load("ntl_attacks_jailntl_poster.csv") if (x["lock"], x["attack"]) == ("NTL", "none")
    )
    assert [row.lock for row in published.same_setting(line, table)] == ["ntl"]
    assert published.same_setting({"lock": "NTL"}, table) == []


def test_provenance_is_marked() -> None:
    assert published.marks("second-hand summary, digitised") == ["second-hand", "digitised"]
    assert published.marks("printed in the paper") == []
