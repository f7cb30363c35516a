"""What the page of a lock or an attack shows: its paper, parameters, deviations, published numbers, and its rows."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import registry
from bench.params import Param
from bench.plan import ensemble
from bench.plugin_source import PluginInfo
from bench.records import Cell, PluginRef
from bench.threat import Budget, ThreatModel
from reports.page import prose
from reports.rows.ensemble import member_name
from reports.rows.row import Row
from reports.text.formatting import with_interval
from reports.text.groups import Group, grouped

PUBLISHED = Path(__file__).resolve().parents[1] / "published"
NOT_RUN = "not run in this setting"


@dataclass(frozen=True)
class Published:
    """Numbers printed in a paper, each with where it stands, and ours in the same setting beside them."""

    file: str
    columns: list[str]
    rows: list[dict[str, str]]


def context(
    kind: str, name: str, rows: Sequence[Row], groups: Sequence[Group], cell_of: Callable[[Row], Cell]
) -> dict[str, Any]:
    """What the template ``plugin.html`` prints.

    Args:
        kind: lock or attack.
        name: of the plugin.
        rows: of the whole page.
        groups: of the whole page; a threat model keeps the letter that it has there.
        cell_of: a cell that a row was measured in.
    """
    own = [row for row in rows if getattr(row, f"{kind}_name") == name]
    ids = {id(row) for row in own}
    places = {(row.scenario, row.model) for row in own}
    # Calibration locks stay in sight beside every row they speak for.
    beside = [r for r in rows if id(r) in ids or (r.role == "control" and (r.scenario, r.model) in places)]
    info = registry.current().get(kind, name)
    letters = {(group.scenario, group.model): group.threats for group in groups}
    return {
        "kind": kind,
        "name": name,
        "info": info,
        "selection": info.rule({}).words if info is not None and kind == "attack" else "",
        "ensemble": _members() if info is None and (kind, name) == ("attack", ensemble.ENSEMBLE) else None,
        "doc": None if info is None else prose.paragraphs("\n".join(info.doc.strip().splitlines()[1:])),
        "groups": [replace(group, threats=letters[group.scenario, group.model]) for group in grouped(beside)],
        "own": own,
        "params": _params(kind, info, [cell_of(row) for row in own]),
        "rights": _rights(info) if kind == "attack" and info is not None else [],
        "marks": marks,
        "published": [] if info is None else published(kind, info, rows),
        "flags": raised(own),
    }


def _members() -> dict[str, Any]:
    """The version of the ensemble in use, and for each of its threat models what it sets and who is in it."""
    lists = []
    for threat in (current := ensemble.read()).threats:
        named = [(member_name(m.attack, m.params), m.slow) for m in threat.members]
        lists.append(
            {
                "name": threat.name,
                "params": ", ".join(f"{k.removeprefix('threat.')} {_text(v)}" for k, v in threat.params.items()),
                "members": ", ".join(f"({name})" if slow else name for name, slow in named),
            }
        )
    return {"version": current.version, "lists": lists}


def raised(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows in which each red flag was raised."""
    flags: dict[str, list[Row]] = {}
    for row in rows:
        for flag in row.flags:
            flags.setdefault(flag, []).append(row)
    return flags


