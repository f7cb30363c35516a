"""Numbers printed in papers: the files of ``reports/published``, the plugins they speak of, and our rows beside them.

A file is a CSV table with a line for each printed number or pair of numbers. Its columns are its own; these have a
fixed meaning:

| column | meaning |
|---|---|
| pair | the scenario, SOURCE:TARGET |
| lock, attack | names as the paper prints them |
| provenance, …_provenance | where the number stands: printed, digitised, second-hand |
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from bench import registry
from bench.plugin_source import PluginInfo
from reports.rows.row import Row

FOLDER = Path(__file__).resolve().parents[1] / "published"
UNATTACKED = "none"
"""What stands in the column ``attack`` of a lock that nobody attacked."""

Line = Mapping[str, str]
"""A line of a file, by column."""


def files() -> list[str]:
    """The names of all files."""
    return sorted(file.name for file in FOLDER.glob("*.csv"))


@cache
def load(file: str) -> tuple[Line, ...]:
    """The lines of ``file``, in its order."""
    with (FOLDER / file).open(encoding="utf-8") as stream:
        return tuple(csv.DictReader(stream))


def speaks_of(line: Line, info: PluginInfo) -> bool:
    """Whether ``line`` is about the plugin. Lines that must not be shown are about none."""
    if any("not to be shown" in text for text in line.values()):
        return False
    if info.kind == "attack":
        return not info.purpose and _plain(line.get("attack", "")) in _names(info)
    return "lock" not in line or _plain(line["lock"]) in _names(info)


def lines_of(info: PluginInfo, file: str) -> list[Line]:
    """The lines of ``file`` that are about the plugin."""
    return [line for line in load(file) if speaks_of(line, info)]


def sides(line: Line) -> tuple[str, str]:
    """The fields of `reports.rows.row.VALUES` that stand beside a line: authorised side, unauthorised side."""
    return ("UP", "LP") if line.get("attack") == UNATTACKED else ("authorised_after", "RP")


def same_setting(line: Line, rows: Sequence[Row]) -> list[Row]:
    """Our measured rows with the pair, lock and attack of ``line``.

    Of several, those with the fewest settings of their own; none where the line does not name all three.
    """
    if not {"pair", "lock", "attack"} <= line.keys():
        return []
    same = [row for row in rows if row.status == "ok" and _is_setting(line, row)]
    settings = [row.lock.count("=") + row.attack.count("=") for row in same]
    return [row for row, count in zip(same, settings, strict=True) if count == min(settings)]


def _is_setting(line: Line, row: Row) -> bool:
    if _plain(row.scenario) != _plain(line["pair"]) or not _is_named("lock", row.lock_name, line["lock"]):
        return False
    if line["attack"] == UNATTACKED:
        return row.attack_purpose == "no-attack"
    return _is_named("attack", row.attack_name, line["attack"])


def _is_named(kind: str, name: str, printed: str) -> bool:
    """Whether the paper's name ``printed`` stands for our plugin ``name``."""
    info = registry.current().get(kind, name)
    return _plain(printed) in ({_plain(name)} if info is None else _names(info))


def _names(info: PluginInfo) -> set[str]:
    """Names that papers may print for the plugin: its own, its title, and what its paper calls the method."""
    return {_plain(name) for name in (info.name, info.title, info.paper.split(":")[0])}


def _plain(name: str) -> str:
    """A method's name without case, hyphens and the affixes that some papers leave out."""
    return name.lower().removesuffix("-domain").removeprefix("sa-").replace("-", "").replace(" ", "")
