"""`bench export` and `bench import`: records as one file. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import console
from bench.cli.options import DEFAULT_STORE
from bench.legible import visible
from bench.store import Store, archive

NAMED = 10
"""Damaged records named one by one."""


def export(
    store: Annotated[Path, typer.Argument(help="the store")],
    file: Annotated[Path, typer.Argument(help="one file to write, e.g. records.zip")],
) -> None:
    """Write the records of a store, with evidence and checksums, as one file that others can import."""
    done = archive.export(Store(store, write=False), file)
    console.say(f"wrote {file}: {done.written} records with their evidence", "green")
    for record in done.left_out[:NAMED]:
        console.warn(f"left out, since it is damaged: {visible(record.name)} ({record.reason})")
    if len(done.left_out) > NAMED:
        console.warn(f"{len(done.left_out) - NAMED} more are left out: bench doctor --store {store}")


def import_(
    file: Annotated[Path, typer.Argument(help="what `bench export` wrote")],
    store: Annotated[Path, typer.Option("--store", help="folder to add the records to")] = DEFAULT_STORE,
) -> None:
    """Add another's records to a store: checksums verified, nothing executed, rows marked third-party."""
    imported = archive.load(file, Store(store))
    console.say(f"{store}: {imported.added} records added, {imported.known} already there", "green")
    if imported.differing:
        console.warn(f"{imported.differing} of these have other numbers in {file.name}; what was here stays")
    if imported.added:
        console.say("they are marked third-party: their numbers were not measured here", "yellow")
