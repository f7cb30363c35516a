"""Where entries lie, and how one is found and checked against its checksums. No torch here.

An entry is a folder: ``card.json``, ``model.safetensors``, ``README.md``, ``sums.json``, and of a key that is given
``key.json``, with ``key.safetensors`` where the key is in the weights.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from bench.errors import UserError
from bench.legible import visible
from bench.store import sums
from bench.zoo.card import SCHEMA, Card

HOME = Path(__file__).parent / "entries"
"""The entries that come with the suite."""
CARD, MODEL, PAGE, KEY, KEY_WEIGHTS = "card.json", "model.safetensors", "README.md", "key.json", "key.safetensors"
LARGEST = 2**20
"""Bytes of a card or a key's JSON; they have a hundredth of it."""


@dataclass(frozen=True)
class Entry:
    """One locked checkpoint of a zoo: its folder and its card."""

    folder: Path
    card: Card

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.stat().st_size for file in self.folder.iterdir() if file.is_file())


@dataclass(frozen=True)
class Shelf:
    """What a folder of entries holds, by name.

    Args:
        folder: the zoo.
        entries: those whose card can be read.
        damaged: why each of the others cannot, by the name of its folder.
    """

    folder: Path
    entries: Sequence[Entry]
    damaged: dict[str, str]


def shelf(folder: Path = HOME) -> Shelf:
    """Every entry of the zoo in ``folder``, with its card; weights are not read.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"there is no zoo in {folder}.", "Write entries: bench zoo make --store STORE --out FOLDER")
    found, damaged = [], {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_dir():
            continue
        try:
            found.append(Entry(path, read_card(path)))
        except ValueError as error:
            damaged[path.name] = str(error)
    return Shelf(folder, found, damaged)


def read_card(folder: Path) -> Card:
    """The card in ``folder``.

    Raises:
        ValueError: it cannot be read, is of another schema, or is another entry's; the message says which.
    """
    file = folder / CARD
    try:
        if not file.is_file():
            raise ValueError(f"{CARD} is missing")
        if file.stat().st_size > LARGEST:
            raise ValueError(f"{CARD} is too large")
        card = Card.model_validate_json(file.read_bytes(), strict=True)
    except OSError as error:
        raise ValueError(f"{CARD} cannot be read ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))[:80]
        raise ValueError(visible(f"{CARD}: {where}: {str(first['msg'])[:120]}")) from None
    if card.schema_version != SCHEMA:
        raise ValueError(f"{CARD} has schema {card.schema_version}, this version reads {SCHEMA}")
    if card.name != folder.name:
        raise ValueError(f"{CARD} is that of {visible(card.name[:80])}")
    return card


def problem(entry: Entry) -> str | None:
    """What is wrong with the files of ``entry``; None where each is what was written."""
    found = sums.problem(entry.folder, required=True)
    if found is not None:
        return found
    known = sums.read(entry.folder) or {}
    wanted = {CARD, MODEL, PAGE} | ({KEY} if entry.card.key.given else set())
    for name in sorted(wanted - set(known)):
        return f"{sums.SUMS} lacks {name}"
    if known[MODEL].sha256 != entry.card.weights.sha256:
        return f"{MODEL} is not the file that {CARD} names"
    extra = sorted(p.name for p in entry.folder.iterdir() if p.name not in {*known, sums.SUMS})
    return f"{visible(extra[0])} is no file of it" if extra else None


def verify(entry: Entry) -> None:
    """Whether every file of ``entry`` is what was written.

    Raises:
        UserError: one is not.
    """
    found = problem(entry)
    if found is not None:
        raise UserError(
            f"the zoo's entry {entry.card.name} is damaged: {found}.",
            "Install LockBench again, or write the entry again: bench zoo make",
        )


def find(
    lock: str, task: str | None = None, model: str | None = None, seed: int | None = None, folder: Path = HOME
) -> Entry:
    """The one entry of that name, or of that lock, task, model and seed; None matches any.

    Raises:
        UserError: there is none, or more than one, and the message names those there are; or it is damaged.
    """
    found = shelf(folder)
    if lock in found.damaged:
        raise UserError(f"the zoo's entry {lock} is damaged: {found.damaged[lock]}.", "Write it again: bench zoo make")
    for entry in found.entries:
        if entry.card.name == lock:
            return entry
    wanted = {"task": task, "model": model, "seed": seed}
    own = [entry for entry in found.entries if entry.card.lock.name == lock]
    fitting = [e for e in own if all(v is None or getattr(e.card, name) == v for name, v in wanted.items())]
    if len(fitting) > 1:  # what the lock's usual parameters made stands for the lock
        fitting = [entry for entry in fitting if not entry.card.lock.explicit] or fitting
    if len(fitting) == 1:
        return fitting[0]
    words = " ".join(f"{name}={value}" for name, value in wanted.items() if value is not None)
    if fitting:
        raise UserError(
            f"{len(fitting)} entries of the zoo fit {lock} {words}: {_names(fitting)}.", "Name one in full."
        )
    if own:
        raise UserError(f"the zoo has no {lock} with {words}.", f"It has {_names(own)}.")
    locks = sorted({entry.card.lock.name for entry in found.entries})
    near = difflib.get_close_matches(lock, [*locks, *(e.card.name for e in found.entries)], 2, 0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise UserError(
        f"the zoo has no lock '{visible(lock[:80])}'.{hint}", f"It has {', '.join(locks) or 'no entry'}: bench zoo list"
    )


def _names(entries: Sequence[Entry]) -> str:
    return ", ".join(entry.card.name for entry in entries)
