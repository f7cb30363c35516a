"""The fidelity page, made of what the plugins declare: ``bench fidelity > docs/fidelity.md``."""

from __future__ import annotations

from bench import registry
from bench.plugin_source import PluginInfo
from reports.rows import published

LONGEST = 12
"""Lines of a published table that are printed; a longer one is named only."""
_HEADER = """# Fidelity

What each method's paper says, what is done here, and why they differ. Made from the plugins' own fields by
`bench fidelity > docs/fidelity.md`; a test fails when the two part ways.

Published numbers stand under a method only to be looked up: none of them was measured in a set-up that this suite has
run (other data, other networks), so there is no number of ours beside them. Each says where it comes from;
second-hand and digitised ones are marked by their provenance.
"""


def page() -> str:
    """The whole page as Markdown."""
    parts = [_HEADER]
    for kind, heading in (("lock", "Locks"), ("key", "Keys"), ("attack", "Attacks")):
        infos = [info for _, info in sorted(registry.current().all(kind).items()) if info.role == "method"]
        parts += [f"## {heading}\n", *(_section(info) for info in infos)]
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
    for file in info.published:
        lines += ["", *_table(file, info)]
    if not info.published:
        lines += ["", "Published numbers: none held here. Ours in the same setting: not run."]
    return "\n".join(lines) + "\n"


def _table(file: str, info: PluginInfo) -> list[str]:
    """The lines of a published file that are about the plugin, or a pointer where they are many."""
    lines = published.lines_of(info, file)
    if len(lines) > LONGEST:
        return [f"Published: {len(lines)} rows in `reports/published/{file}`. Ours in the same setting: not run."]
    if not lines:
        return [f"`reports/published/{file}` has no line about it."]
    columns = list(lines[0])
    text = [f"Published (`reports/published/{file}`); ours in the same setting: not run.", ""]
    text += ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return text + ["| " + " | ".join(line[c] for c in columns) + " |" for line in lines]