def _params(kind: str, info: PluginInfo | None, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Tables of parameters: the plugin's, and for a lock those of the keys it was run with."""
    tables = [_param_table(kind, info, [getattr(cell, kind) for cell in cells])]
    if kind == "lock":
        for key in dict.fromkeys(cell.key.name for cell in cells):
            refs = [cell.key for cell in cells if cell.key.name == key]
            tables.append(_param_table("key", registry.current().get("key", key), refs))
    return tables


def _param_table(kind: str, info: PluginInfo | None, refs: Sequence[PluginRef]) -> dict[str, Any]:
    set_here: dict[str, dict[str, None]] = {}
    for ref in refs:
        for name, value in ref.explicit.items():
            set_here.setdefault(name, {})[str(value)] = None
    declared: Mapping[str, Param] = {} if info is None else info.params
    lines = [
        {
            "name": f"{kind}.{name}",
            "default": _text(param.default),
            "range": param.range,
            "help": prose.inline(param.help + (f" ({param.unit})" if param.unit else "")),
            "here": ", ".join(set_here.get(name, {})),
        }
        for name, param in declared.items()
    ]
    for name in set_here:
        if name not in declared:
            lines.append(
                {"name": f"{kind}.{name}", "default": "", "range": "", "help": "", "here": ", ".join(set_here[name])}
            )
    heading = "Parameters" if kind != "key" else f"Parameters of the key “{refs[0].name}”"
    return {"heading": heading, "lines": lines, "doc": prose.inline(info.summary) if info and kind == "key" else ""}


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def _rights(info: PluginInfo) -> list[dict[str, Any]]:
    """The threat model and budget that the attack gets where nothing is set; its own choices are marked."""
    lines = []
    for group, params in (("threat", ThreatModel.params), ("budget", Budget.params)):
        for name, param in params.items():
            at = f"{group}.{name}"
            value = info.defaults.get(at, param.default)
            lines.append({"name": at, "value": _text(value), "help": param.help, "own": at in info.defaults})
    return lines


def published(kind: str, info: PluginInfo, rows: Sequence[Row]) -> list[Published]:
    """The published rows that speak of ``info``, with ours beside them where the same setting was run."""
    return [
        Published(name, list(lines[0]), [{**line, "ours": _ours(line, rows)} for line in lines])
        for name, lines in _published_lines(kind, info)
    ]


def _published_lines(kind: str, info: PluginInfo) -> list[tuple[str, list[dict[str, str]]]]:
    """By file of ``reports/published``, the lines that speak of ``info``; files without one are left out."""
    files = info.published if kind == "lock" else sorted(file.name for file in PUBLISHED.glob("*.csv"))
    out = []
    for name in files:
        with (PUBLISHED / name).open(encoding="utf-8") as file:
            own = [line for line in csv.DictReader(file) if _speaks_of(kind, info, line)]
        if own:
            out.append((name, own))
    return out


def _speaks_of(kind: str, info: PluginInfo, line: Mapping[str, str]) -> bool:
    if any("not to be shown" in text for text in line.values()):
        return False
    if kind == "attack":
        return info.name != "none" and _plain(line.get("attack", "")) in (_plain(info.name), _plain(info.title))
    return "lock" not in line or _plain(line["lock"]) in (_plain(info.name), _plain(info.title))


def _plain(name: str) -> str:
    """A method's name without case, hyphens and the suffix that some papers leave out."""
    return name.lower().removesuffix("-domain").removeprefix("sa-").replace("-", "").replace(" ", "")


def marks(provenance: str) -> list[str]:
    """What a number's provenance says against it."""
    return [mark for mark in ("second-hand", "digitised") if mark in provenance]


def _ours(line: Mapping[str, str], rows: Sequence[Row]) -> str:
    """Our numbers for the same pair, lock and attack: of the rows with the fewest settings of their own."""
    wanted = line.get("pair"), line.get("lock"), line.get("attack")
    if None in wanted:
        return NOT_RUN
    place = tuple(_plain(text or "") for text in wanted)
    same = [r for r in rows if (_plain(r.scenario), _plain(r.lock_name), _plain(r.attack_name)) == place]
    same = [r for r in same if r.status == "ok"]
    settings = {id(row): row.lock.count("=") + row.attack.count("=") for row in same}
    fewest = [row for row in same if settings[id(row)] == min(settings.values())]
    sides = ("UP", "LP") if place[2] == "none" else ("authorised_after", "RP")
    words = dict.fromkeys(
        f"{', '.join(f'{side} {with_interval(row.values[side])}' for side in sides)} ({row.model})" for row in fewest
    )
    return "; ".join(words) or NOT_RUN
