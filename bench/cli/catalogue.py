"""`bench list` and `bench show`: what there is, and what each plugin says of itself. No torch here."""

from __future__ import annotations

import difflib
from typing import Any

from bench import datasets, registry
from bench.cli import console
from bench.cli.options import PluginOption, SuitePluginsOption, plugin_files
from bench.editors.vocabulary import WORDLISTS
from bench.errors import UserError
from bench.plan import suites
from bench.threat import Budget, ThreatModel

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


def show(name: str, plugin: PluginOption = None, suite: SuitePluginsOption = None) -> None:
    """Show a lock, attack or key: paper, parameters with defaults and ranges, threat model, deviations."""
    plugin_files(plugin, suite)
    plugins = registry.current()
    infos = [info for kind in registry.KINDS if (info := plugins.get(kind, name)) is not None]
    if not infos:
        known = {n for kind in registry.KINDS for n in plugins.all(kind)}
        near = difflib.get_close_matches(name, known, 2, 0.5)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UserError(f"no lock, attack or key '{name}'.{hint}", "See `bench list`.")
    for info in infos:
        groups: dict[str, Any] = {info.kind: info.params}
        if info.kind == "lock":
            groups["key"] = plugins.find("key", info.key).params
        if info.kind == "attack":
            groups |= {"threat": ThreatModel.params, "budget": Budget.params}
        console.plugin_page(info, groups)
