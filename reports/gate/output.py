"""A comparison for the terminal, as Markdown for a job's page, and as JUnit XML."""

from __future__ import annotations

from xml.etree import ElementTree

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from reports.gate.lines import TOLERANCE
from reports.gate.rule import PAIRED_FROM, Comparison, Finding
from reports.text.markdown_table import markdown_table

WORDS = {0: "held", 1: "REGRESSED", 2: "NOT COMPARABLE"}
"""The verdict by exit status."""
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
    if comparison.incomparable:
        parts.append(f"{len(comparison.incomparable)} not comparable")
    if better := sum(f.verdict == "better" for f in comparison.findings):
        parts.append(f"{better} unexpectedly better")
    if power := could_see(comparison):
        parts.append(power)
    return f"{WORDS[comparison.exit_status]}: " + "; ".join(parts)


def could_see(comparison: Comparison) -> str:
    """The least worsening that the most and the least telling line would have shown, and which lines are blind."""
    seen = sorted((f for f in comparison.findings if not f.blind), key=lambda f: f.detectable)
    blind = len(comparison.findings) - len(seen)
    parts = []
    if seen:
        most, least = seen[0].detectable, seen[-1]
        words = f"{most:.1f} points" if len(seen) == 1 else f"{most:.1f} to {least.detectable:.1f} points"
        parts.append(f"could have seen a worsening of {words} (the last: {least.line.metric} of {least.line.name})")
    if blind:
        parts.append(f"{blind} {'lines are' if blind > 1 else 'line is'} blind")
    return ", ".join(parts)


def caption(comparison: Comparison) -> str:
    """How the verdicts come about, one paragraph."""
    tolerances = ", ".join(f"{name} {points:g}" for name, points in TOLERANCE.items())
    before, after = comparison.seeds
    return (
        f"Percent; changes in points. {before} seeds of the snapshot against {after} of the candidate. "
        f"{pairing(comparison)} Chance of a false alarm over the whole table: at most {100 * comparison.rate:g} % "
        f"(Bonferroni); the intervals are at that level. Tolerances in points: {tolerances}. A number regressed where "
        "its interval, its change, enough candidate seeds and the pairs of shared seeds all say so. Could see: the "
        "least worsening found with a chance of 80 %; blind where the number reaches 0 or 100 before. "
        "The rule: reports/gate/rule.py."
    )


def pairing(comparison: Comparison) -> str:
    """Whether lines were judged seed by seed, and what the shared seeds show."""
    if not comparison.shared:
        return "No seed is in both, so the candidate's count as drawn anew."
    shared = f"Seeds {', '.join(map(str, comparison.shared))} are in both"
    pairs = [(f.pairs, f) for f in comparison.findings if f.pairs is not None]
    points, most = max(pairs, key=lambda pair: abs(pair[0]), default=(0.0, None))
    same = sum(abs(p) < 1e-9 for p, _ in pairs)
    moved = f"{same} of {len(pairs)} numbers are the same on average over these pairs"
    if most is not None and same < len(pairs):
        moved += f", and {most.line.metric} of {most.line.name} moved most, by {points:+.1f}"
    if any(f.paired for f in comparison.findings):
        return f"{shared}: judged in pairs, seed by seed; {moved}."
    return (
        f"{shared}: fewer pairs than {PAIRED_FROM}, or seeds beside them, so the candidate's count as drawn anew, and "
        f"pairs only hold an alarm back; {moved}."
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
        "blind" if finding.blind else f"{finding.detectable:.1f}",
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
        for gap in comparison.incomparable:
            yield Text(f"not comparable: {gap.name}: {gap.what}. {gap.remedy}", style="bold red")
        for warning in comparison.warnings:
            yield Text(f"warning: {warning}", style="yellow")
        yield Text(summary(comparison), style="bold red" if comparison.exit_status else "bold green")


def markdown(comparison: Comparison) -> str:
    """The comparison as GitHub-flavoured Markdown."""
    table = markdown_table(HEADER, map(cells, comparison.findings))
    lines = [f"## bench gate: {summary(comparison)}", "", table]
    for head, found in (("finding", comparison.certain), ("not comparable", comparison.incomparable)):
        if found:
            rows = ((_plain(c.name), _plain(c.what), _plain(c.remedy)) for c in found)
            lines += ["", markdown_table((head, "what", "what to do"), rows)]
    lines += ["", *(f"- warning: {_plain(warning)}" for warning in comparison.warnings)]
    lines += ["", caption(comparison), ""]
    return "\n".join(lines)


def markdown_of_error(message: str, remedy: str) -> str:
    """What is written where no verdict was reached."""
    return f"## bench gate: {WORDS[2]}: {_plain(message)}\n\n{_plain(remedy)}\n"


def _plain(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def junit(comparison: Comparison) -> str:
    """The comparison as JUnit XML: one test case for each number, each certain finding and each gap."""
    failures = len(comparison.certain) + sum(f.verdict == "regressed" for f in comparison.findings)
    errors = len(comparison.incomparable)
    suite = _suite(len(comparison.findings) + len(comparison.certain) + errors, failures, errors)
    for finding in comparison.findings:
        case = _case(suite, finding.line.metric, finding.line.name)
        text = _xml("; ".join(f"{name}: {cell}" for name, cell in zip(HEADER, cells(finding), strict=True)))
        if finding.verdict == "regressed":
            ElementTree.SubElement(case, "failure", message=finding.why).text = text
        else:
            ElementTree.SubElement(case, "system-out").text = text
    for kind, word, found in (
        ("certain", "failure", comparison.certain),
        ("not comparable", "error", comparison.incomparable),
    ):
        for certain in found:
            case = _case(suite, kind, certain.name)
            ElementTree.SubElement(case, word, message=_xml(certain.what)).text = _xml(certain.remedy)
    words = [summary(comparison), *comparison.warnings, caption(comparison)]
    ElementTree.SubElement(suite, "system-out").text = _xml("\n".join(words))
    return _document(suite)


def junit_of_error(message: str, remedy: str) -> str:
    """JUnit XML where no verdict was reached: one test case, in error."""
    suite = _suite(1, 0, 1)
    case = _case(suite, "not comparable", "bench gate")
    ElementTree.SubElement(case, "error", message=_xml(message)).text = _xml(remedy)
    return _document(suite)


def _suite(tests: int, failures: int, errors: int) -> ElementTree.Element:
    counts = {"tests": str(tests), "failures": str(failures), "errors": str(errors)}
    return ElementTree.Element("testsuite", {"name": "bench gate", **counts})


def _case(suite: ElementTree.Element, kind: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=kind, name=_xml(name))


def _document(suite: ElementTree.Element) -> str:
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    """Without the characters that XML cannot hold; an error message may have any."""
    return "".join(c for c in text if c in "\t\n" or " " <= c < "\ud800" or "\ue000" <= c < "\ufffe" or c > "\uffff")
