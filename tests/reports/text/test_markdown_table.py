"""The one writer of Markdown tables: columns keep their places whatever a cell holds."""

from __future__ import annotations

import pytest

from reports.text.markdown_table import escape, markdown_table


def test_pipes_and_line_breaks_stay_in_their_cell() -> None:
    lines = markdown_table(["a", "b"], [["x|y", "1\n2"], [escape("x|y"), 3]], "lr").splitlines()
    assert lines == ["| a | b |", "| --- | ---: |", r"| x\|y | 1 2 |", r"| x\|y | 3 |"]


def test_a_row_of_another_length_is_an_error() -> None:
    for rows, align in (([["x"]], ""), ([], "l")):
        with pytest.raises(ValueError, match="2 columns"):
            markdown_table(["a", "b"], rows, align)
