"""What a gate found, for the terminal, as Markdown for a job's page, and as JUnit XML."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from reports.gate.rule import TOLERANCE, Finding, Outcome

STYLES = {"regressed": "bold red", "better": "yellow", "held": "green"}
HEADER = ("what", "measures", "baseline", "candidate", "change", "interval", "could see", "verdict")
NUMBERS = {
    "baseline": "base-\nline",
    "candidate": "candi-\ndate",
    "change": "change",
    "interval": "interval",
    "could see": "could\nsee",
}
"""Columns of `HEADER` that hold numbers, and their heads in a terminal, where width is dear."""


def summary(outcome: Outcome) -> str:
    """The verdict in a sentence."""
    worse = sum(f.verdict == "regressed" for f in outcome.findings)
    parts = [f"{worse} of {len(outcome.findings)} numbers regressed"]
    if outcome.certain:
        parts.append(f"{len(outcome.certain)} certain without statistics")
    if better := sum(f.verdict == "better" for f in outcome.findings):
        parts.append(f"{better} unexpectedly better")
    return ("REGRESSED: " if outcome.regressed else "held: ") + "; ".join(parts)


def caption(outcome: Outcome) -> str:
    """How the verdicts came about, one paragraph."""
    tolerances = ", ".join(f"{name} {points:g}" for name, points in TOLERANCE.items())
    baseline, candidate = outcome.seeds
    return (
        f"Percent; changes in points. {baseline} baseline seeds against {candidate} candidate seeds, these counted as "
        f"drawn anew. Chance of a false alarm over the whole table: at most {100 * outcome.rate:g} % (Bonferroni); the "
        f"intervals are at that level. Tolerances in points: {tolerances}. A number regressed where its interval, its "
        "change, every candidate seed and the pairs of shared seeds all say so. Could see: the least worsening found "
        "with a chance of 80 %. The rule: reports/gate.py."
    )


def cells(finding: Finding) -> tuple[str, ...]:
    """A line of the table, as `HEADER`."""
    verdict = finding.verdict + (f": {finding.why}" if finding.why else "")
    return (
        finding.line.name,
        finding.line.metric,
        f"{finding.before:.1f}",
        f"{finding.after:.1f}",
        f"{finding.change:+.1f}",
        f"[{finding.low:+.1f}, {finding.high:+.1f}]",
        f"{finding.detectable:.1f}",
        verdict,
    )


class Report:
    """A rich renderable of an outcome."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        outcome = self.outcome
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
        for name in HEADER:
            is_number = name in NUMBERS
            table.add_column(
                NUMBERS.get(name, name),
                overflow="fold",
                justify="right" if is_number else "left",
                no_wrap=is_number,
            )
        for finding in outcome.findings:
            *texts, verdict = cells(finding)
            table.add_row(*map(Text, texts), Text(verdict, style=STYLES[finding.verdict]))
        yield table
        yield Text(caption(outcome), style="dim")
        for certain in outcome.certain:
            yield Text(f"regressed: {certain.name}: {certain.what}. {certain.remedy}", style="bold red")
        for warning in outcome.warnings:
            yield Text(f"warning: {warning}", style="yellow")
        yield Text(summary(outcome), style="bold red" if outcome.regressed else "bold green")


def markdown(outcome: Outcome) -> str:
    """The outcome as GitHub-flavoured Markdown."""
    lines = [f"## bench gate: {summary(outcome)}", "", *_table(HEADER, map(cells, outcome.findings))]
    if outcome.certain:
        lines += ["", *_table(("finding", "what", "what to do"), ((c.name, c.what, c.remedy) for c in outcome.certain))]
    lines += ["", *(f"- warning: {_plain(warning)}" for warning in outcome.warnings), "", caption(outcome), ""]
    return "\n".join(lines)


def _table(header: Sequence[str], body: object) -> list[str]:
    rows = [header, ["---"] * len(header), *body]  # type: ignore[misc]
    return ["| " + " | ".join(_plain(str(cell)) for cell in row) + " |" for row in rows]


def _plain(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def junit(outcome: Outcome) -> str:
    """The outcome as JUnit XML: a test case a number, and one for each certain finding."""
    failures = len(outcome.certain) + sum(f.verdict == "regressed" for f in outcome.findings)
    tests = str(len(outcome.findings) + len(outcome.certain))
    suite = ElementTree.Element("testsuite", name="bench gate", tests=tests, failures=str(failures), errors="0")
    for finding in outcome.findings:
        case = ElementTree.SubElement(suite, "testcase", classname=finding.line.metric, name=_xml(finding.line.name))
        said = _xml("; ".join(f"{name}: {cell}" for name, cell in zip(HEADER, cells(finding), strict=True)))
        if finding.verdict == "regressed":
            ElementTree.SubElement(case, "failure", message=finding.why).text = said
        else:
            ElementTree.SubElement(case, "system-out").text = said
    for certain in outcome.certain:
        case = ElementTree.SubElement(suite, "testcase", classname="certain", name=_xml(certain.name))
        ElementTree.SubElement(case, "failure", message=_xml(certain.what)).text = _xml(certain.remedy)
    if outcome.warnings:
        ElementTree.SubElement(suite, "system-out").text = _xml("\n".join(outcome.warnings))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    """Without the control characters that XML cannot hold; an error message may have any."""
    return "".join(c for c in text if c in "\t\n" or c >= " ")
