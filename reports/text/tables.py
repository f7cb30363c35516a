"""Rows as JSON, CSV, Markdown and LaTeX; the terminal's leaderboard is in `reports.text.terminal`."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

from bench.errors import UserError
from reports.rows import domain
from reports.rows.aggregate import half_costs
from reports.rows.intervals import IMAGES, Value
from reports.rows.ranking import best
from reports.rows.row import ConditionRow, Row
from reports.text.captions import Group, captions, flag_numbers, grouped, title
from reports.text.formatting import (
    DASH,
    EMPTY,
    HEADINGS,
    TRANSDUCTIVE,
    digits,
    flat,
    interval,
    number,
    seeds_words,
    with_interval,
)
from reports.text.terminal import terminal

__all__ = ["FORMATS", "as_object", "render", "terminal"]

FIELDS = (
    "scenario", "model", "lock", "key", "attack", "threat", "seeds", "UP", "LP", "UP_shipped", "LP_shipped", "RP",
    "victim_authorised", "oracle", "floor", "public_baseline", "recovery", "advantage", "authorised_after", "curve",
    "meter", "half_recovery", "lock_cost", "conditions", "selection", "transductive", "flags", "status",
)  # fmt: skip
"""Fields of a JSON object, followed by ``intervals``, ``per_seed``, ``row_key``, ``missing`` and ``error``."""

NUMBERS = tuple(name for name in FIELDS if name in HEADINGS)
MAIN = (
    "victim_authorised", "UP", "UP_shipped", "LP", "LP_shipped", "RP", "oracle", "public_baseline", "advantage",
    "recovery", "authorised_after",
)  # fmt: skip
OPTIONAL = ("UP_shipped", "LP_shipped", "authorised_after")


def render(rows: Sequence[Row], fmt: str) -> str:
    """``rows`` as text.

    Args:
        rows: as `reports.rows.aggregate.rows` gives them.
        fmt: ``md``, ``csv``, ``json`` or ``latex``.

    Raises:
        UserError: another format.
    """
    if fmt not in FORMATS:
        raise UserError(f"there is no report format '{fmt}'.", f"Choose one of {', '.join(FORMATS)}.")
    return FORMATS[fmt](rows)


def as_object(row: Row) -> dict[str, Any]:
    """The JSON object of ``row``; accuracies in percent, None where not measured or not to be shown.

    ``intervals`` maps a field to [low, high, kind]; ``field/images`` is the interval over images of these seeds,
    where it is not the headline. ``per_seed`` maps a field, and ``n`` (test images), to one value for each of
    ``seeds``.
    """
    values = {name: row.values[name] for name in NUMBERS}
    intervals: dict[str, list[Any]] = {}
    for name, value in values.items():
        if value is None:
            continue
        if value.kind is not None:
            intervals[name] = [value.low, value.high, value.kind]
        if value.images is not None and value.kind != IMAGES:
            intervals[f"{name}/images"] = [*value.images, IMAGES]
    found: dict[str, Any] = {
        "scenario": row.scenario,
        "model": row.model,
        "lock": row.lock,
        "key": row.key,
        "attack": row.attack,
        "threat": row.threat,
        "seeds": list(row.seeds),
        **{name: None if value is None else value.mean for name, value in values.items()},
        "curve": None if row.curve is None else [{"seed": s, "points": points} for s, points in row.curve.items()],
        "meter": row.meter,
        "half_recovery": half_costs(row),
        "lock_cost": dict(row.lock_cost),
        "conditions": [_condition(c) for c in row.conditions],
        "selection": row.selection,
        "transductive": row.transductive,
        "flags": row.flags,
        "status": row.status,
    }
    ordered = {name: found[name] for name in FIELDS}
    return ordered | {
        "intervals": intervals,
        "per_seed": {"n": list(row.n)} | {name: list(v.per_seed) for name, v in values.items() if v is not None},
        "row_key": row.row_key,
        "missing": [{"control": lack.control, "command": lack.command} for lack in row.missing],
        "error": row.error,
        "ensemble": None if row.ensemble is None else asdict(row.ensemble),
        "domain": None if row.drops is None else {n: _value(v) for n, v in row.drops.items()},
    }


def _value(value: Value | None) -> dict[str, Any] | None:
    if value is None:
        return None
    interval = None if value.kind is None else [value.low, value.high, value.kind]
    return {"mean": value.mean, "interval": interval, "per_seed": list(value.per_seed)}


def _condition(c: ConditionRow) -> dict[str, Any]:
    return {
        "name": c.name,
        "what": c.what,
        "accuracy": c.accuracy.mean,
        "shipped": None if c.shipped is None else c.shipped.mean,
        "interval": None if c.accuracy.kind is None else [c.accuracy.low, c.accuracy.high, c.accuracy.kind],
        "per_seed": list(c.accuracy.per_seed),
    }


def as_json(rows: Sequence[Row]) -> str:
    """A JSON list with one object for each row."""
    return json.dumps([as_object(row) for row in rows], indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """One line for each row: numbers with ``_low``, ``_high``, ``_kind``; lists and mappings as JSON in one cell."""
    header = []
    for name in FIELDS:
        header += [name, f"{name}_low", f"{name}_high", f"{name}_kind"] if name in NUMBERS else [name]
    out = io.StringIO()
    writer = csv.DictWriter(out, [*header, "n", "verdict", "row_key", "missing", "error"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        found = as_object(row)
        line = {name: found[name] for name in (*FIELDS, "row_key", "missing", "error")}
        for name, (low, high, kind) in found["intervals"].items():
            if name in NUMBERS:
                line |= {f"{name}_low": low, f"{name}_high": high, f"{name}_kind": kind}
        line |= {"n": found["per_seed"]["n"], "verdict": row.verdict}
        writer.writerow({k: json.dumps(v) if isinstance(v, list | dict | bool) else v for k, v in line.items()})
    return out.getvalue()


Cell = tuple[str, str]
"""What a cell says, and the interval beside it (or nothing)."""


def _header(group: Group) -> list[str]:
    return ["lock", "key", "attack", "threat", "seeds", *(_heading(n) for n in _shown(group)), "verdict", "flags"]


def _heading(name: str) -> str:
    return "LP (K classes)" if name == "LP" else HEADINGS[name]


def _shown(group: Group) -> list[str]:
    return [name for name in MAIN if name not in OPTIONAL or any(row.values[name] for row in group.rows)]


def _cells(group: Group, row: Row) -> list[Cell]:
    flags = flag_numbers(group)
    mark = f" {TRANSDUCTIVE}" if row.transductive else ""
    numbers = [_cell(row.values[name], digits(name)) for name in _shown(group)]
    seeds = seeds_words(row.seeds).partition(" ")[2]
    flagged = " ".join(f"[{flags[name]}]" for name in row.flags) or DASH
    texts = [row.lock, row.key, row.attack + mark, f"({group.threat(row)})", seeds]
    return [*((text, "") for text in texts), *numbers, (_verdict(row), ""), (flagged, "")]


def _verdict(row: Row) -> str:
    return f"{row.verdict}; controls missing" if row.missing else row.verdict


def _cell(value: Value | None, decimals: int) -> Cell:
    return (DASH, "") if value is None else (number(value.mean, decimals), interval(value, decimals))


_DOMAIN_HEADER = ("lock", "seeds", "source (A_s)", "target (A_t)", *domain.HEADINGS.values())
_DOMAIN_NUMERIC = (False, False, *(True,) * 6)
_DOMAIN_CAPTION = (
    "No attack. Source drop: the victim's source accuracy less the lock's, points. Target drop: what the lock took of "
    "the victim's target accuracy, percent of it. ST-D: relative source drop over relative target drop, lower is "
    f"better; undefined where the target drop is under {domain.LEAST_DROP:g} %. Intervals as above."
)


def _domain_caption(pairs: Sequence[Row]) -> str:
    most = max(pairs, key=lambda row: len(row.seeds))
    victim, floor = most.values["oracle"], most.values["floor"]
    return _DOMAIN_CAPTION + ("" if victim is None or floor is None else " " + domain.counts(victim, floor))


def _domain_cells(row: Row) -> list[Cell]:
    assert row.drops is not None
    sides = [_cell(row.values[name], 1) for name in ("UP", "LP")]
    drops = [_cell(value, 3 if name == "st_d" else 1) for name, value in row.drops.items()]
    return [(row.lock, ""), (seeds_words(row.seeds).partition(" ")[2], ""), *sides, *drops]


CONDITION_HEADER = ("condition", "what was applied", "accuracy", "shipped", "seeds")


def _condition_cells(c: ConditionRow) -> list[Cell]:
    shipped = number(None if c.shipped is None else c.shipped.mean)
    accuracy = _cell(c.accuracy, 1)
    return [(c.name, ""), (c.what, ""), accuracy, (shipped, ""), (str(c.accuracy.n_seeds), "")]


def _condition_title(row: Row) -> str:
    return f"Key conditions of {row.lock} with key {row.key}"


def _condition_caption(group: Group, row: Row) -> str:
    kinds = dict.fromkeys(c.accuracy.kind for c in row.conditions if c.accuracy.kind)
    source = f"Intervals: 95 %, {'; '.join(kinds)}." if kinds else "No intervals: none were recorded."
    by_n: dict[int | None, list[str]] = {}
    for c in row.conditions:
        by_n.setdefault(c.n, []).append(c.name)
    sizes = "; ".join(f"{n} ({', '.join(names)})" for n, names in by_n.items()) if len(by_n) > 1 else str(*by_n)
    seeds = seeds_words(row.seeds)
    oracle, floor = with_interval(row.values["oracle"]), with_interval(row.values["floor"])
    controls = f"Controls: the victim on un-authorised images {oracle}, the floor {floor}"
    return (
        f"The locked model on test images of {title(group)}, no attack; percent over the K real classes."
        f" n = {sizes}; {seeds}. {source} {controls}. Selection rule: none, nothing is chosen."
    )


def _md_text(text: str) -> str:
    # Brackets would start links, so that [1] and modellock[decoys=fixed] are escaped too.
    return re.sub(r"([\\|*_`<>\[\]])", r"\\\1", flat(text))


def _md_table(header: Iterable[str], body: Iterable[Sequence[Cell]], numeric: Sequence[bool]) -> list[str]:
    lines = ["| " + " | ".join(_md_text(h) for h in header) + " |"]
    lines.append("| " + " | ".join("---:" if n else "---" for n in numeric) + " |")
    for cells in body:
        # The interval's brackets are left bare: they hold numbers, which no link has for a target.
        lines.append("| " + " | ".join(f"{_md_text(text)} {beside}".strip() for text, beside in cells) + " |")
    return [*lines, ""]


def as_md(rows: Sequence[Row]) -> str:
    """Markdown: for each scenario and model the methods, the controls, a caption, and each lock's key conditions."""
    if not rows:
        return EMPTY + "\n"
    lines: list[str] = []
    for group in grouped(rows):
        header = _header(group)
        numeric = [False] * 5 + [True] * len(_shown(group)) + [False] * 2
        lines += [f"## {_md_text(title(group))}", ""]
        for block in group.blocks():
            lines += [f"### {block.heading}", ""]
            lines += _md_table(header, (_cells(group, row) for row in block.rows), numeric)
        lines += [f"- {_md_text(line)}" for line in captions(group)] + [""]
        if pairs := [row for row in group.rows if row.drops is not None]:
            lines += [
                "### Source and target",
                "",
                *_md_table(_DOMAIN_HEADER, map(_domain_cells, pairs), _DOMAIN_NUMERIC),
            ]
            lines += [_md_text(_domain_caption(pairs)), ""]
        for row in group.lock_rows():
            body = [_condition_cells(c) for c in row.conditions]
            lines += [f"### {_md_text(_condition_title(row))}", ""]
            lines += _md_table(CONDITION_HEADER, body, (False, False, True, True, True))
            lines += [_md_text(_condition_caption(group, row)), ""]
    return "\n".join(lines).rstrip() + "\n"


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


