"""`bench list` and `bench show`: what there is, and what each plugin says of itself. No torch here."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import datasets, registry
from bench.cli import console
from bench.cli.options import DEFAULT_STORE, PluginOption, StoreOption, SuitePluginsOption, plugin_files
from bench.editors.vocabulary import WORDLISTS
from bench.errors import UserError
from bench.plan import suites
from bench.threat import Budget, ThreatModel

LOG = "log.txt"
"""A file beside a record: what its plugins printed, and their tracebacks."""
SHOWN = ("lock", "attack", "key")


def list_(plugin: PluginOption = None, suite: SuitePluginsOption = None) -> None:
    """List locks, attacks, keys, tasks, models, editors, word lists and suites."""
    plugin_files(plugin, suite)
    plugins = registry.current()
    for kind in SHOWN:
        infos = sorted(plugins.all(kind).values(), key=lambda i: (i.role != "method", i.name))
        console.plugin_list(registry.PLURAL[kind], infos)
    console.named_list("tasks", datasets.catalogue())
    for kind in ("model", "editor"):
        console.named_list(registry.PLURAL[kind], {n: i.summary for n, i in plugins.all(kind).items()})
    console.named_list("word lists", dict.fromkeys(WORDLISTS, ""))
    console.named_list("suites", {name: suites.about(name) for name in suites.suite_names()})


def show(
    name: Annotated[str, typer.Argument(help="a plugin's name, or at least 6 digits of a record's hash")],
    plugin: PluginOption = None,
    suite: SuitePluginsOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Show a plugin (paper, parameters, threat model, deviations, measurements), or a record with its error and log."""
    from reports.tools import measured

    plugin_files(plugin, suite)
    plugins = registry.current()
    infos = [info for kind in registry.KINDS if (info := plugins.get(kind, name)) is not None]
    if not infos and re.fullmatch(r"[0-9a-f]{6,}", name):
        _show_record(name, store)
        return
    if not infos:
        known = {n for kind in registry.KINDS for n in plugins.all(kind)}
        near = difflib.get_close_matches(name, known, 2, 0.5)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        remedy = "See `bench list`; a record goes by at least 6 digits of its hash: see `bench status`."
        raise UserError(f"no lock, attack or key '{name}'.{hint}", remedy)
    for info in infos:
        groups: dict[str, Any] = {info.kind: info.params}
        if info.kind == "lock":
            groups["key"] = plugins.find("key", info.key).params
        if info.kind == "attack":
            groups |= {"threat": ThreatModel.params, "budget": Budget.params}
        console.plugin_page(info, groups, measured.of_plugin(info.name))


def _show_record(start: str, folder: Path) -> None:
    from bench.store import Store

    store = Store(folder, write=False)
    matches = [record for record in store.records() if record.hash.startswith(start)]
    if not matches:
        raise UserError(
            f"no plugin '{start}', and no record of {folder} starts with it.", "See `bench list`, and `bench status`."
        )
    if len(matches) > 1:
        hashes = ", ".join(record.hash for record in matches[:4]) + (", …" if len(matches) > 4 else "")
        raise UserError(f"{len(matches)} records start with '{start}': {hashes}.", "Give more digits.")
    file = store.root / "records" / matches[0].hash / LOG
    try:
        log = file.read_text(encoding="utf-8", errors="backslashreplace")
    except OSError:
        log = ""
    console.record_page(matches[0], log, file)
