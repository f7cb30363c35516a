"""`bench status` and `bench why`: what the store holds, and why a cell would run again. No torch here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from bench import plan
from bench.api import request, rerun
from bench.api.execution import Execution
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
    WeightsOption,
    plugin_files,
)
from bench.errors import UserError
from bench.plan.wording import in_short
from bench.records import Cell, Record
from bench.store import Store, identity
from bench.store.settings import Settings

LAST = 50
"""Lines of `bench status`, where it is not asked for all of them."""


def status(
    suite: Annotated[str | None, typer.Option(help="say what of this suite is done")] = None,
    lock: LocksOption = None,
    attack: AttacksOption = None,
    task: TasksOption = None,
    model: ModelsOption = None,
    weights: WeightsOption = None,
    editor: EditorOption = None,
    seeds: SeedsOption = None,
    param: ParamOption = None,
    plugin: PluginOption = None,
    threads: ThreadsOption = 1,
    precision: PrecisionOption = "float32",
    device: DeviceOption = "auto",
    last: Annotated[int, typer.Option(min=0, help="lines to show: the newest records")] = LAST,
    all_lines: Annotated[bool, typer.Option("--all", help="show a line for every record")] = False,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Say what the store holds; with --suite, what of it is done, failed or not measured.

    With --suite, give the options that the suite was run with. Where there are many records, the newest are shown.
    """
    files = plugin_files(plugin, suite)
    opened = Store(store, write=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("record", "cell", "state", "made"):
        table.add_column(name, overflow="fold")
    most, left = None if all_lines else last, ""
    if suite is None:
        lines, counts = _of_store(opened, most)
    else:
        settings = Settings(
            request.device_of(device), threads, plugin_files=files, entropy=opened.entropy, precision=precision
        )
        names = {"locks": lock, "attacks": attack, "tasks": task, "models": model}
        planned = plan.build(request.lines_of(names, seeds, suite, param, editor, weights=weights))
        lines, counts = _of_plan(opened, planned, settings, most)
        graph = Execution(planned, settings, opened).graph
        left = f"; {len(graph)} stages to do, about {console.minutes(graph.seconds())} with 1 job" if len(graph) else ""
    for line in lines:
        table.add_row(*map(Text, line))
    console.out.print(table)
    total = counts.total()
    if len(lines) < total:
        newest = "the newest last" if suite is None else "what is to do first"
        console.say(f"{len(lines):,} of {total:,} shown, {newest}; every one: --all", "dim")
    states = ", ".join(f"{n} {state}" for state, n in counts.items())
    console.say(f"{states}{left}" if states else f"{store} holds no records yet")


Line = tuple[str, str, str, str]
"""Record, cell, state, when it was made."""


def _of_store(opened: Store, most: int | None) -> tuple[list[Line], Counter[str]]:
    """A line for each of the ``most`` newest records, and how many there are of each state."""
    entries = opened.listing()
    counts = Counter(_with_origin(entry.status, not entry.here) for entry in entries)
    shown = entries if most is None else entries[max(0, len(entries) - most) :]
    return [_line(r.hash, r.cell, _state(r), r.provenance.created) for r in opened.load(shown)], counts


def _of_plan(
    opened: Store, planned: Sequence[plan.Planned], settings: Settings, most: int | None
) -> tuple[list[Line], Counter[str]]:
    """A line for each of ``planned``, of many those that are to do first, and how many there are of each state."""
    hashes = [identity.of(item.cell, settings).record for item in planned]
    known = opened.known(hashes)
    missing = {True: "not measured", False: "not measured (optional)"}
    states = [
        _with_origin(known[h].status, not known[h].here) if h in known else missing[i.required]
        for h, i in zip(hashes, planned, strict=True)
    ]
    chosen = list(range(len(planned)))
    if most is not None and len(chosen) > most:
        chosen = sorted(chosen, key=lambda i: states[i] == "ok")[:most]
    records = {r.hash: r for r in opened.load([known[hashes[i]] for i in chosen if hashes[i] in known])}
    lines = []
    for i in chosen:
        record = records.get(hashes[i])
        state, created = (states[i], "") if record is None else (_state(record), record.provenance.created)
        lines.append(_line(hashes[i], planned[i].cell, state, created))
    return lines, Counter(states)


def _line(hash: str, cell: Cell, state: str, created: str) -> Line:
    return hash[:10], in_short(cell), state, created[:19]


def _state(record: Record) -> str:
    """The status, and why an invalid record is invalid."""
    from reports.rows.reasons import outcome

    state = outcome(record) if record.status == "invalid" else record.status
    return _with_origin(state, record.third_party is not None)


def _with_origin(state: str, imported: bool) -> str:
    """``state``, and whether the record was imported: it counts as nothing that was measured here."""
    return f"{state} (third-party)" if imported else state


def why(
    record: Annotated[str, typer.Argument(help="the start of a record's hash, as `bench status` shows it")],
    plugin: PluginOption = None,
    suite: SuitePluginsOption = None,
    store: StoreOption = DEFAULT_STORE,
) -> None:
    """Say why a cell would run again: what changed since its record was made."""
    files = plugin_files(plugin, suite)
    opened = Store(store, write=False)
    matches = [opened.read(entry.hash).record for entry in opened.listing() if entry.hash.startswith(record)]
    if not matches:
        raise UserError(f"no record starts with '{record}'.", "See `bench status` for the records there are.")
    for match in matches:
        now = rerun.identity_here(match, opened.entropy, files)
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
