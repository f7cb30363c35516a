"""Locks against attacks as one compact table a scenario, for papers and pages: UP, LP, and RP under each attack.

Every row of a report has its own cell: an attack with other settings, or under another threat model, is another column.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rich.console import Console, ConsoleOptions, RenderResult
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table as RichTable

from bench.errors import UserError
from reports.rows.intervals import Value
from reports.rows.matrix import kind_of
from reports.rows.row import MARGIN, Row
from reports.text.captions import TRANSDUCTIVE_NOTE, alarms, threats
from reports.text.cells import Cell, Table, attack_mark
from reports.text.escaping import csv_cell, markdown, tex
from reports.text.folding import fold
from reports.text.formatting import DASH, EMPTY, LISTED, number, seeds_words
from reports.text.groups import Group, grouped, letters, lock_name, title
from reports.text.latex import NEEDS, latex_table
from reports.text.letters import Letters
from reports.text.markdown_table import markdown_table

COLUMN, LOCK_NAME = 14, 22
"""Columns of the terminal that an attack and a lock's name may take."""
NAME_COLUMNS = LOCK_NAME + 24
"""Those that the name, UP and LP take together."""
Column = tuple[str, str]
"""An attack with its settings, and the letter of its threat model."""


def matrix_table(group: Group) -> Table:
    """The locks of a group in the order of its leaderboard, then its controls, then the public baseline.

    An attack that was measured on no lock has no column.
    """
    rows = [row for block in group.blocks() for row in block.rows if row.status != "not measured"]
    attacked = [row for row in rows if not row.attack_purpose]
    group = replace(group, threats=letters([*attacked, *group.rows]))
    columns = list(dict.fromkeys(_column(group, row) for row in attacked))
    columns.sort(key=lambda column: (len(column[1]), column[1]))  # a to z, then aa
    one_threat = len({letter for _, letter in columns}) == 1
    one_key = len({row.key for row in rows}) == 1
    names = [attack if one_threat else f"{attack} ({letter})" for attack, letter in columns]
    blocks = []
    for heading in ("", "Controls"):
        shown = attacked if heading else rows  # the victim, which nothing attacks, is no line
        listed = dict.fromkeys(row.place for row in shown if bool(row.lock_purpose) == bool(heading))
        lines = [_line(group, [row for row in rows if row.place == place], columns, one_key) for place in listed]
        blocks += [(heading, lines)] if lines else []
    if any(row.values["public_baseline"] is not None for row in attacked):
        blocks.append(("", [_baselines(group, attacked, columns)]))
    head = ["lock" if one_key else "lock and key", "UP", "LP", *names]
    captions = [*alarms(group), *_legend(group, rows), *threats(replace(group, methods=attacked, controls=[]))]
    return Table(title(group), head, "l" + "r" * (len(head) - 1), blocks, captions)


def _line(group: Group, rows: Sequence[Row], columns: Sequence[Column], one_key: bool) -> list[Cell]:
    """A lock: UP and LP from its row with the most seeds, and a cell for each attack."""
    widest = max(rows, key=lambda row: (row.values["UP"] is not None, len(row.seeds)))
    # A row that counts comes first; one of seeds that are invalid or failed shows where there is no other.
    cells = {_column(group, row): _spot(row) for row in reversed(rows) if not row.attack_purpose}
    sides = [_cell(widest.values[name]) for name in ("UP", "LP")]
    return [Cell(rows[0].lock if one_key else lock_name(rows[0])), *sides, *(cells.get(c, Cell("")) for c in columns)]


def _column(group: Group, row: Row) -> Column:
    return row.attack + attack_mark(row), group.threat(row)


def _spot(row: Row) -> Cell:
    kind = kind_of(row)
    if kind == "no result":
        return Cell(row.status if row.status != "ok" else "no control" if row.missing else DASH)
    text, beside, _ = _cell(row.values["RP"])
    return Cell(text, f"{beside} ?".strip() if kind == "undecided" else beside, kind == "broken")


def _cell(value: Value | None) -> Cell:
    if value is None:
        return Cell(DASH)
    if value.n_seeds <= LISTED:
        return Cell(", ".join(number(x) for x in value.per_seed if x is not None))
    return Cell(number(value.mean), "" if value.half is None else f"± {number(value.half)}")


def _baselines(group: Group, attacked: Sequence[Row], columns: Sequence[Column]) -> list[Cell]:
    """Public data alone, under the data budget of each column: from the row with the most seeds that has it."""
    cells = []
    for column in columns:
        own = [row for row in attacked if _column(group, row) == column]
        best = max(own, key=lambda row: (row.values["public_baseline"] is not None, len(row.seeds)))
        cells.append(_cell(best.values["public_baseline"]))
    return [Cell("no model: public baseline"), Cell(""), Cell(""), *cells]


