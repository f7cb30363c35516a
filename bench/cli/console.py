"""All that is printed: progress, tables, errors. Only `bench.cli` writes to the terminal, and only through here."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from bench.cli.screen import Screen
from bench.errors import UserError
from bench.legible import shortened, visible
from bench.plan.wording import in_short, name_text, plugins_set, rights_set, settings_of, with_key
from reports.rows.reasons import outcome
from reports.text.escaping import markup as escape
from reports.text.folding import fold

if TYPE_CHECKING:
    from bench.plan import Planned
    from bench.plan.graph import Graph
    from bench.plugin_source import PluginInfo
    from bench.records import Cell, Record

out = Screen()
err = Screen(stderr=True)
ROOMY = 110
"""Characters a line from which the plan needs no narrow columns."""
LINES, LONGEST = 200, 2000
"""Lines of a log and characters of a line that the page of a record prints."""
SETTING = 16
"""Characters that the name of what was set takes in a narrow one, such as ``threat.wordlist=``."""


def say(text: str, style: str = "") -> None:
    """One line."""
    out.print(escape(text), style=style or None)


@contextmanager
def busy(text: str) -> Iterator[None]:
    """While the block runs, a person at a terminal sees that ``text`` is going on; a file or a pipe gets nothing."""
    if not err.is_terminal:
        yield
        return
    with err.status(escape(text), spinner="line" if err.options.ascii_only else "dots"):
        yield


def raw(text: str) -> None:
    """``text`` for files and pipes, with nothing invisible in it."""
    sys.stdout.write(visible(text.rstrip("\n"), keep="\n") + "\n")


def fail(error: UserError) -> None:
    """What is wrong and what to do, on standard error."""
    err.print(f"[bold red]error:[/] {escape(error.message)}", soft_wrap=True)
    if error.remedy:
        err.print(escape(error.remedy), soft_wrap=True)
    for line in error.lines:
        err.print(f"  {escape(line)}", soft_wrap=True)


def warn(text: str) -> None:
    """One line of warning, on standard error."""
    err.print(f"[yellow]warning:[/] {escape(text)}", soft_wrap=True)


def note(text: str) -> None:
    """One line beside the answer, on standard error."""
    err.print(escape(text), style="dim", soft_wrap=True)


def minutes(seconds: float) -> str:
    """``95`` seconds as ``1 min 35 s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _below(name: str, settings: Mapping[str, Any], width: int | None = None) -> Text:
    """A name in a table, each setting on a line under it, on more where it is over ``width``."""
    lines = [line if width is None else fold(line, width, indent=" ") for line in settings_of(settings)]
    return Text("\n".join([name if width is None else fold(name, width), *lines]))


def _lock(cell: Cell) -> str:
    return with_key(name_text(cell.lock.name), name_text(cell.key.name))


