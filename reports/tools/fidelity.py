"""The fidelity page: what each paper says, what is done here, and the published numbers. `bench fidelity` prints it."""

from __future__ import annotations

from bench import registry
from bench.plugin_source import PluginInfo
from reports.rows.published import PublishedTable, of_plugin
from reports.text.markdown_table import markdown_table

HEADER = """# Fidelity

What each method's paper says, what is done here, and why they differ. Made from the plugins' own fields by
`make docs`.

Published numbers stand under a method only to be looked up. They come from other data and other networks, and this
suite has not run their set-ups. So there is no number of ours beside them. Each says where it comes from. Second-hand
and digitised ones are marked by their provenance.
"""
LONGEST = 12
"""Lines of a published table that the page prints; of a longer one it names the file."""


def page() -> str:
    """The whole page as Markdown: every lock, key and attack of the registry that is a method."""
    parts = [HEADER]
    for kind, heading in (("lock", "Locks"), ("key", "Keys"), ("attack", "Attacks")):
        methods = [info for _, info in sorted(registry.current().all(kind).items()) if info.role == "method"]
        parts += [f"## {heading}\n", *(_section(info) for info in methods)]
    return "\n".join(parts)


def _section(info: PluginInfo) -> str:
    lines = [f"### {info.title or info.name}", "", f"`{info.name}`. {info.paper}.", "", info.summary]
    rest = " ".join(line.strip() for line in info.doc.strip().splitlines()[1:] if line.strip())
    if rest:
        lines += ["", rest]
    if info.deviations:
        lines += ["", "What differs, and why:", "", *(f"- {deviation}" for deviation in info.deviations)]
    else:
        lines += ["", "No deviation is known to us."]
    tables = of_plugin(info)
    for table in tables:
        lines += ["", *_table(table)]
    if not tables:
        lines += ["", "Published numbers: none held here. Ours in the same setting: not run."]
    return "\n".join(lines) + "\n"


def _table(table: PublishedTable) -> list[str]:
    """The published lines, or a pointer where they are many."""
    file = f"`reports/published/{table.name}`"
    if len(table.lines) > LONGEST:
        return [f"Published: {len(table.lines)} rows in {file}. Ours in the same setting: not run."]
    lines = [f"Published ({file}); ours in the same setting: not run.", ""]
    return [*lines, markdown_table(table.columns, [[line[c] for c in table.columns] for line in table.lines])]
