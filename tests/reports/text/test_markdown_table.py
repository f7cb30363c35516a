"""The one writer of Markdown tables: columns keep their places whatever a cell holds."""

from __future__ import annotations

import pytest

from reports.text.markdown_table import markdown_table


def test_pipes_and_line_breaks_stay_in_their_cell() -> None:
    assert markdown_table(["a", "b"], [["x|y", "1\n2"], [r"x\|y", ""]], "lr") == (
        "| a | b |\n| --- | ---: |\n" + r"| x\|y | 1 2 |" + "\n" + r"| x\|y |  |"
    )


def test_the_last_letter_aligns_the_columns_that_follow() -> None:
    assert markdown_table("abcd", [], "lr").splitlines()[1] == "| --- | ---: | ---: | ---: |"
    assert markdown_table("ab", []).splitlines()[1] == "| --- | --- |"
    assert markdown_table("a", [], "c").splitlines()[1] == "| :---: |"


def test_a_row_of_another_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 cells under 2 headings"):
        markdown_table(["a", "b"], [["x"]])
