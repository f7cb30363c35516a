"""`bench list` and `bench show`: what there is, and what each plugin says of itself. No torch here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import datasets, metrics, registry
from bench.cli import console
from bench.cli.options import DEFAULT_STORE, PluginOption, StoreOption, SuitePluginsOption, plugin_files
from bench.datasets import facts
from bench.editors.vocabulary import WORDLISTS
from bench.errors import UserError
from bench.plan import suites
from bench.plan.recipe import recipe_names
from bench.plugin_source import PluginInfo
from bench.records import Record
from bench.threat import Budget, ThreatModel

LOG = "log.txt"
"""A file beside a record: what its plugins printed, and their tracebacks."""
OTHER_MODELS = {
    "NAME": "Any classifier of timm, such as resnet18.",
    "torchvision:NAME": "A classifier of torchvision, or fcn_… and deeplabv3_…, which classify each pixel.",
    "hf-hub:ORG/NAME": "A timm classifier of the hub.",
    "factory:MODULE:FUNCTION": "What your own function makes.",
    "unet:ENCODER": "A U-Net for masks over cnn, an encoder of segmentation_models_pytorch, or tu-NAME of timm.",
    "fpn:ENCODER": "A feature pyramid for masks over the same encoders.",
}
"""Models that are no plugins, by the form of their name."""
SHOWN = ("lock", "attack", "key")


def list_(plugin: PluginOption = None, suite: SuitePluginsOption = None) -> None:
    """List locks, attacks, keys, tasks, models, editors, word lists and suites."""
    plugin_files(plugin, suite)
    plugins = registry.current()
    for kind in SHOWN:
        infos = sorted(plugins.all(kind).values(), key=lambda i: (i.role != "method", i.name))
        console.plugin_list(registry.PLURAL[kind], infos)
    console.named_list("tasks", {datasets.form(info): _task_line(info) for info in datasets.infos()})
    known = {n: i.summary for n, i in plugins.all("model").items()}
    console.named_list("models", {**known, **OTHER_MODELS})
    console.named_list("editors", {n: i.summary for n, i in plugins.all("editor").items()})
    console.named_list("word lists", dict.fromkeys(WORDLISTS, ""))
    console.named_list("suites", {name: suites.about(name) for name in suites.suite_names()})
    console.named_list("recipes", {name: suites.about(name) for name in recipe_names()})


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
        console.plugin_page(info, groups, measured.of_plugin(info.name), _task_facts(info))


def _task_line(info: PluginInfo) -> str:
    """What a data set is, with licence and size where others own it."""
    known = facts.of(info)
    if known.way in ("built in", "yours"):
        return info.summary
    size = "" if known.size is None else f"; {facts.size_words(known.size)}"
    return f"{info.summary} Licence: {known.licence}{size}."


def _task_facts(info: PluginInfo) -> dict[str, str]:
    """Where a data set comes from and whether it is here; empty of another plugin."""
    if info.kind != "task":
        return {}
    known = facts.of(info)
    out = {"comes": f"{known.way}: {facts.WAYS[known.way]}"}
    if known.licence:
        out["licence"] = known.licence
    for at, archive in enumerate(known.archives, 1):
        checksum = archive.checksum or "no checksum stated"
        out[f"archive {at}"] = f"{archive.url} ({facts.size_words(archive.size)}, {checksum})"
    if info.parts:
        out["parts"] = ", ".join(f"{info.name}:{part} ({count:,} images)" for part, (count, _) in info.parts.items())
    if known.way not in ("built in", "yours"):
        out["here"] = "yes" if known.here else f"no. {known.remedy or f'Fetch it: bench prepare --task {info.name}'}"
        if known.place is not None:
            out["place"] = str(known.place)
    return out


def _show_record(start: str, folder: Path) -> None:
    from bench.store import Store

    store = Store(folder, write=False)
    matches = [entry for entry in store.listing() if entry.hash.startswith(start)]
    if not matches:
        raise UserError(
            f"no plugin '{start}', and no record of {folder} starts with it.", "See `bench list`, and `bench status`."
        )
    if len(matches) > 1:
        hashes = ", ".join(entry.hash for entry in matches[:4]) + (", …" if len(matches) > 4 else "")
        raise UserError(f"{len(matches)} records start with '{start}': {hashes}.", "Give more digits.")
    file = store.root / "records" / matches[0].hash / LOG
    try:
        log = file.read_text(encoding="utf-8", errors="backslashreplace")
    except OSError:
        log = ""
    record = store.read(matches[0].hash).record
    console.record_page(record, log, file, _by_class(record, store.evidence(record)))


def _by_class(record: Record, evidence: Mapping[str, Any]) -> dict[str, list[float | None]]:
    """Of a record on masks the intersection over union of each class, percent, by name of the number."""
    found = {name: evidence.get(f"confusion/{name}") for name in ("oracle", "UP", "LP", "RP")}
    return {
        name: metrics.class_iou(counts.sum(0))
        for name, counts in found.items()
        if counts is not None and counts.shape[1] == len(record.classes)
    }
