"""What a reviewer reads of a submission: its findings, then its rows. For the terminal and for a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from bench.legible import visible
from reports.board.finding import Finding, Submission
from reports.rows.row import Row
from reports.text.cells import attack_mark, verdict
from reports.text.escaping import markdown as escape
from reports.text.formatting import number, seeds_list, with_interval
from reports.text.groups import Group, grouped, lock_name, title
from reports.text.markdown_table import markdown_table

HEADINGS = ("lock", "attack", "seeds", "UP", "LP", "RP", "public baseline", "advantage", "oracle", "verdict", "flags")
LONGEST = 600
"""Characters of a line."""


def terminal(findings: Sequence[Finding]) -> list[tuple[str, bool]]:
    """The lines of the findings, each with whether it is good news."""
    lines = []
    for finding in findings:
        lines.append((_cut(f"{finding.mark} {finding.check}: {finding.what}"), finding.ok))
        lines += [(_cut(f"    {line}"), True) for line in finding.lines]
        if finding.remedy:
            lines.append((_cut(f"  → {finding.remedy}"), False))
    return lines


def verdict_words(findings: Sequence[Finding]) -> str:
    """Accepted, or by what it is refused."""
    failed = [finding.check for finding in findings if not finding.ok]
    if failed:
        return f"refused: {', '.join(failed)}"
    skipped = [finding.check for finding in findings if finding.skipped]
    return "accepted: every check passes" + (f", without {', '.join(skipped)}" if skipped else "")


def markdown(file: str, findings: Sequence[Finding], submission: Submission | None) -> str:
    """Markdown for a pull request: the verdict, the checks, and the rows."""
    parts = [f"## {escape(file)}: {escape(verdict_words(findings))}"]
    checks = []
    for finding in findings:
        more = "".join(f"<br>{escape(_cut(line))}" for line in finding.lines)
        remedy = f"<br>→ {escape(_cut(finding.remedy))}" if finding.remedy else ""
        checks.append((finding.mark, finding.check, f"{escape(_cut(finding.what))}{more}{remedy}"))
    parts.append(markdown_table(("", "check", "what was found"), checks, "cll"))
    if submission is not None:
        for group in grouped(submission.rows):
            parts += [f"### {escape(title(group))}", table(group)]
    return "\n\n".join(parts) + "\n"


def table(group: Group) -> str:
    """The rows of a scenario as a Markdown table."""
    return markdown_table(HEADINGS, [_line(row) for row in group.rows], "llrrrrrrrll")


def _line(row: Row) -> list[str]:
    names = [escape(_cut(text)) for text in (lock_name(row), row.attack + attack_mark(row), seeds_list(row.seeds))]
    numbers = [number(row.mean(name)) for name in ("UP", "LP")]
    numbers += [with_interval(row.values[name]) for name in ("RP", "public_baseline", "advantage")]
    flags = ", ".join(f"{name} {count}/{len(row.seeds)}" for name, count in row.flags.items())
    return [*names, *numbers, number(row.mean("oracle")), escape(verdict(row)), escape(flags) or "—"]


def _cut(text: str) -> str:
    text = visible(text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
