"""Published numbers: which of them are about a plugin, and which of our rows are in the same setting.

Each file of ``reports/published/`` is a CSV table, a line for each setting. These columns have a fixed meaning where a
file has them; the others hold the numbers.

| column | meaning |
|---|---|
| pair | the scenario, SOURCE:TARGET |
| lock, attack | names as the paper prints them |
| provenance, …_provenance | where the number stands: printed, digitised, second-hand |
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench import registry
from bench.plugin_source import PluginInfo
from reports.rows.row import Row

FOLDER = Path(__file__).resolve().parents[1] / "published"
UNATTACKED = "none"
"""What stands in the column ``attack`` for a lock that nobody attacked."""
MARKS = ("second-hand", "digitised")
"""Words of a provenance that speak against a number."""
_ERRORS = re.compile(r"about ([0-9.]+)(?: reading \+ ([0-9.]+) sampling)?")
"""Points that a provenance says a number was read to, and points of its sampling."""

Line = Mapping[str, str]
"""A line of a file, by column."""


@dataclass(frozen=True)
class PublishedTable:
    """The lines of one file that are about a plugin.

    Args:
        name: of the file.
        columns: in the file's order.
        lines: at least one.
    """

    name: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]


@cache
def load(file: str) -> tuple[Line, ...]:
    """Every line of ``file``, in its order."""
    with (FOLDER / file).open(encoding="utf-8", newline="") as stream:
        return tuple(csv.DictReader(stream))


def of_plugin(info: PluginInfo) -> list[PublishedTable]:
    """The tables of the files that a plugin names, without lines about others and lines that must not be shown."""
    tables = []
    for file in info.published:
        lines = tuple(line for line in load(file) if _is_about(line, info))
        if lines:
            tables.append(PublishedTable(file, tuple(lines[0]), lines))
    return tables


def same_setting(line: Line, rows: Sequence[Row]) -> list[Row]:
    """Our measured rows with the pair, lock and attack of ``line``: of several, those with the fewest settings.

    Empty where the line does not name all three.
    """
    if not {"pair", "lock", "attack"} <= line.keys():
        return []
    same = [row for row in rows if row.status == "ok" and _is_setting(line, row)]
    settings = [row.lock.count("=") + row.attack.count("=") for row in same]
    return [row for row, count in zip(same, settings, strict=True) if count == min(settings)]


def sides(line: Line) -> tuple[str, str]:
    """Our fields that compare with ``line``: of authorised and of unauthorised images, names of a row's values."""
    return ("UP", "LP") if line.get("attack") == UNATTACKED else ("authorised_after", "RP")


def marks(provenance: str) -> list[str]:
    """What the provenance of a number says against it."""
    return [mark for mark in MARKS if mark in provenance]


def reading_error(printed: str, provenance: str) -> float:
    """How far the number ``printed`` may lie from what was measured: by its rounding, and by how it was read.

    A provenance that says "about 0.5" is of a number that was read off a figure. Otherwise it is half a unit of the
    last digit. What the paper's own seeds or images add is not part of it: papers seldom say.
    """
    digits = len(printed.strip().partition(".")[2])
    read = _ERRORS.search(provenance)
    return max(0.5 * 10.0**-digits, sum(float(part) for part in read.groups() if part) if read else 0.0)


def provenance_of(line: Line, column: str) -> str:
    """Where the number in ``column`` of ``line`` stands."""
    return line.get(f"{column}_provenance") or line.get("provenance", "")


def _is_about(line: Line, info: PluginInfo) -> bool:
    if any("not to be shown" in text for text in line.values()):
        return False
    if info.kind == "attack":
        return _plain(line.get("attack", "")) in _names(info)
    return "lock" not in line or _plain(line["lock"]) in _names(info)


def _is_setting(line: Line, row: Row) -> bool:
    if _plain(row.scenario) != _plain(line["pair"]) or not is_named("lock", row.lock_name, line["lock"]):
        return False
    if line["attack"] == UNATTACKED:
        return row.attack_purpose == "no-attack"
    return is_named("attack", row.attack_name, line["attack"])


def is_named(kind: str, name: str, printed: str) -> bool:
    """Whether the paper's name ``printed`` stands for our plugin ``name``."""
    info = registry.current().get(kind, name)
    return _plain(printed) in ({_plain(name)} if info is None else _names(info))


def _names(info: PluginInfo) -> set[str]:
    """Names that papers may print for the plugin: its own, its title, and what its paper calls the method."""
    return {_plain(name) for name in (info.name, info.title, info.paper.partition(":")[0]) if name}


def _plain(name: str) -> str:
    """A method's name without case, hyphens, and the prefix or suffix that some papers leave out."""
    return name.lower().removesuffix("-domain").removeprefix("sa-").replace("-", "").replace(" ", "")
