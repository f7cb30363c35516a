"""Recipes: suites in a paper's setting, with the source of each choice and the published numbers. No torch here."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import UserError

RECIPES = Path(__file__).parent / "recipes"
SOURCES = {
    "code": "read in the authors' public code",
    "paper": "the paper, a figure or a table of it, or the authors' poster",
    "second-hand": "a summary by others",
    "reconstruction": "a choice of ours where nothing is known",
    "ours": "this suite's own way, which differs from what is known of theirs",
}
"""Where what a recipe does comes from."""
CHOICES = {
    "data": "the data sets and their sides",
    "split": "how many images train, choose and judge",
    "size": "side of the images, pixels",
    "model": "the architecture and its head",
    "weights": "the public weights that training starts from",
    "steps": "epochs or optimiser steps",
    "rate": "optimiser and learning rate",
    "batch": "images of a step",
    "selection": "how a checkpoint is chosen",
    "seeds": "how often the whole is repeated",
}
"""What every recipe states, by name. A recipe may state more."""
UNKNOWN = "not known"
"""What stands for something of theirs that is not known to us."""


@dataclass(frozen=True)
class Choice:
    """One choice of a recipe.

    Args:
        name: one of `CHOICES`, or another.
        theirs: what the paper or its code does, or `UNKNOWN`.
        ours: what the recipe does.
        source: of what the recipe does, one of `SOURCES`.
    """

    name: str
    theirs: str
    ours: str
    source: str


@dataclass(frozen=True)
class Printed:
    """Published numbers that stand beside rows of a recipe.

    Args:
        file: of ``reports/published``.
        task: our task that the lines are about.
        columns: our number by the file's column: ``authorised``, ``unauthorised``, or the name of a row's value.
        lines: values of the file's columns that a line has where it is meant; a list is any of them.
        lock: our lock; "": the one that the line names.
        attacks: our attack by the name that a line prints, as ``NAME`` or ``NAME PARAMETER=VALUE``.
        params: parameters of our row by GROUP.NAME; ``{COLUMN}`` stands for what the line has in that column.
        differs: why no number of ours can be compared with them; "": it can.
    """

    file: str
    task: str
    columns: Mapping[str, str]
    lines: Mapping[str, Any] = field(default_factory=dict)
    lock: str = ""
    attacks: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    differs: str = ""


@dataclass(frozen=True)
class Recipe:
    """What a suite file says of the paper whose setting it has.

    Args:
        name: of the file, without its ending.
        about: one line.
        paper: whose setting it is.
        images: how many images the run reads of each data set.
        choices: in the file's order; every name of `CHOICES` is among them.
        printed: published numbers; empty where none are known to us.
        quick: parameters by GROUP.NAME that the short form sets besides.
    """

    name: str
    about: str
    paper: str
    images: Mapping[str, int]
    choices: tuple[Choice, ...]
    printed: tuple[Printed, ...] = ()
    quick: Mapping[str, Any] = field(default_factory=dict)


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(file.stem for file in RECIPES.glob("*.toml"))


def of_config(file: Path, config: Mapping[str, Any]) -> Recipe:
    """The recipe of a suite file's content.

    Raises:
        UserError: the file has none, or one that is not whole.
    """
    table = config.get("recipe")
    where = f"{file.name}: recipe"
    if not isinstance(table, Mapping):
        raise UserError(f"{file.name} is a suite without a [recipe].", "Run it: bench run --suite FILE.toml")
    _known(where, table, ("paper", "images", "choices", "printed", "quick"))
    stated = _table(where, table, "choices")
    for name in CHOICES:
        if name not in stated:
            raise UserError(f"{where} does not state '{name}': {CHOICES[name]}.", "Add it to [recipe.choices].")
    printed = table.get("printed", [])
    if not isinstance(printed, list):
        raise UserError(f"{where}: 'printed' is no list of tables.", "Begin each with [[recipe.printed]].")
    images = _table(where, table, "images")
    for name, count in images.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise UserError(f"{where}: images of '{name}' are no count.", "Write images = { mnist = 10000 }")
    return Recipe(
        name=file.stem,
        about=str(config.get("about", "")),
        paper=_text(where, table, "paper"),
        images=images,
        choices=tuple(_choice(f"{where}.choices.{name}", name, value) for name, value in stated.items()),
        printed=tuple(_printed(f"{where}.printed", value) for value in printed),
        quick=_table(where, table, "quick") if "quick" in table else {},
    )


def _choice(where: str, name: str, value: Any) -> Choice:
    if not isinstance(value, Mapping):
        raise UserError(f"{where} is no table.", 'Write { theirs = "…", ours = "…", source = "code" }')
    _known(where, value, ("theirs", "ours", "source"))
    source = _text(where, value, "source")
    if source not in SOURCES:
        raise UserError(f"{where}: no source '{source}'.", f"Sources: {', '.join(SOURCES)}.")
    return Choice(name, _text(where, value, "theirs"), _text(where, value, "ours"), source)


def _printed(where: str, value: Any) -> Printed:
    if not isinstance(value, Mapping):
        raise UserError(f"{where} is no table.", "Begin each with [[recipe.printed]].")
    _known(where, value, tuple(Printed.__dataclass_fields__))
    texts = {name: _text(where, value, name) for name in ("file", "task")}
    texts |= {name: _text(where, value, name) for name in ("lock", "differs") if name in value}
    tables = {name: _table(where, value, name) for name in ("lines", "attacks", "params") if name in value}
    own: dict[str, Any] = {"columns": _table(where, value, "columns"), **texts, **tables}
    return Printed(**own)


def _known(where: str, value: Mapping[str, Any], names: Sequence[str]) -> None:
    for key in value:
        if key not in names:
            near = difflib.get_close_matches(key, names, 1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise UserError(f"{where}: unknown key '{key}'.{hint}", f"There are: {', '.join(names)}.")


def _text(where: str, value: Mapping[str, Any], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{where}: '{name}' is no text.", f'Write {name} = "…"')
    return text.strip()


def _table(where: str, value: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = value.get(name)
    if not isinstance(table, Mapping):
        raise UserError(f"{where}: '{name}' is no table.", f"Write {name} = {{ … }}")
    return dict(table)
