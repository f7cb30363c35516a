"""A comparison for the terminal, as Markdown for a job's page, and as JUnit XML."""

from __future__ import annotations

from xml.etree import ElementTree

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from reports.gate.lines import TOLERANCE
from reports.gate.rule import Comparison, Finding
from reports.text.markdown_table import markdown_table

STYLES = {"regressed": "bold red", "better": "yellow", "held": "green"}
HEADER = ("what", "measures", "snapshot", "candidate", "change", "interval", "could see", "verdict")
NUMBERS = {
    "snapshot": "snap-\nshot",
    "candidate": "candi-\ndate",
    "change": "change",
    "interval": "interval",
    "could see": "could\nsee",
}
"""Columns of `HEADER` that hold numbers, and their heads in a terminal, where width is dear."""


def summary(comparison: Comparison) -> str:
    """The verdict in a sentence."""
    worse = sum(f.verdict == "regressed" for f in comparison.findings)
    parts = [f"{worse} of {len(comparison.findings)} numbers regressed"]
    if comparison.certain:
        parts.append(f"{len(comparison.certain)} certain without statistics")
    if better := sum(f.verdict == "better" for f in comparison.findings):
        parts.append(f"{better} unexpectedly better")
    return ("REGRESSED: " if comparison.regressed else "held: ") + "; ".join(parts)


def caption(comparison: Comparison) -> str:
    """How the verdicts come about, one paragraph."""
    tolerances = ", ".join(f"{name} {points:g}" for name, points in TOLERANCE.items())
    before, after = comparison.seeds
    return (
        f"Percent; changes in points. {before} seeds of the snapshot against {after} of the candidate, which count as "
        f"drawn anew. Chance of a false alarm over the whole table: at most {100 * comparison.rate:g} % (Bonferroni); "
        f"the intervals are at that level. Tolerances in points: {tolerances}. A number regressed where its interval, "
        "its change, every candidate seed and the pairs of shared seeds all say so. Could see: the least worsening "
        "found with a chance of 80 %. The rule: reports/gate/rule.py."
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
    """A comparison as a rich renderable: the table, how to read it, findings, warnings, and the verdict last."""

    def __init__(self, comparison: Comparison) -> None:
        """Show ``comparison``."""
        self.comparison = comparison

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What rich prints."""
        comparison = self.comparison
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
        for name in HEADER:
            is_number = name in NUMBERS
            table.add_column(
                NUMBERS.get(name, name),
                overflow="fold",
                justify="right" if is_number else "left",
                no_wrap=is_number,
            )
        for finding in comparison.findings:
            *texts, verdict = cells(finding)
            table.add_row(*map(Text, texts), Text(verdict, style=STYLES[finding.verdict]))
        yield table
        yield Text(caption(comparison), style="dim")
        for certain in comparison.certain:
            yield Text(f"regressed: {certain.name}: {certain.what}. {certain.remedy}", style="bold red")
        for warning in comparison.warnings:
            yield Text(f"warning: {warning}", style="yellow")
        yield Text(summary(comparison), style="bold red" if comparison.regressed else "bold green")


def markdown(comparison: Comparison) -> str:
    """The comparison as GitHub-flavoured Markdown."""
    table = markdown_table(HEADER, map(cells, comparison.findings))
    lines = [f"## bench gate: {summary(comparison)}", "", table]
    if comparison.certain:
        certain = ((c.name, c.what, c.remedy) for c in comparison.certain)
        lines += ["", markdown_table(("finding", "what", "what to do"), certain)]
    lines += ["", *(f"- warning: {_plain(warning)}" for warning in comparison.warnings), "", caption(comparison), ""]
    return "\n".join(lines)


def _plain(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def junit(comparison: Comparison) -> str:
    """The comparison as JUnit XML: one test case for each number and one for each certain finding."""
    failures = len(comparison.certain) + sum(f.verdict == "regressed" for f in comparison.findings)
    tests = str(len(comparison.findings) + len(comparison.certain))
    suite = ElementTree.Element("testsuite", name="bench gate", tests=tests, failures=str(failures), errors="0")
    for finding in comparison.findings:
        case = ElementTree.SubElement(suite, "testcase", classname=finding.line.metric, name=_xml(finding.line.name))
        text = _xml("; ".join(f"{name}: {cell}" for name, cell in zip(HEADER, cells(finding), strict=True)))
        if finding.verdict == "regressed":
            ElementTree.SubElement(case, "failure", message=finding.why).text = text
        else:
            ElementTree.SubElement(case, "system-out").text = text
    for certain in comparison.certain:
        case = ElementTree.SubElement(suite, "testcase", classname="certain", name=_xml(certain.name))
        ElementTree.SubElement(case, "failure", message=_xml(certain.what)).text = _xml(certain.remedy)
    if comparison.warnings:
        ElementTree.SubElement(suite, "system-out").text = _xml("\n".join(comparison.warnings))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    """Without the control characters that XML cannot hold; an error message may have any."""
    return "".join(c for c in text if c in "\t\n" or c >= " ")
