"""The fidelity page, from what the plugins say of themselves.

``bench fidelity > docs/fidelity.md`` writes it.
"""

from __future__ import annotations

import csv
from pathlib import Path

from bench import registry
from bench.registry import PluginInfo

PUBLISHED = Path(__file__).parents[1] / "published"
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
    for name in info.published:
        lines += ["", *_table(name, info)]
    if not info.published:
        lines += ["", "Published numbers: none held here. Ours in the same setting: not run."]
    return "\n".join(lines) + "\n"


def _table(name: str, info: PluginInfo) -> list[str]:
    """The rows of a published file that speak of ``info``, or a pointer where they are many."""
    with (PUBLISHED / name).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    column = info.kind if info.kind in rows[0] else ""
    known = {name.upper() for name in (info.name, info.title.split("-domain")[0], info.paper.split(":")[0])}
    own = [row for row in rows if not column or any(name in row[column].upper() for name in known)]
    if len(own) > 12:
        return [f"Published: {len(own)} rows in `reports/published/{name}`. Ours in the same setting: not run."]
    columns = list(rows[0])
    lines = [f"Published (`reports/published/{name}`); ours in the same setting: not run.", ""]
    lines += ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return lines + ["| " + " | ".join(row[c] for c in columns) + " |" for row in own]


if __name__ == "__main__":
    print(page(), end="")
