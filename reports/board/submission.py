"""A file that somebody submits, opened with distrust: what is wrong with its bytes, then what is in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.errors import UserError
from bench.store import Store, archive
from reports.board import card as cards
from reports.board import folder
from reports.board.finding import Finding, Submission

PARTS = {"container": "archive", "checksum": "checksums", "record": "records"}
"""The check that a refusal of `bench.store.archive` belongs to, by what of the file is wrong."""
FINE = {
    "archive": "a plain zip of records, of sane size, without paths that lead elsewhere",
    "checksums": "every file has the SHA-256 of the manifest",
    "records": "every record has the hash of what entered it, and evidence that fits together",
}


def open_(
    file: Path, store: Store, plugins: Sequence[Path] = (), entropy: str | None = None
) -> tuple[Submission | None, list[Finding]]:
    """The submission in ``file``, None where its bytes cannot be trusted, and what was found on the way.

    Args:
        file: what `bench export` wrote; its card lies beside it.
        store: an empty one; gets the records.
        plugins: plugin files that the reviewer trusts.
        entropy: what keys were drawn from; None: as the card says.

    Raises:
        UserError: there is no such file, or it cannot be read.
    """
    hashes, findings = _bytes(file, store)
    if not findings[-1].ok:
        return None, findings
    records = [record for record in map(store.get, hashes) if record is not None]
    submission = Submission(file, store, records, plugins=plugins)
    findings += [_card(submission), *_sums(file)]
    own = submission.card
    submission.entropy = entropy or ("plan" if own is None else own.entropy)
    if own is not None:
        places = {name: file.parent / name for name in own.sources}
        submission.sources = {name: place for name, place in places.items() if place.is_file()}
    return submission, findings


def _bytes(file: Path, store: Store) -> tuple[Sequence[str], list[Finding]]:
    """Put the records of ``file`` into ``store``: their hashes, and what was found of its bytes on the way."""
    names = list(PARTS.values())
    try:
        hashes = archive.load(file, store, mark=False).hashes
    except archive.Refused as refusal:
        at = names.index(PARTS[refusal.part])
        failed = Finding(names[at], False, refusal.message, refusal.remedy)
        return (), [*(Finding(name, True, FINE[name]) for name in names[:at]), failed]
    return hashes, [Finding(name, True, FINE[name]) for name in names]


def _card(submission: Submission) -> Finding:
    place = cards.beside(submission.file)
    try:
        own = cards.read(place)
    except UserError as error:
        return Finding("card", False, error.message, error.remedy)
    absent = [name for name in own.sources if not (place.parent / name).is_file()]
    submission.card = own
    if absent:
        return Finding("card", False, f"it names {', '.join(absent)}, which is not there", "Put the file beside it.")
    lines = [f"who: {own.who}", f"what: {own.what}", f"machine: {own.machine}", f"command: {own.command}"]
    if not own.third_party:
        lines.append("whose: it says that the maintainers measured it; see to it that they did")
    if own.has_own_entropy:
        lines.append(f"keys: drawn from entropy that its authors chose, maybe among several: {own.entropy}")
    whose = "third-party" if own.third_party else "measured by the maintainers"
    return Finding("card", True, f"{own.licence}, {whose}", lines=tuple(lines))


def _sums(file: Path) -> Iterator[Finding]:
    """Where the archive lies in a folder of records, whether the folder's checksums are those of its files."""
    if not (file.parent / folder.SUMS).is_file():
        return
    problems = folder.problems(file.parent)
    fix = f"Write them anew: bench leaderboard sums {file.parent}"
    if problems:
        yield Finding("sums", False, problems[0], fix, tuple(problems[1:]))
    else:
        yield Finding("sums", True, f"{folder.SUMS} covers every file beside it")