def plan_table(planned: Sequence[Planned], done: Sequence[bool], graph: Graph, jobs: int) -> None:
    """The plan of a dry run: every cell, why it is there, what is cached, how long the rest may take.

    Args:
        planned: its cells.
        done: for each, whether its record is there.
        graph: the stages of the others.
        jobs: stages at once.
    """
    seconds = graph.seconds_of([item.cell for item in planned])
    table = Table(title="plan", box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    widths: dict[str, int] = {}
    narrow = bool(planned) and out.width < ROOMY
    if narrow:  # a narrow screen breaks what was set, not names or numbers
        widths["lock"] = max(SETTING, *(len(item.cell.lock.name) for item in planned))
        widths["attack"] = max(SETTING, *(len(item.cell.attack.name) for item in planned))
        widths["why"] = max(len(word) for item in planned for word in item.reason.split())
    columns = ("task", "lock", "attack", "why", "time")
    for name in columns if narrow else (*columns[:1], "model", *columns[1:3], "seed", *columns[3:]):
        table.add_column(name, overflow="fold", width=widths.get(name), no_wrap=name in ("seed", "time"))
    for item, cached, estimate in zip(planned, done, seconds, strict=True):
        cell = item.cell
        task = _below(name_text(cell.scenario), cell.task_settings)
        model, seed = Text(name_text(cell.model_name)), Text(str(cell.replicate))
        lock = _below(_lock(cell), plugins_set(cell, "lock", "key"), widths.get("lock"))
        attack = _below(
            name_text(cell.attack.name), plugins_set(cell, "attack") | rights_set(cell), widths.get("attack")
        )
        why, time = Text(item.reason), Text("cached" if cached else minutes(estimate))
        if narrow:
            table.add_row(Text.assemble(task, "\n", model, f"\nseed {seed}"), lock, attack, why, time)
        else:
            table.add_row(task, model, lock, attack, seed, why, time)
    out.print(table)
    todo = sum(not d for d in done)
    count = "1 job" if jobs == 1 else f"{jobs} jobs at once"
    work = f"{todo} to do in {len(graph)} stages, about {minutes(graph.seconds(jobs))} with {count}"
    say(f"{len(planned)} cells, {len(planned) - todo} cached, {work if todo else 'nothing to do'}")


def plugin_list(kind: str, infos: Sequence[PluginInfo]) -> None:
    """A table of plugins."""
    table = Table(title=kind, box=None, pad_edge=False, title_justify="left", header_style="bold")
    for name in ("name", "role", "what it is"):
        table.add_column(name, overflow="fold", no_wrap=name == "name")
    for info in infos:
        table.add_row(escape(info.name), escape(str(info.role)), escape(info.summary))
    out.print(table)
    out.print()


def named_list(title: str, items: dict[str, str]) -> None:
    """A table of names and their meaning."""
    table = Table(title=title, box=None, pad_edge=False, title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, what in items.items():
        table.add_row(escape(name), escape(what))
    out.print(table)
    out.print()


def grid(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table of texts."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in headings:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    out.print(table)
    out.print()


def plugin_page(
    info: PluginInfo, groups: dict[str, Any], measured: Sequence[str] = (), facts: Mapping[str, str] | None = None
) -> None:
    """Everything a plugin says about itself.

    Args:
        info: the plugin.
        groups: tables of parameters by prefix.
        measured: what the project measured of it, in words.
        facts: more lines, by their names.
    """
    out.print(f"[bold]{info.kind} {escape(info.name)}[/]" + (f" — {escape(info.title)}" if info.title else ""))
    out.print(escape(info.doc), soft_wrap=True)
    out.print()
    rows = {"role": info.role, "paper": info.paper or "none", "file": str(info.file)}
    if info.kind == "attack":
        rows["selection"] = info.rule({}).words
        if info.against:
            rows["written against"] = ", ".join(info.against)
    if info.kind == "lock":
        rows["default key"] = info.key
    if info.kind in ("lock", "attack"):
        rows["runs on"] = " and ".join(info.tasks)
        if info.unsuited:
            rows["not on segmentation"] = info.unsuited
        for kind, values in info.unsuited_values.items():
            rows[f"refused in {kind}"] = "; ".join(f"{value}: {why}" for value, why in values.items())
    rows |= facts or {}
    for name, value in rows.items():
        out.print(f"[bold]{name}[/]: {escape(value)}", soft_wrap=True)
    for deviation in info.deviations:
        out.print(f"[bold]deviation[/]: {escape(deviation)}", soft_wrap=True)
    for line in measured:
        out.print(f"[bold]measured[/]: {escape(line)}", soft_wrap=True)
    out.print()
    for prefix, params in groups.items():
        if not params:
            continue
        table = Table(
            title=f"-p {prefix}.NAME=VALUE", box=None, pad_edge=False, title_justify="left", header_style="bold"
        )
        for name in ("name", "default", "allowed", "meaning"):
            table.add_column(name, overflow="fold", no_wrap=name == "name")
        for param in params.values():
            default = info.defaults.get(f"{prefix}.{param.name}", param.default)
            unit = f" [{param.unit}]" if param.unit else ""
            when = f" (with {param.condition})" if param.condition else ""
            table.add_row(*map(escape, (param.name, str(default), param.range, param.help + unit + when)))
        out.print(table)
        out.print()


def record_page(
    record: Record, log: str, file: Path, by_class: Mapping[str, Sequence[float | None]] | None = None
) -> None:
    """Everything a record says: its cell, numbers, flags and error, and the log that lies in ``file``.

    Args:
        by_class: of a record on masks, the intersection over union of each class by name of the number, percent.
    """
    source = record.provenance
    out.print(f"[bold]record {escape(record.hash)}[/]")
    out.print(escape(in_short(record.cell)), soft_wrap=True)
    out.print()
    facts = {
        "status": outcome(record) if record.status != "ok" else "ok",
        "split": record.split,
        "selection": "none" if record.selection is None else record.selection.words,
        "made": f"{source.created[:19]} on {source.machine}, {source.threads} threads, {source.dtype}",
        "command": source.command,
        "seconds": ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in source.seconds.items()),
        "budget": f"spent: {record.budget_spent}" if record.budget_spent else "",
        "imported from": record.third_party or "",
    }
    for name, value in facts.items():
        if value:
            out.print(f"[bold]{name}[/]: {escape(value)}", soft_wrap=True)
    _numbers(record)
    if by_class:
        _classes(record.classes, by_class)
    for flag in record.flags:
        out.print(f"[bold]flag {escape(flag.name)}[/]: {escape(shortened(flag.detail, LONGEST))}", soft_wrap=True)
    if record.error:
        out.print(f"[bold]error[/]: {escape(shortened(record.error, LONGEST))}", soft_wrap=True)
    for name, text in (("traceback", record.traceback or ""), (f"log {file}", log)):
        if text.strip():
            lines = text.rstrip().splitlines()
            left = f" (the last {LINES} of {len(lines)} lines)" if len(lines) > LINES else ""
            out.print(f"[bold]{escape(name)}[/]{left}", soft_wrap=True)
            for line in lines[-LINES:]:
                out.print(escape(shortened(line, LONGEST)), soft_wrap=True)


def _classes(names: Sequence[str], by_class: Mapping[str, Sequence[float | None]]) -> None:
    table = Table(title="IoU of each class, percent", box=None, pad_edge=False, title_justify="left")
    table.add_column("class")
    for name in by_class:
        table.add_column(name, justify="right")
    for i, name in enumerate(names):
        values = ["–" if column[i] is None else f"{column[i]:.1f}" for column in by_class.values()]
        table.add_row(*map(Text, (name, *values)))
    out.print(table)


def _numbers(record: Record) -> None:
    """The percentages of a record; those of an invalid one are no results, and are not shown."""
    if record.status == "invalid":
        say("numbers: none, since the record is invalid")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("number", "percent" if record.metric == "accuracy" else record.metric, "95 % over images", "n"):
        table.add_column(heading, justify="left" if heading == "number" else "right")
    for name in ("victim_authorised", "oracle", "UP", "LP", "UP_shipped", "LP_shipped", "RP", "RP_validation"):
        measured = getattr(record, name)
        if measured is not None:
            ends = "" if measured.low is None or measured.high is None else f"[{measured.low:.1f}, {measured.high:.1f}]"
            table.add_row(*map(Text, (name, f"{measured.value:.1f}", ends, str(measured.n))))
    for condition in record.conditions:
        accuracy = condition.accuracy
        table.add_row(*map(Text, (f"key condition {condition.name}", f"{accuracy.value:.1f}", "", str(accuracy.n))))
    if record.floor is not None:
        table.add_row("floor", f"{record.floor:.1f}", "", "")
    if table.row_count:
        out.print(table)
