"""The folder of records: archives, their cards, sources of plugins, and ``SHA256SUMS`` over all of them.

Nothing in it is executed. ``sha256sum --check SHA256SUMS`` reads the checksums too.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UserError
from bench.legible import visible
from reports import files
from reports.board import card as cards
from reports.board.card import Card

SUMS = "SHA256SUMS"
NAME = re.compile(r"[A-Za-z0-9][\w.-]*\.(zip|toml|py)", re.ASCII)
"""Files that the folder may hold beside the checksums and a README."""
OTHERS = (SUMS, "README.md")
_LINE = re.compile(r"([0-9a-f]{64}) [ *](\S+)")


@dataclass(frozen=True)
class Entry:
    """One submission: its archive and its card."""

    archive: Path
    card: Card

    @property
    def name(self) -> str:
        """The name of the submission: of its archive, without the ending."""
        return self.archive.stem


def entries(folder: Path) -> list[Entry]:
    """The submissions in ``folder``, those of the maintainers first, then by name.

    Raises:
        UserError: no such folder, a checksum that is missing or does not match, a card that is missing or wrong.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}.", "Name the folder of the archives with --records.")
    if found := problems(folder):
        raise UserError(f"{folder}: {found[0]}.", f"Write them anew: bench leaderboard sums {folder}", found[1:])
    listed = [Entry(file, cards.read(cards.beside(file))) for file in sorted(folder.glob("*.zip"))]
    return sorted(listed, key=lambda entry: (entry.card.third_party, entry.name))


def problems(folder: Path) -> list[str]:
    """What is wrong with the checksums of ``folder``, one sentence each; nothing where they cover every file."""
    try:
        text = (folder / SUMS).read_text(encoding="utf-8")
    except FileNotFoundError:
        return [f"{SUMS} is missing"]
    except (OSError, UnicodeDecodeError):
        return [f"{SUMS} cannot be read"]
    known: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            return [f"{SUMS} has a line that is no checksum: {visible(line[:60])}"]
        known[match[2]] = match[1]
    there = {file.name: file for file in folder.iterdir() if file.name not in OTHERS}
    out = [f"{visible(name[:60])} is no file of a submission" for name in sorted(there) if not _fits(there[name])]
    out += [f"{SUMS} names {visible(name[:60])}, which is missing" for name in sorted(known.keys() - there.keys())]
    plain = {name: file for name, file in there.items() if _fits(file)}
    out += [f"{SUMS} lacks {name}" for name in sorted(plain.keys() - known.keys())]
    changed = [name for name, file in sorted(plain.items()) if name in known and _sha256(file) != known[name]]
    return out + [f"{name} is not the file that {SUMS} names" for name in changed]


def write_sums(folder: Path) -> int:
    """Write the checksums of every file of a submission in ``folder``; how many there are.

    Raises:
        UserError: no such folder, or it cannot be written.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}.", "Name the folder of the archives.")
    listed = sorted(file for file in folder.iterdir() if file.name not in OTHERS and _fits(file))
    text = "".join(f"{_sha256(file)}  {file.name}\n" for file in listed)
    files.atomic(folder / SUMS, lambda out: out.write(text.encode()))
    return len(listed)


def _fits(file: Path) -> bool:
    return NAME.fullmatch(file.name) is not None and file.is_file() and not file.is_symlink()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
