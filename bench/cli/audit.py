"""`bench audit`: what opens a checkpoint of one's own, and what to do about it. No torch here before it is read."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from bench import plan
from bench.api.request import cards_of, device_of
from bench.cli import console
from bench.cli.options import (
    DEFAULT_STORE,
    DeviceOption,
    EntropyOption,
    JobsOption,
    ParamOption,
    PluginOption,
    StoreOption,
    ThreadsOption,
    jobs_of,
    plugin_files,
)
from bench.errors import UserError
from bench.store.settings import Settings
from reports.text.escaping import markup as escape

if TYPE_CHECKING:
    from bench.api.audit import Audit, Prepared

_STYLES = {"yes": "bold red", "no": "green"}


def audit(
    checkpoint: Annotated[Path, typer.Argument(help="the weights: .safetensors, .pth or .pt")],
    data: Annotated[str, typer.Option(help="a folder with one sub-folder a class, or a data set")],
    model: Annotated[
        str, typer.Option(help="its architecture: a timm name, torchvision:NAME, hf-hub:ORG/NAME, vit or cnn")
    ] = "",
    model_args: Annotated[str, typer.Option(help="its arguments: name=value,name=value, or JSON")] = "",
    factory: Annotated[
        str, typer.Option(help="package.module:function or file.py:function that makes it; your own code, which runs")
    ] = "",
    weights_key: Annotated[str, typer.Option(help="the key of the file that holds the weights, such as ema")] = "",
    key: Annotated[
        str, typer.Option(help="your key: an edit key's prompt, or a key method with -p key.NAME=…")
    ] = "none",
    classes: Annotated[str | None, typer.Option(help="a file with the name of each output, in order")] = None,
    class_order: Annotated[
        str, typer.Option(help="given (as the data), codepoint (torchvision), casefold, or natural (timm)")
    ] = "given",
    mean: Annotated[str, typer.Option(help="mean of the channels in [0, 1]: one number, or three with commas")] = "",
    std: Annotated[str, typer.Option(help="their standard deviation")] = "",
    image_size: Annotated[int | None, typer.Option(min=8, max=2048, help="side that the network sees")] = None,
    resize: Annotated[int | None, typer.Option(min=8, max=2048, help="side before the centre is cut out")] = None,
    crop_pct: Annotated[
        float | None, typer.Option(help="share of the side that is cut out, in place of --resize")
    ] = None,
    interpolation: Annotated[str, typer.Option(help="bicubic, bilinear or nearest")] = "",
    fc_norm: Annotated[str, typer.Option(help="how often fc_norm is applied: once, twice or both")] = "once",
    start: Annotated[
        str, typer.Option(help="weights of controls and public baseline: auto, public or random")
    ] = "auto",
    threat: Annotated[list[str] | None, typer.Option(help="a threat model of the ensemble (repeatable)")] = None,
    attack: Annotated[list[str] | None, typer.Option(help="an attack of the ensemble (repeatable)")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="leave out slow attacks")] = False,
    param: ParamOption = None,
    seeds: Annotated[str, typer.Option(help="how many seeds, or a range as 0:3")] = "1",
    plugin: PluginOption = None,
    store: StoreOption = DEFAULT_STORE,
    device: DeviceOption = "auto",
    jobs: JobsOption = None,
    threads: ThreadsOption = 1,
    entropy: EntropyOption = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="leave out image files that cannot be read")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="show how the checkpoint is read, and the plan, and stop")
    ] = False,
) -> None:
    """Attack a checkpoint of your own with everything that fits, and say what opens it."""
    files = plugin_files(plugin)
    params = plan.parse_params(param or [])
    settings = Settings(device=device_of(device), threads=threads, skip_bad=skip_bad, plugin_files=files)
    from bench.guests import process as guests

    guests.start()
    from bench.api import audit as api
    from bench.api.audit_plan import Scope
    from bench.api.checkpoint import Options, arguments
    from bench.cli import live

    options = Options(
        model=model,
        model_args=arguments(model_args),
        factory=factory,
        weights_key=weights_key,
        classes=classes,
        class_order=class_order,
        mean=_numbers("--mean", mean),
        std=_numbers("--std", std),
        image_size=image_size,
        resize=resize,
        crop_pct=crop_pct,
        interpolation=interpolation,
        fc_norm=fc_norm,
        start=start,
    )
    cards = cards_of(device)
    scope = Scope(key, quick, threat or (), attack or (), params, plan.parse_seeds(seeds))
    with console.busy("reading the checkpoint and the data"):
        prepared = api.prepare(checkpoint, data, options, scope, store=store, settings=settings, entropy=entropy)
    _show_reading(prepared)
    if dry_run:
        planned = prepared.plan.planned
        at_once = jobs_of(jobs, settings, len(planned), len(cards))
        execution = api.execution_of(prepared, writes=False)
        console.plan_table(planned, execution.done, execution.graph, at_once)
        _show_left_out(prepared)
        return
    execution = api.execution_of(prepared)
    jobs_of(jobs, settings, len(execution.todo), len(cards))  # warns
    live.follow(execution, jobs, cards=cards)
    found = api.results(prepared, execution)
    _show(found)
    live.say_remarks(found.records)
    _show_left_out(prepared)
    live.end(found.records)


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise UserError(f"{option} {text} is not allowed.", "Give one number, or three with commas between.") from None


def _show_reading(prepared: Prepared) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in [*prepared.reading.lines(), ("key", prepared.scope.describe())]:
        table.add_row(name, escape(text))
    console.out.print(table)
    for warning in prepared.reading.warnings():
        console.warn(warning)


def _show(found: Audit) -> None:
    from bench.cli import live

    records = [r for r in found.records if r.cell.lock.role == "given" and r.UP is not None and r.LP is not None]
    variants = {str(r.cell.lock.explicit.get("norm", "once")): r for r in records}
    for norm, record in variants.items():
        if record.UP is not None and record.LP is not None and record.floor is not None:
            what = f" (fc_norm {norm})" if len(variants) > 1 else ""
            console.say(f"UP {record.UP.value:.1f} · LP {record.LP.value:.1f} · floor {record.floor:.1f}{what}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("attack", overflow="fold")
    table.add_column("threat", no_wrap=True)
    for name in ("RP", "baseline"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("cost", overflow="fold")
    table.add_column("opens", no_wrap=True)
    for finding in found.findings:
        name = finding.attack + (f" (fc_norm {finding.variant})" if finding.variant else "")
        numbers = ("–" if x is None else f"{x:.1f}" for x in (finding.rp, finding.baseline))
        verdict = Text(finding.verdict, style=_STYLES.get(finding.verdict, "yellow"))
        table.add_row(escape(name), finding.threat, *numbers, escape(finding.cost), verdict)
    console.out.print(table)
    live.say_failed_controls(found.rows)
    if flags := found.red_flags:
        console.warn(f"red flags: {', '.join(flags)}; read docs/reference/flags.md")
    for line in found.diagnosis:
        console.warn(line)
    if found.advice:
        console.say("What to do:", "bold")
        for line in found.advice:
            console.say(f"- {line}")
    elif not found.is_locked:
        console.say("There is no lock to open in what was read.", "bold red")
    elif any(f.opens is None for f in found.findings):
        console.say("Nothing was shown to open it; some attacks are undecided: add --seeds 3.", "yellow")
    else:
        console.say("None of these attacks opens it.", "green")
    console.say(f"details: bench report --store {shlex.quote(str(found.store))} --details", "dim")


def _show_left_out(prepared: Prepared) -> None:
    reasons: dict[str, list[str]] = {}
    for left in prepared.plan.left_out:
        reasons.setdefault(left.reason, []).append(f"{left.attack} ({left.threat})")
    for reason, attacks in reasons.items():
        console.say(f"left out: {', '.join(attacks)}: {reason}", "dim")
