"""Published numbers: which of them speak of a plugin, and which rows of ours are in the same setting.

Each file of ``reports/published/`` is a CSV table with a column of provenance. Columns ``lock``, ``attack`` and ``pair``
name the setting where a file has them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.plugin_source import PluginInfo
from reports.rows.row import Row

FOLDER = Path(__file__).resolve().parents[1] / "published"
MARKS = ("second-hand", "digitised")
"""Words of a provenance that speak against a number."""


@dataclass(frozen=True)
class PublishedTable:
    """The lines of one file that speak of a plugin.

    Args:
        name: of the file.
        columns: in the file's order.
        lines: by column.
    """

    name: str
    columns: tuple[str, ...]
    lines: tuple[Mapping[str, str], ...]


@cache
def load(name: str) -> tuple[Mapping[str, str], ...]:
    """Every line of the file ``name``, by column."""
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def of_plugin(info: PluginInfo) -> list[PublishedTable]:
    """The published numbers of a plugin: of a lock in the files that it names, of an attack in any file.

    Lines that must not be shown are left out.
    """
    files = sorted(file.name for file in FOLDER.glob("*.csv")) if info.kind == "attack" else info.published
    tables = []
    for name in files:
        lines = tuple(line for line in load(name) if _speaks_of(info, line))
        if lines:
            tables.append(PublishedTable(name, tuple(lines[0]), lines))
    return tables


def same_setting(line: Mapping[str, str], rows: Sequence[Row]) -> list[Row]:
    """The rows with the pair, lock and attack of ``line``: of several, those with the fewest settings of their own."""
    if not {"pair", "lock", "attack"} <= line.keys():
        return []
    place = tuple(_plain(line[name]) for name in ("pair", "lock", "attack"))
    same = [
        row for row in rows
        if row.status == "ok" and (_plain(row.scenario), _plain(row.lock_name), _plain(row.attack_name)) == place
    ]  # fmt: skip
    settings = [row.lock.count("=") + row.attack.count("=") for row in same]
    return [row for row, count in zip(same, settings, strict=True) if count == min(settings)]


def marks(provenance: str) -> list[str]:
    """What a number's provenance says against it."""
    return [mark for mark in MARKS if mark in provenance]


def _speaks_of(info: PluginInfo, line: Mapping[str, str]) -> bool:
    if any("not to be shown" in text for text in line.values()):
        return False
    names = {_plain(name) for name in (info.name, info.title, info.paper.partition(":")[0]) if name}
    if info.kind == "attack":
        return info.purpose != "no-attack" and _plain(line.get("attack", "")) in names
    return "lock" not in line or _plain(line["lock"]) in names


def _plain(name: str) -> str:
    """A method's name without case, hyphens, and the prefix or suffix that some papers leave out."""
    return name.lower().removesuffix("-domain").removeprefix("sa-").replace("-", "").replace(" ", "")
