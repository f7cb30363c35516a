"""The card of a submission: a small TOML file beside its archive that says who measured what, where and how."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UserError
from bench.legible import is_visible

LARGEST = 64 * 2**10
"""Bytes of a card."""
LONGEST = 1000
"""Characters of one of its texts."""
TEXTS = {
    "who": "the people or the group that measured",
    "what": "what is new, in one sentence",
    "licence": "of the records, e.g. CC-BY-4.0",
    "machine": "processor and GPU",
    "command": "the command that made the records",
    "commit": "of LockBench, 40 hex digits",
}
"""What every card says, and what it means."""
PLAN = "plan"
"""Entropy that says nothing beside task and seed."""
COMMIT = re.compile(r"[0-9a-f]{40}")
SOURCE = re.compile(r"[A-Za-z0-9_][\w.-]*\.py", re.ASCII)


@dataclass(frozen=True)
class Card:
    """What a submission says of itself.

    Args:
        who, what, licence, machine, command, commit: as `TEXTS` says.
        paper: a link or a citation; may be empty.
        third_party: whether others than the maintainers measured it. Reviewers see to it that this is true.
        entropy: what the store of the runs drew its keys from; ``plan``: nothing beside task and seed.
        sources: names of plugin files that lie beside the card. They are compared, never executed.
    """

    who: str
    what: str
    licence: str
    machine: str
    command: str
    commit: str
    paper: str = ""
    third_party: bool = True
    entropy: str = PLAN
    sources: tuple[str, ...] = ()

    @property
    def has_own_entropy(self) -> bool:
        """Whether its authors chose what keys were drawn from, and so could choose among several draws."""
        return self.entropy != PLAN


def beside(archive: Path) -> Path:
    """Where the card of ``archive`` lies."""
    return archive.with_suffix(".toml")


def read(file: Path) -> Card:
    """The card in ``file``.

    Raises:
        UserError: there is none, or it is not such a card.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        what = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        raise UserError(f"{file.name} {what}.", f"Write it beside the archive: {template()}") from None
    if len(content) > LARGEST:
        raise UserError(f"{file.name} has {len(content)} bytes.", f"A card has at most {LARGEST}.")
    try:
        values = tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"{file.name} is no TOML: {error}.", f"Write {template()}") from None
    problems = _problems(values)
    if problems:
        raise UserError(f"{file.name}: {'; '.join(problems)}.", f"Write {template()}")
    return Card(**{**values, "sources": tuple(values.get("sources", ()))})


def template() -> str:
    """The lines of a card, on one line."""
    return " · ".join(f'{name} = "{meaning}"' for name, meaning in TEXTS.items())


def _problems(values: dict[str, object]) -> list[str]:
    out = []
    for name in values.keys() - Card.__dataclass_fields__.keys():
        out.append(f"unknown field {name[:40]!a}")
    for name in (*TEXTS, "paper", "entropy"):
        value = values.get(name, "" if name in TEXTS else PLAN)
        if not isinstance(value, str) or (name in TEXTS and not value.strip()):
            out.append(f"{name} is missing" if name not in values else f"{name} is no text")
        elif len(value) > LONGEST or not is_visible(value):
            out.append(f"{name} is too long or holds what cannot be printed")
    if isinstance(values.get("commit"), str) and not COMMIT.fullmatch(str(values["commit"])):
        out.append("commit is no commit of 40 hex digits")
    if not isinstance(values.get("third_party", True), bool):
        out.append("third_party is neither true nor false")
    sources = values.get("sources", [])
    if not isinstance(sources, list) or not all(isinstance(s, str) and SOURCE.fullmatch(s) for s in sources):
        out.append('sources is no list of file names such as "my_lock.py"')
    return sorted(out)
