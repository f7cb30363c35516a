"""`bench status` and `bench why`: what the store holds, and why a cell would run again. No torch here."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from bench import plan
from bench.api import request
from bench.cli import console
from bench.cli.options import (
    DEFAULT_STORE,
    AttacksOption,
    DeviceOption,
    EditorOption,
    LocksOption,
    ModelsOption,
    ParamOption,
    PluginOption,
    PrecisionOption,
    SeedsOption,
    StoreOption,
    SuitePluginsOption,
    TasksOption,
    ThreadsOption,
    plugin_files,
)
from bench.errors import UserError
from bench.plan.wording import in_short
from bench.records import Record
from bench.store import Store, identity
from bench.store.settings import Settings


def status(
    suite: Annotated[str | None, typer.Option(help="say what of this suite is done")] = None,
    lock: LocksOption = None,
    attack: AttacksOption = None,
    task: TasksOption = None,
    model: ModelsOption = None,
    editor: EditorOption = None,
    seeds: SeedsOption = None,
    param: ParamOption = None,
    plugin: PluginOption = None,
    threads: ThreadsOption = 1,
    precision: PrecisionOption = "float32",
    device: DeviceOption = "auto",
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Say what the store holds; with --suite, what of it is done, failed or not measured.

    With --suite, give the options that the suite was run with.
    """
    files = plugin_files(plugin, suite)
    opened = Store(store, write=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("record", "cell", "state", "made"):
        table.add_column(name, overflow="fold")
    counts: dict[str, int] = {}

    def add(hash: str, cell: str, state: str, created: str) -> None:
        counts[state.partition(":")[0]] = counts.get(state.partition(":")[0], 0) + 1
        table.add_row(*map(Text, (hash[:10], cell, state, created[:19])))

    if suite is None:
        for record in opened.records():
            add(record.hash, in_short(record.cell), _state(record), record.provenance.created)
    else:
        settings = Settings(
            request.device_of(device), threads, plugin_files=files, entropy=opened.entropy, precision=precision
        )
        names = {"locks": lock, "attacks": attack, "tasks": task, "models": model}
        records = {record.hash: record for record in opened.records()}
        for item in plan.build(request.lines_of(names, seeds, suite, param, editor)):
            hash = identity.of(item.cell, settings).record
            stored = records.get(hash)
            state = _state(stored) if stored else "not measured" if item.required else "not measured (optional)"
            add(hash, in_short(item.cell), state, stored.provenance.created if stored else "")
    console.out.print(table)
    console.say(", ".join(f"{n} {state}" for state, n in counts.items()) or f"{store} holds no records yet")


def _state(record: Record) -> str:
    """The status, and why an invalid record is invalid."""
    from reports.rows.reasons import outcome

    return outcome(record) if record.status == "invalid" else record.status


def why(
    record: Annotated[str, typer.Argument(help="the start of a record's hash, as `bench status` shows it")],
    plugin: PluginOption = None,
    suite: SuitePluginsOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Say why a cell would run again: what changed since its record was made."""
    files = plugin_files(plugin, suite)
    opened = Store(store, write=False)
    matches = [r for r in opened.records() if r.hash.startswith(record)]
    if not matches:
        raise UserError(f"no record starts with '{record}'.", "See `bench status` for the records there are.")
    for match in matches:
        device = next(reversed(match.provenance.machine.split()), "cpu")
        settings = Settings(
            device=device,
            threads=match.provenance.threads,
            plugin_files=files,
            precision=match.provenance.dtype,
        )
        now = identity.of(match.cell, settings)
        console.say(in_short(match.cell))
        if now.record == match.hash:
            failed = ", but it failed and will be tried again" if match.status == "failed" else ""
            console.say(f"  unchanged: it would not run again{failed}")
            continue
        for line in differences(match.provenance.inputs, now.inputs):
            console.say(f"  {line}")


def differences(old: Any, new: Any, at: str = "") -> list[str]:
    """Where two trees of inputs differ, apart from parents' hashes, which only repeat other differences."""
    if isinstance(old, dict) and isinstance(new, dict):
        out = []
        for key in sorted({*old, *new}):
            if key != "parents":
                out += differences(old.get(key), new.get(key), f"{at}.{key}" if at else key)
        return out
    return [] if old == new else [f"{at}: {old} -> {new}"]
