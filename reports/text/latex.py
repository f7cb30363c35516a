"""Rows as LaTeX tables."""

from __future__ import annotations

from collections.abc import Sequence

from reports.rows.row import Row
from reports.text.cells import Cell, Table, leaderboard, side_tables
from reports.text.escaping import tex
from reports.text.formatting import EMPTY
from reports.text.groups import grouped, title

NEEDS = "% needs \\usepackage{booktabs,graphicx}\n"
"""The comment above a file of tables."""


def _tex_cell(cell: Cell) -> str:
    text = cell.text
    if text.startswith("-"):  # a negative number, with a minus sign and not a hyphen
        text = "−" + text[1:]
    out = tex(text)
    if cell.beside:
        out += r" {\scriptsize " + tex(cell.beside.replace("-", "−")) + "}"
    return rf"\textbf{{{out}}}" if cell.best else out


def as_latex(rows: Sequence[Row]) -> str:
    """LaTeX tables with booktabs; bold is the advantage of a lock that holds best beyond noise, nothing else."""
    if not rows:
        return tex(EMPTY) + "\n"
    parts = [NEEDS]
    for group in grouped(rows):
        parts.append(latex_table(leaderboard(group), title(group)))
        parts += [latex_table(table, f"{table.title}, {title(group)}") for table in side_tables(group)]
    return "\n".join(parts)


def latex_table(table: Table, heading: str) -> str:
    """A floating table over the width of the page. Its notes are a paragraph behind it, which pages may break."""
    blocks = []
    for name, lines in table.blocks:
        above = [rf"\multicolumn{{{len(table.headings)}}}{{l}}{{\emph{{{tex(name)}}}}} \\"] if name else []
        blocks.append("\n".join([*above, *(" & ".join(map(_tex_cell, line)) + r" \\" for line in lines)]))
    notes = [rf"{{\footnotesize\noindent\textbf{{{tex(heading)}, notes.}} {tex(' '.join(table.notes))}\par}}", ""]
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{\textbf{{{tex(heading)}.}} {tex(' '.join(table.captions))}}}",
            r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{table.align}}}",
            r"\toprule",
            " & ".join(map(tex, table.headings)) + r" \\",
            r"\midrule",
            "\n\\midrule\n".join(blocks),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table*}",
            "",
            *(notes if table.notes else []),
        ]
    )
