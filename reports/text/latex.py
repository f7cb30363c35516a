"""Rows as LaTeX tables with booktabs."""

from __future__ import annotations

from collections.abc import Sequence

from reports.rows.row import Row
from reports.text.cells import Cell, Table, tables
from reports.text.formatting import EMPTY, flat
from reports.text.groups import grouped, title

_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "]": "{]}", "—": "---", "–": "--", "×": r"$\times$", "·": r"\textperiodcentered{}",
    "†": r"$\dagger$", "±": r"$\pm$", "≥": r"$\geq$", "≤": r"$\leq$", "−": "$-$", "→": r"$\rightarrow$",
    "…": r"\ldots{}", "α": r"$\alpha$",
}  # fmt: skip


def tex(text: str) -> str:
    """``text`` on one line with everything that LaTeX would read as a command escaped."""
    return "".join(_TEX.get(c, c) for c in flat(text))


def _cell(cell: Cell) -> str:
    text, beside, best = cell
    if text.startswith("-"):  # a negative number, with a minus sign and not a hyphen
        text = "−" + text[1:]
    full = tex(text) + (r" {\scriptsize " + tex(beside.replace("-", "−")) + "}" if beside else "")
    return rf"\textbf{{{full}}}" if best else full


def as_latex(rows: Sequence[Row]) -> str:
    """LaTeX tables with booktabs; bold is the advantage of a lock that holds best beyond noise, nothing else."""
    if not rows:
        return tex(EMPTY) + "\n"
    parts = ["% needs \\usepackage{booktabs,graphicx}", ""]
    for group in grouped(rows):
        parts += [_table(table, title(group)) for table in tables(group)]
    return "\n".join(parts)


def _table(table: Table, place: str) -> str:
    heading = f"{table.title}, {place}" if table.title else place
    blocks = [
        [*_heading(section.heading, len(table.headings)), *map(_line, section.rows)] for section in table.sections
    ]
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
            "\n\\midrule\n".join("\n".join(block) for block in blocks),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table*}",
            "",
        ]
    )


def _heading(text: str, columns: int) -> list[str]:
    return [rf"\multicolumn{{{columns}}}{{l}}{{\emph{{{tex(text)}}}}} \\"] if text else []


def _line(cells: Sequence[Cell]) -> str:
    return " & ".join(map(_cell, cells)) + r" \\"