def _legend(group: Group, rows: Sequence[Row]) -> list[str]:
    measured = [row for row in rows if row.status == "ok"]
    seeds = sorted({seed for row in measured for seed in row.seeds})
    words = seeds_words(seeds).capitalize()
    means = f": mean ± the longer arm of its 95 % interval; up to {LISTED} seeds one by one"
    sizes = sorted({n for row in measured for n in row.n if n is not None})
    what = "mIoU over the K real classes" if group.metric == "mIoU" else "accuracy over the K real classes"
    return [
        f"UP and LP, and RP under each attack: {what}, percent, of {' or '.join(map(str, sizes)) or 'no'} test images.",
        f"{words}{means if len(seeds) > LISTED else ''}.",
        f"Bold: broken, as the advantage over the public baseline has its lower bound above {MARGIN:g} points.",
        "A question mark: undecided. An empty cell was not measured.",
        *([TRANSDUCTIVE_NOTE] if any(row.transductive for row in rows) else []),
    ]


def as_md(rows: Sequence[Row]) -> str:
    """The matrices as Markdown; what is broken is bold."""
    if not rows:
        return EMPTY + "\n"
    parts = []
    for table in map(matrix_table, grouped(rows)):
        body = [[_md_cell(cell) for cell in line] for line in table.lines]
        parts += [f"## {markdown(table.title)}", markdown_table([*map(markdown, table.headings)], body, table.align)]
        parts.append("\n".join(f"- {markdown(line)}" for line in table.captions))
    return "\n\n".join(parts) + "\n"


def _md_cell(cell: Cell) -> str:
    text = f"{markdown(cell.text)} {cell.beside}".strip()
    return f"**{text}**" if cell.best else text


def as_latex(rows: Sequence[Row]) -> str:
    """The matrices as LaTeX with booktabs; what is broken is bold."""
    tables = [latex_table(table, table.title) for table in map(matrix_table, grouped(rows))]
    return "\n".join([NEEDS, *tables]) if tables else tex(EMPTY) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """The matrices as CSV, one below the other: the title of each, its headings, then one line a lock."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for table in map(matrix_table, grouped(rows)):
        writer.writerow([csv_cell(table.title)])
        writer.writerow([csv_cell(name) for name in table.headings])
        writer.writerows([csv_cell(f"{cell.text} {cell.beside}".strip()) for cell in line] for line in table.lines)
    return out.getvalue()


FORMATS: dict[str, Callable[[Sequence[Row]], str]] = {"md": as_md, "latex": as_latex, "csv": as_csv}


def render(rows: Sequence[Row], fmt: str) -> str:
    """The matrices as text.

    Raises:
        UserError: another format than md, latex or csv.
    """
    if fmt not in FORMATS:
        raise UserError(f"a matrix has no format '{fmt}'.", f"Choose one of {', '.join((*FORMATS, 'terminal'))}.")
    return FORMATS[fmt](rows)


@dataclass(frozen=True)
class Board:
    """A rich renderable of matrices; what is broken is bold red, controls are dim."""

    rows: Sequence[Row]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """A table for each scenario and model."""
        text = Letters(options.ascii_only)
        if not self.rows:
            yield text(EMPTY)
        for group in grouped(self.rows):
            table, failing = matrix_table(group), alarms(group)
            yield Rule(text(table.title, style="bold"), align="left")
            wide = max(1, (options.max_width - NAME_COLUMNS) // COLUMN)
            for first in range(3, max(len(table.headings), 4), wide):  # a lock that nothing attacks has UP and LP
                yield _part(table, [0, 1, 2, *range(first, min(first + wide, len(table.headings)))], text)
            for line in table.captions:
                yield Padding(text(line, style="bold red" if line in failing else "dim"), (0, 0, 0, 2))
            yield text("")


def _part(table: Table, columns: Sequence[int], text: Letters) -> RichTable:
    """The columns of a matrix that fit beside one another."""
    shown = RichTable(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for i in columns:
        words = text(fold(table.headings[i], COLUMN - 1))
        shown.add_column(words, justify="right" if table.align[i] == "r" else "left", overflow="fold")
    for name, lines in table.blocks:
        for line in lines:
            cells = [line[i] for i in columns]
            styles = ["bold red" if cell.best else "dim" if name else "" for cell in cells]
            printed = [fold(cells[0].text, LOCK_NAME), *(f"{c.text}\n{c.beside}".strip() for c in cells[1:])]
            shown.add_row(*map(text, printed, styles))
    return shown


def terminal(rows: Sequence[Row]) -> Board:
    """The matrices of ``rows`` as a rich renderable."""
    return Board(rows)
