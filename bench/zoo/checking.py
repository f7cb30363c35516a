"""Whether a zoo holds what its cards say: checksums, pages, and UP and LP measured again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import registry
from bench.errors import UserError
from bench.records import Measured
from bench.store.code import code_identity
from bench.zoo import contents, measuring, page, shelf
from bench.zoo.shelf import Entry


@dataclass(frozen=True)
class Finding:
    """What was found of one entry.

    Args:
        name: of its folder.
        problems: what is wrong, a phrase each; empty: it holds.
        numbers: what was measured again, by name.
        changed: modules that trained it and have changed since: the lock of today may be another.
    """

    name: str
    problems: list[str]
    numbers: dict[str, Measured] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)


def check(folder: Path = shelf.HOME) -> Iterator[Finding]:
    """A finding for every entry of the zoo in ``folder``, those with a damaged card first.

    Raises:
        UserError: there is no such folder.
    """
    found = shelf.shelf(folder)
    for name, reason in found.damaged.items():
        yield Finding(name, [reason])
    for entry in found.entries:
        yield of(entry)


def of(entry: Entry) -> Finding:
    """What is found of ``entry``."""
    card = entry.card
    problem = shelf.problem(entry)
    if problem is not None:
        return Finding(card.name, [problem])
    problems = []
    if (entry.folder / shelf.PAGE).read_text(encoding="utf-8") != page.of(card):
        problems.append(f"{shelf.PAGE} does not say what {shelf.CARD} says")
    try:
        scenario = measuring.scenario_of(card.cell(), card.origin.data)
        trained = contents.trained(entry)
        contents.classifier(card, trained.state)  # which says what is wrong where it cannot be built
        numbers, _ = measuring.measured(scenario, trained, contents.key(entry))
    except UserError as error:
        return Finding(card.name, [*problems, error.message], changed=changed(entry))
    return Finding(card.name, problems + measuring.differences(card, numbers), numbers, changed(entry))


def changed(entry: Entry) -> list[str]:
    """Modules of the lock of ``entry`` whose code is not that of its record."""
    info = registry.current().get("lock", entry.card.lock.name)
    if info is None or info.guest:
        return [entry.card.lock.name]
    now, then = code_identity(info), entry.card.origin.code
    return sorted(name for name in {*now, *then} if now.get(name) != then.get(name))
