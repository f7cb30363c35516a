"""`bench doctor`: what is wrong with a store, and what can be put right. No torch here."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from bench.cli import console
from bench.cli.options import DEFAULT_STORE, StoreOption
from bench.language import endpoint
from bench.store import Store, health


def doctor(
    store: StoreOption = DEFAULT_STORE,
    fix: Annotated[
        bool, typer.Option("--fix", help="remove what can be made again, set aside the rest in the store's damaged/")
    ] = False,
) -> None:
    """Look for damage in a store, and for what nothing needs. Exit status 0: healthy; 1: something was found."""
    opened = Store(store, write=False)
    if fix:
        findings, left = health.repair(opened)
    else:
        findings = left = health.look(opened)
    kept = [finding for finding in findings if finding.remedy == health.KEPT]
    if findings:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("what", "where", "why", "done" if fix else "with --fix"):
            table.add_column(name, overflow="fold")
        for finding in findings:
            done = "not done" if fix and finding in left else finding.remedy
            table.add_row(*map(Text, (finding.what, finding.where, finding.why, done)))
        console.out.print(table)
    contents = opened.contents()
    n = len(contents.records)
    console.say(
        f"{store}: {n} record{'' if n == 1 else 's'} in order, {_summary(len(findings) - len(kept), len(left), fix)}"
    )
    if kept:
        console.say(f"{len(kept)} of another version, kept: read with the version of LockBench that wrote it", "dim")
    console.say(f"language model: {endpoint.describe()}", "dim")
    if contents.without_sums:
        console.say(f"{len(contents.without_sums)} of them have no checksum: older code wrote them", "dim")
    aside = len(opened.entries("damaged"))
    if aside:
        console.say(f"{opened.root / 'damaged'} holds {aside} set aside; look at them, then remove the folder", "dim")
    if left or kept:
        raise typer.Exit(1)


def _summary(found: int, left: int, fix: bool) -> str:
    if not found:
        return "nothing to put right"
    if not fix:
        return f"{found} to put right: bench doctor --fix"
    return f"{found - left} of {found} put right"