def _tex_cell(cell: Cell) -> str:
    text, beside = cell
    if text.startswith("-"):  # a negative number, with a minus sign and not a hyphen
        text = "−" + text[1:]
    return tex(text) + (r" {\scriptsize " + tex(beside.replace("-", "−")) + "}" if beside else "")


def _tex_table(heading: str, header: Sequence[str], blocks: Sequence[list[str]], columns: str, caption: str) -> str:
    body = "\n\\midrule\n".join("\n".join(block) for block in blocks)
    titles = " & ".join(tex(h) for h in header)
    return "\n".join(
        [
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{\textbf{{{tex(heading)}.}} {tex(caption)}}}",
            r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            titles + r" \\",
            r"\midrule",
            body,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table*}",
            "",
        ]
    )


def as_latex(rows: Sequence[Row]) -> str:
    """LaTeX tables with booktabs; bold is the advantage of a lock that holds best beyond noise, nothing else."""
    if not rows:
        return tex(EMPTY) + "\n"
    parts = ["% needs \\usepackage{booktabs,graphicx}", ""]
    for group in grouped(rows):
        columns = "lllll" + "r" * len(_shown(group)) + "ll"
        first = best(group.rankable())
        blocks = [
            [
                _tex_heading(block.heading, len(columns)),
                *(_tex_line(_cells(group, row), _bold(group) if row is first else None) for row in block.rows),
            ]
            for block in group.blocks()
        ]
        parts.append(_tex_table(title(group), _header(group), blocks, columns, " ".join(captions(group))))
        if pairs := [row for row in group.rows if row.drops is not None]:
            body = [_tex_line(_domain_cells(row)) for row in pairs]
            heading = f"Source and target, {title(group)}"
            parts.append(_tex_table(heading, _DOMAIN_HEADER, [body], "llrrrrrr", _domain_caption(pairs)))
        for row in group.lock_rows():
            body = [_tex_line(_condition_cells(c)) for c in row.conditions]
            heading = f"{_condition_title(row)}, {title(group)}"
            caption = _condition_caption(group, row)
            parts.append(_tex_table(heading, CONDITION_HEADER, [body], "llrrr", caption))
    return "\n".join(parts)


def _tex_heading(text: str, columns: int) -> str:
    return rf"\multicolumn{{{columns}}}{{l}}{{\emph{{{tex(text)}}}}} \\"


def _bold(group: Group) -> int:
    """The column of the advantage."""
    return _header(group).index(HEADINGS["advantage"])


def _tex_line(cells: Iterable[Cell], bold: int | None = None) -> str:
    told = [_tex_cell(cell) for cell in cells]
    if bold is not None:
        told[bold] = rf"\textbf{{{told[bold]}}}"
    return " & ".join(told) + r" \\"


FORMATS: dict[str, Callable[[Sequence[Row]], str]] = {
    "md": as_md, "csv": as_csv, "json": as_json, "latex": as_latex,
}  # fmt: skip
