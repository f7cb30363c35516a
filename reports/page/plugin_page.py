"""What the page of a lock or an attack shows: its paper, parameters, deviations, published numbers, and its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench import registry
from bench.params import Param
from bench.plan import ensemble
from bench.plan.wording import value_text
from bench.plugin_source import PluginInfo
from bench.records import Cell, PluginRef
from bench.threat import Budget, ThreatModel
from reports.page import prose
from reports.rows.ensemble import member_name
from reports.rows.published import marks, of_plugin, same_setting
from reports.rows.row import Row
from reports.text.formatting import with_interval
from reports.text.groups import Group, grouped

NOT_RUN = "not run in this setting"


@dataclass(frozen=True)
class Published:
    """Numbers printed in a paper, each with where it stands, and ours in the same setting beside them."""

    file: str
    columns: Sequence[str]
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
        "published": [] if info is None else published(info, rows),
        "flags": raised(own),
    }


def _members() -> dict[str, Any]:
    """The version of the ensemble in use, and for each of its threat models what it sets and who is in it."""
    lists = []
    for threat in (current := ensemble.read()).threats:
        named = [(member_name(m), m.slow) for m in threat.members]
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
            set_here.setdefault(name, {})[value_text(value)] = None
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


def published(info: PluginInfo, rows: Sequence[Row]) -> list[Published]:
    """The published lines that speak of ``info``, with ours beside them where the same setting was run."""
    return [
        Published(table.name, table.columns, [{**line, "ours": _ours(line, rows)} for line in table.lines])
        for table in of_plugin(info)
    ]


def _ours(line: Mapping[str, str], rows: Sequence[Row]) -> str:
    """Our numbers in the setting of a published line."""
    words = []
    for row in same_setting(line, rows):
        sides = ("UP", "LP") if row.attack_purpose == "no-attack" else ("authorised_after", "RP")
        words.append(f"{', '.join(f'{side} {with_interval(row.values[side])}' for side in sides)} ({row.model})")
    return "; ".join(dict.fromkeys(words)) or NOT_RUN
