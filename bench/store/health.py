"""What is wrong with a store and what nothing in it needs: the findings of `bench doctor`, and their repair."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UserError
from bench.legible import visible
from bench.store import sums
from bench.store.parts import remove
from bench.store.reading import RECORD
from bench.store.rooms import HASH
from bench.store.store import Store

UNNAMED = ("shared", "reply")
"""Kinds of artefacts that no record needs by name: what several locks compute from one victim, and replies of language
models, which no run could make again."""
ASIDE, REMOVED, KEPT = "set aside", "removed", "kept"
_LONGEST = 160


@dataclass(frozen=True)
class Finding:
    """One thing to put right.

    Args:
        what: its kind, e.g. ``damaged record``.
        path: where it lies.
        where: the same, below the store, as it can be printed.
        why: what is wrong with it.
        remedy: what a repair does with it, `ASIDE`, `REMOVED` or `KEPT`.
    """

    what: str
    path: Path
    where: str
    why: str
    remedy: str


def look(store: Store) -> list[Finding]:
    """Everything to put right in ``store``; nothing where it is healthy."""
    return [
        *(_finding(store, "stray", path, "it is none of the store's", ASIDE) for path in store.strays()),
        *_records(store),
        *_artefacts(store),
        *(_finding(store, "leftover", path, "its run has ended", REMOVED) for path in store.leftovers()),
    ]


def repair(store: Store) -> tuple[list[Finding], list[Finding]]:
    """Put right what `look` finds, until it finds nothing new: what a removed record alone needed is removed too.

    A record of another version is no damage: it stays, with the artefacts that it names.

    Returns:
        All findings, and those of them that could not be put right; what is `KEPT` is none of these.

    Raises:
        UserError: a run is at work in the store, or nothing can be written there.
    """
    every: dict[Path, Finding] = {}
    with store.alone():
        while fresh := [finding for finding in look(store) if finding.path not in every]:
            every |= {finding.path: finding for finding in fresh}
            for finding in fresh:
                _put_right(store, finding)
        paths = {finding.path for finding in look(store)}
    left = [finding for path, finding in every.items() if path in paths and finding.remedy != KEPT]
    return list(every.values()), left


def _put_right(store: Store, finding: Finding) -> None:
    if finding.what == "leftover":
        store.clean()
    elif finding.remedy == ASIDE:
        with suppress(UserError, FileNotFoundError):
            store.set_aside(finding.path)
    elif finding.remedy == REMOVED:
        remove(finding.path)


def _finding(store: Store, what: str, path: Path, why: str, remedy: str) -> Finding:
    where = visible(path.relative_to(store.root).as_posix())
    return Finding(what, path, where[:_LONGEST], visible(why)[:_LONGEST], remedy)


def _records(store: Store) -> Iterator[Finding]:
    contents, folder = store.contents(), store.root / "records"
    for damaged in contents.damaged:
        if damaged.foreign:
            yield _finding(store, "record of another version", folder / damaged.name, damaged.reason, KEPT)
        else:
            yield _finding(store, "damaged record", folder / damaged.name, damaged.reason, ASIDE)
    for record in contents.records:
        if record.status == "failed":
            first = next(iter((record.error or "").splitlines()), "no reason was recorded")
            yield _finding(store, "failed record", folder / record.hash, first, REMOVED)


def _artefacts(store: Store) -> Iterator[Finding]:
    contents = store.contents()
    needed = {parent for record in contents.records for parent in record.provenance.parents.items()}
    for damaged in contents.damaged:
        if damaged.foreign:
            needed |= _parents(store.root / "records" / damaged.name)
    for kind in store.entries("artefacts"):
        if not kind.is_dir():
            continue
        for path in store.entries(f"artefacts/{kind.name}"):
            if not HASH.fullmatch(path.name):
                continue
            problem = sums.problem(path, store.sums_required)
            if problem is not None:
                yield _finding(store, "damaged artefact", path, problem, ASIDE)
            elif kind.name not in UNNAMED and (kind.name, path.name) not in needed:
                yield _finding(store, "orphaned artefact", path, "no record refers to it", REMOVED)


def _parents(folder: Path) -> set[tuple[str, str]]:
    """Kinds and hashes of the artefacts that the record in ``folder`` names, whatever else it says."""
    try:
        parents = json.loads((folder / RECORD).read_bytes())["provenance"]["parents"]
        return {(str(kind), str(hash)) for kind, hash in parents.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set()
