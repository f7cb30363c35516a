"""The compact matrix: a cell for each row, what is bold, what is withheld, and the public baseline of each column."""

from __future__ import annotations

import csv
import io

import pytest
from example_records import baselines, calibration, record, world
from rich.console import Console

from bench.errors import UserError
from bench.records import Record
from reports.rows.aggregate import rows
from reports.text import matrix
from reports.text.groups import grouped


def cells(records: list[Record]) -> dict[str, dict[str, str]]:
    """By lock and heading, what a cell prints."""
    lines = list(csv.reader(io.StringIO(matrix.render(rows(records), "csv"))))
    return {line[0]: dict(zip(lines[1], line, strict=True)) for line in lines[2:]}


def test_each_row_has_its_cell_and_each_column_its_baseline() -> None:
    second = {"share": 0.1}
    more = [record("none", "from-scratch", RP=70.0, threat=second), record("ntl", "finetune", RP=75.0, threat=second)]
    shown = cells([*world((80.0,), (30.0,)), *more])
    assert list(shown) == ["ntl", "modellock", "destroyed", "permuted-logits", "no model: public baseline"]
    assert shown["modellock"]["prompt-search (b)"] == "80.0 ?"
    assert shown["modellock"]["finetune (a)"] == ""
    assert shown["ntl"]["finetune (a)"] == "75.0 ?"
    assert shown["no model: public baseline"]["prompt-search (b)"] == "30.0"
    assert shown["no model: public baseline"]["finetune (a)"] == "70.0"
    assert shown["modellock"]["UP"] == "88.0"
    assert shown["modellock"]["LP"] == "20.0"


def test_a_setting_of_an_attack_is_a_column() -> None:
    swept = [record(RP=60.0, attack_explicit={"restarts": 2}), record(RP=70.0, attack_explicit={"restarts": 4})]
    shown = cells([*swept, *calibration(), *baselines(30.0)])["modellock"]
    assert (shown["prompt-search[restarts=2]"], shown["prompt-search[restarts=4]"]) == ("60.0 ?", "70.0 ?")


def test_two_seeds_are_listed_and_three_have_an_interval() -> None:
    assert cells(world((80.0, 79.0), (30.0, 30.0)))["modellock"]["prompt-search"] == "80.0, 79.0"
    three = cells(world((80.0, 81.0, 79.0), (30.0, 30.0, 30.0)))["modellock"]["prompt-search"]
    assert "Seed 0." in matrix.render(rows(world()), "md")
    assert three == "80.0 ± 2.5"  # t(2 degrees of freedom, 97.5 %) × 1 / √3


def test_bold_is_broken_and_a_question_mark_undecided() -> None:
    broken = matrix.render(rows(world((80.0, 81.0, 79.0), (30.0, 30.0, 30.0))), "md")
    assert "**80.0 ± 2.5**" in broken
    undecided = cells(world((80.0, 60.0), (70.0, 20.0)))["modellock"]["prompt-search"]
    assert undecided == "80.0, 60.0 ?"
    assert r"\textbf{80.0 {\scriptsize $\pm$ 2.5}}" in matrix.render(
        rows(world((80.0, 81.0, 79.0), (30.0, 30.0, 30.0))), "latex"
    )


def test_a_number_without_its_control_is_withheld() -> None:
    assert cells([record(), *calibration()])["modellock"]["prompt-search"] == "no control"


def test_what_failed_says_so() -> None:
    failed = record("ntl", "finetune", RP=None, status="failed", error="ValueError: no")
    assert cells([*world(), failed])["ntl"]["finetune"] == "failed"


def test_a_failed_control_is_said_above_all() -> None:
    opened = [record("destroyed", replicate=i, RP=60.0 + i) for i in range(2)]
    table = rows([*world((80.0, 81.0), (30.0, 30.0)), *opened])
    assert matrix.matrix_table(grouped(table)[0]).captions[0].startswith("CONTROL FAILED")


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_terminal_shows_every_column_and_fits(width: int) -> None:
    swept = [record(RP=60.0 + i, attack_explicit={"restarts": i}) for i in range(1, 9)]
    console = Console(width=width, file=io.StringIO(), record=True, color_system=None)
    console.print(matrix.terminal(rows([*swept, *calibration(), *baselines(30.0)])))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    assert all(f"{60 + i}.0" in text for i in range(1, 9))


def test_nothing_to_show_and_an_unknown_format() -> None:
    assert "No records" in matrix.render([], "md")
    assert "No records" in matrix.render([], "latex")
    assert matrix.render([], "csv") == ""
    with pytest.raises(UserError, match="md, latex, csv"):
        matrix.render([], "json")


def test_a_lock_that_nothing_attacks_has_its_line() -> None:
    alone = rows([record(attack="none", RP=None), record("none", "none", RP=None)])
    (line,) = list(csv.reader(io.StringIO(matrix.render(alone, "csv"))))[2:]
    assert line == ["modellock", "88.0", "20.0"]
    console = Console(width=100, file=io.StringIO(), record=True, color_system=None)
    console.print(matrix.terminal(alone))
    assert "modellock" in console.export_text()
