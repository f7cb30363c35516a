"""Text of users, plugins, data and records, escaped for what prints it: one function for each format.

All make what does not show visible first (`bench.legible.visible`): ESC and direction marks never act on a reader.
"""

from __future__ import annotations

import json
import re
from typing import Any

import rich.markup

from bench.legible import shortened, visible

LONGEST_LINE = 400
"""Characters of a sentence or an error after which reports cut it."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet reads as the start of a formula (OWASP, CSV injection)."""
_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "]": "{]}", "—": "---", "–": "--", "×": r"$\times$", "·": r"\textperiodcentered{}",
    "†": r"$\dagger$", "±": r"$\pm$", "≥": r"$\geq$", "≤": r"$\leq$", "−": "$-$", "→": r"$\rightarrow$",
    "…": r"\ldots{}", "α": r"$\alpha$",
}  # fmt: skip


_PLAIN = {
    "±": "+/-", "—": "-", "–": "-", "−": "-", "…": "...", "·": "-", "×": "x", "≤": "<=", "≥": ">=", "→": "->",
    "†": "+", "✓": "yes", "✗": "no", "“": '"', "”": '"', "‘": "'", "’": "'", "α": "alpha", "√": "sqrt", "²": "^2",
    "│": "|", "─": "-", "━": "-", "•": "*",
}  # fmt: skip
"""ASCII for what our own texts hold."""


def ascii_text(text: str) -> str:
    """``text`` in ASCII: our own signs spelled out, any other character as an escape."""
    return "".join(c if c.isascii() else _PLAIN.get(c, _escaped(c)) for c in text)


def _escaped(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode()


def flat(text: str) -> str:
    """``text`` on one line, with nothing invisible in it."""
    return visible(" ".join(text.split()))


def first_line(text: str) -> str:
    """The first line of ``text``, cut where it is endless, and where the others are."""
    first, *more = text.strip().splitlines() or [""]
    start = shortened(flat(first), LONGEST_LINE)
    return f"{start} (and {len(more)} lines more: bench report --format json)" if more else start


def markup(text: str) -> str:
    """``text`` for rich, which reads ``[bold]`` in a string as markup. Consoles here read no emoji codes."""
    return rich.markup.escape(visible(text, keep="\n"))


def markdown(text: str) -> str:
    """``text`` on one line with everything that Markdown would read as markup escaped.

    Brackets would start links, so ``[1]`` and ``modellock[decoys=fixed]`` are escaped too.
    """
    inline = re.sub(r"([\\|*_`<>\[\]~$&])", r"\\\1", flat(text))
    return re.sub(r"^(#+|[-+]|\d+[.)])(?= |$)", lambda m: f"{m[0][:-1]}\\{m[0][-1]}", inline)


def tex(text: str) -> str:
    """``text`` on one line with everything that LaTeX would read as a command escaped."""
    # A command in a caption has to run: LaTeX would set -- as a dash, and ' as a curly quote.
    escaped = re.sub("--|.", lambda m: "-{}-" if m[0] == "--" else _TEX.get(m[0], m[0]), flat(text), flags=re.DOTALL)
    return re.sub(r"(?<=[\s=])'([^']*)'", r"\\textquotesingle{}\1\\textquotesingle{}", escaped)


def csv_cell(value: Any) -> Any:
    """A cell of a CSV file: text that a spreadsheet would run as a formula has ' in front. Numbers stay numbers."""
    if not isinstance(value, str):
        return value
    return visible(f"'{value}" if value.startswith(_FORMULA) else value)


def as_json(value: Any, indent: int | None = None) -> str:
    """JSON that says every character; what does not show is escaped, a number that is not finite is null."""
    text = json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False)
    if text.isascii():
        return text
    return re.sub(r"[^\n -~]", lambda m: m[0] if visible(m[0]) == m[0] else json.dumps(m[0])[1:-1], text)


def _finite(value: Any) -> Any:
    """``value`` with None for numbers that JSON cannot say."""
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def picture(text: str) -> str:
    """``text`` for matplotlib, which reads what stands between two $ as a formula and hides names with a leading _."""
    plain = visible(text, keep="\n").replace("$", r"\$")
    return f" {plain}" if plain.startswith("_") else plain
