"""`bench zoo`: small locked checkpoints to start an attack from. No torch here before weights are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from bench.cli import console
from bench.cli.options import DEFAULT_STORE, StoreOption
from bench.legible import visible
from bench.store import Store
from bench.zoo import page, shelf
from bench.zoo.shelf import Entry

app = typer.Typer(
    name="zoo", help="Small locked checkpoints to start an attack from: list, show, make and check them.",
    no_args_is_help=True,
)  # fmt: skip
FolderOption = Annotated[
    Path | None, typer.Option("--zoo", help="a folder of entries", show_default="those that come with LockBench")
]


@app.command("list")
def list_(zoo: FolderOption = None) -> None:
    """List the locked checkpoints there are: lock, task, model, seed, UP, LP, and whether the key is given."""
    found = shelf.shelf(zoo or shelf.HOME)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("name", "key", "UP", "LP", "oracle", "MB"):
        table.add_column(name, overflow="fold", justify="right" if name in ("UP", "LP", "oracle", "MB") else "left")
    for entry in found.entries:
        card = entry.card
        oracle = "—" if card.oracle is None else f"{card.oracle.value:.1f}"
        table.add_row(
            Text(card.name),
            Text(f"{card.key.method}, {page.key_words(card)}"),
            f"{card.UP.value:.1f}",
            f"{card.LP.value:.1f}",
            oracle,
            f"{entry.size / 1e6:.1f}",
        )
    if found.entries:
        console.out.print(table)
        total = sum(entry.size for entry in found.entries) / 1e6
        console.say(f"{len(found.entries)} entries, {total:.1f} MB; start from one: bench.load_locked(NAME)", "dim")
    else:
        console.say(f"{found.folder} holds no entry; write one: bench zoo make --store STORE --out FOLDER", "yellow")
    for name, reason in found.damaged.items():
        console.warn(f"{visible(name)} is damaged: {reason}")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="an entry's name, or a lock that has one entry")],
    zoo: FolderOption = None,
) -> None:
    """Show the card of an entry: the lock, the numbers with intervals, the key, hashes, and how to start from it."""
    entry = shelf.find(name, folder=zoo or shelf.HOME)
    shelf.verify(entry)
    console.raw(page.of(entry.card))
    if entry.card.task.count(":") == 0:  # an audit is of one data set
        console.raw(f"\nAudit it: {_audit(entry)}")


@app.command("make")
def make(
    out: Annotated[Path, typer.Option("--out", help="folder to write entries to")],
    record: Annotated[
        list[str] | None,
        typer.Argument(help="records, by 6 digits or more of their hash", show_default="each locked model once"),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    withhold: Annotated[bool, typer.Option("--withhold", help="leave the key out")] = False,
) -> None:
    """Write entries from what runs left in a store: weights, card, page, checksums, and the key.

    A record gives the same bytes again. An entry of the same name is replaced. Weights are stored as float16 where no
    number of the record changes by it.
    """
    from bench.zoo import making

    _exactly()
    opened = Store(store, write=False)
    with console.busy("measuring what is written"):
        for found in making.records(opened, record or ()):
            entry = making.write(opened, found, out, not withhold)
            weights = entry.card.weights
            console.say(f"wrote {entry.folder}: {weights.dtype}, {entry.size / 1e6:.2f} MB", "green")
            for flag in entry.card.flags:
                console.warn(f"{entry.card.name}: {flag.name}: {visible(flag.detail)}")


@app.command("check")
def check(zoo: FolderOption = None) -> None:
    """Check every entry: checksums, and UP and LP measured again. Exit status 1 where one does not hold."""
    from bench.zoo import checking

    _exactly()
    failed = 0
    with console.busy("measuring every entry"):
        for finding in checking.check(zoo or shelf.HOME):
            failed += bool(finding.problems)
            numbers = "  ".join(f"{name} {own.value:.1f}" for name, own in finding.numbers.items())
            if finding.problems:
                console.say(f"{visible(finding.name)}  {'; '.join(finding.problems)}", "bold red")
            else:
                console.say(f"{finding.name}  holds  {numbers}", "green")
            if finding.changed:
                console.warn(
                    f"{visible(finding.name)}: code of its lock has changed since: {', '.join(finding.changed[:4])}"
                )
    if failed:
        raise typer.Exit(1)


def _exactly() -> None:
    """From now on, this process computes as a run with one thread does."""
    import torch

    from bench import determinism

    torch.set_num_threads(1)
    determinism.deterministic("cpu")


def _audit(entry: Entry) -> str:
    card = entry.card
    return f"bench audit {entry.folder / shelf.MODEL} --data {card.task} --model {card.model}"
