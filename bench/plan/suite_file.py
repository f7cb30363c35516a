"""The format of a suite file: its keys with their types, and a reader that says what is wrong. No torch here."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.errors import UserError
from bench.paths import user_path

LARGEST = 2**20
"""Bytes of a suite file at most."""
GROUPS = ("lock", "key", "attack", "threat", "budget", "task")
"""Groups of parameters, as in ``lock.alpha``."""
_ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


@dataclass(frozen=True)
class SuiteKey:
    """One key of a suite file.

    Args:
        type: what its value is, in words.
        default: what holds where no file names it, in words.
        example: a line of TOML.
        help: what it does, one line.
        place: ``file``: above the rows only; ``row``: there, or in a row.
    """

    type: Literal[
        "text", "list of texts", "true or false", "table of parameters", "table of lists", "seeds", "refuse or leave",
        "table of facts",
    ]  # fmt: skip
    default: str
    example: str
    help: str
    place: Literal["file", "row"] = "row"


KEYS: dict[str, SuiteKey] = {
    "about": SuiteKey("text", "none", 'about = "My locks on my photos."', "what `bench list` says of it", "file"),
    "plugins": SuiteKey(
        "list of texts", "none", 'plugins = ["my_lock.py"]',
        "plugin files outside the packages, relative to the suite file; the same as --plugin", "file",
    ),
    "recipe": SuiteKey(
        "table of facts", "none", 'recipe = { paper = "Me, 2026" }',
        "the paper whose setting the suite has; `bench reproduce` reads it", "file",
    ),
    "locks": SuiteKey("list of texts", "modellock", 'locks = ["modellock", "ntl"]', "locks by name"),
    "attacks": SuiteKey("list of texts", "prompt-search", 'attacks = ["none", "finetune"]', "attacks by name"),
    "tasks": SuiteKey(
        "list of texts", "digits", 'tasks = ["digits", "digits:fonts", "folder:photos"]',
        "data sets, pairs SOURCE:TARGET, or folders; a folder is relative to where the command runs",
    ),
    "models": SuiteKey(
        "list of texts", "vit", 'models = ["cnn", "resnet18"]',
        "architectures by name, with the public weights they start from where a suite names them",
    ),
    "seeds": SuiteKey(
        "seeds", "1", 'seeds = "0:3"',
        "how many seeds, a whole number, or a range of them, a text; from 1000 up: tuning",
    ),
    "params": SuiteKey(
        "table of parameters", "none", 'params = { "lock.steps" = 200, "task.size" = 64 }',
        "parameters by GROUP.NAME; those of a row come on top of those above the rows",
    ),
    "sweep": SuiteKey(
        "table of lists", "none", 'sweep = { "threat.share" = [0.01, 0.1] }',
        "parameters by GROUP.NAME, each with the values it takes in turn; every combination is a row of the table",
    ),
    "controls": SuiteKey(
        "true or false", "true", "controls = false", "whether the controls of each cell come with it"
    ),
    "required": SuiteKey(
        "true or false", "true", "required = false",
        "false: cells that may be left out; they are run last, and with `bench run --required` not at all",
    ),
    "public_baseline": SuiteKey(
        "table of parameters", "none", 'public_baseline = { "attack.trials" = 12 }',
        "parameters of the public baseline beside each attack",
    ),
    "unfit": SuiteKey(
        "refuse or leave", "refuse", 'unfit = "leave"',
        "what becomes of an attack that does not speak to a lock's key: the plan is refused, or it is left out",
    ),
    "ensemble": SuiteKey(
        "text", "none", 'ensemble = "ensemble-v5"',
        "the attacks of this ensemble under each of its threat models, in place of `attacks`",
    ),
    "threats": SuiteKey(
        "list of texts", "all of them", 'threats = ["weights-few", "leaked"]',
        "with `ensemble`: only these of its threat models",
    ),
    "fast": SuiteKey("true or false", "false", "fast = true", "with `ensemble`: without its slow members"),
}  # fmt: skip
"""Every key of a suite file, in the order of its reference page. A key above the rows holds for each of them."""
ROW = "row"
"""The key of the rows themselves: ``[[row]]``."""


def read(name: str) -> tuple[Path, dict[str, Any]]:
    """The suite file ``name`` and its checked content: keys above the rows, and ``row``, a list of tables.

    Raises:
        UserError: it cannot be read, is no TOML, or does not have the form of a suite.
    """
    file = user_path(name)
    shown = file.name
    if file.is_dir():
        raise UserError(f"'{name}' is a folder, not a suite file.", "Name a file in it.")
    if not file.is_file():
        what = "is no file" if file.exists() else "does not exist"
        raise UserError(f"the suite file '{name}' {what}.", "Check the path.")
    config = parsed(shown, text_of(file))
    rows = config.get(ROW, [])
    if isinstance(rows, Mapping):
        raise UserError(f"{shown}: a row begins with [[row]], not [row].", "Write two brackets.")
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise UserError(f"{shown}: 'row' is no list of tables.", "Begin each row with a line [[row]].")
    if not rows:
        raise UserError(f"{shown} has no [[row]].", "A suite is a list of rows; see docs/reference/suites.md.")
    _check(shown, {k: v for k, v in config.items() if k != ROW}, in_row=False)
    for row in rows:
        _check(shown, row, in_row=True)
    return file, config


def text_of(file: Path) -> str:
    """The text of a suite file: UTF-8, with or without a byte order mark.

    Raises:
        UserError: it cannot be read, is too large, or is in another encoding.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise UserError(f"{file.name} cannot be read: {error.strerror}.", "Check its permissions.") from None
    if len(content) > LARGEST:
        raise UserError(f"{file.name} is larger than 1 MB: no suite file is.", "Name a suite file.")
    encoding = _ENCODINGS.get(content[:2]) or ("UTF-16" if b"\0" in content[:2] else None)
    try:
        if encoding is None:
            return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        encoding = f"another encoding, such as Latin-1 (line {line})"
    raise UserError(f"{file.name} is in {encoding}, not in UTF-8.", "Save it as UTF-8.")


def parsed(name: str, text: str) -> dict[str, Any]:
    """The TOML of the file called ``name``.

    Raises:
        UserError: it is none.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(
            f"{name} is no valid TOML: {error}.", "Mend it first; docs/reference/suites.md has examples."
        ) from None
    except ValueError:  # a whole number of thousands of digits, a date that is none
        raise UserError(f"{name} has a number or a date that cannot be read.", "Mend it first.") from None
    except RecursionError:
        raise UserError(
            f"{name} is nested too deeply.", "Mend it first; docs/reference/suites.md has examples."
        ) from None


def check_name(name: str, where: str) -> None:
    """Whether ``name`` is ``GROUP.NAME`` with a group of `GROUPS`; ``where`` says whose it is.

    Raises:
        UserError: it is not.
    """
    group, dot, rest = name.partition(".")
    if not dot or not rest or not group:
        raise UserError(f"{where}: '{name}' is no parameter.", "Name it as GROUP.NAME, e.g. lock.alpha.")
    if group not in GROUPS:
        near = difflib.get_close_matches(group, GROUPS, 1)
        hint = f" Did you mean {near[0]}.{rest}?" if near else ""
        raise UserError(f"{where}: unknown group '{group}' in '{name}'.{hint}", f"Groups: {', '.join(GROUPS)}.")


def _check(file: str, values: Mapping[str, Any], in_row: bool) -> None:
    for key, value in values.items():
        known = KEYS.get(key)
        if known is None:
            names = ", ".join(k for k, v in KEYS.items() if v.place == "row" or not in_row)
            near = difflib.get_close_matches(key, KEYS, 1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            what = "A row has" if in_row else "There are"
            raise UserError(f"{file}: unknown key '{key}'.{hint}", f"{what}: {names}. See docs/reference/suites.md.")
        if in_row and known.place == "file":
            raise UserError(f"{file}: '{key}' stands in a row.", "Write it above the first [[row]].")
        _TYPES[known.type](f"{file}: {key}", value, known.example)


def _text(where: str, value: Any, example: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{where} is no text.", f"Write e.g. {example}")


def _texts(where: str, value: Any, example: str) -> None:
    if isinstance(value, str):
        name = where.rpartition(" ")[2]
        raise UserError(f"{where} is a text where a list is due.", f'Write {name} = ["{value}"]')
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v.strip() for v in value):
        raise UserError(f"{where} is no list of names.", f"Write e.g. {example}")


def _bool(where: str, value: Any, example: str) -> None:
    if not isinstance(value, bool):
        raise UserError(f"{where} is neither true nor false.", f"Write e.g. {example}, without quotes.")


def _is_value(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _names(where: str, value: Any, example: str) -> None:
    if not isinstance(value, Mapping):
        raise UserError(f"{where} is no table.", f"Write e.g. {example}")
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            first = next(iter(inner), "NAME")
            raise UserError(f"{where}: '{name}' is a table.", f'Put the whole name in quotes: "{name}.{first}" = VALUE')
        check_name(name, where)


def _params(where: str, value: Any, example: str) -> None:
    _names(where, value, example)
    for name, inner in value.items():
        if isinstance(inner, list):
            raise UserError(f"{where}: '{name}' has several values.", "Values to take in turn stand in `sweep`.")
        if not _is_value(inner):
            raise UserError(f"{where}: '{name}' is neither text, number, true nor false.", f"Write e.g. {example}")


def _sweep(where: str, value: Any, example: str) -> None:
    _names(where, value, example)
    for name, inner in value.items():
        if not isinstance(inner, list) or not inner or not all(map(_is_value, inner)):
            raise UserError(f"{where}: '{name}' is no list of values.", f"Write e.g. {example}")


def _seeds(where: str, value: Any, example: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise UserError(f"{where} is neither a whole number nor a range.", f"Write seeds = 3 or {example}")


def _facts(where: str, value: Any, example: str) -> None:
    if not isinstance(value, Mapping):
        raise UserError(f"{where} is no table.", f"Write e.g. {example}")


def _unfit(where: str, value: Any, example: str) -> None:
    if value not in ("refuse", "leave"):
        raise UserError(f'{where} is neither "refuse" nor "leave".', f"Write e.g. {example}")


_TYPES: dict[str, Callable[[str, Any, str], None]] = {
    "text": _text,
    "list of texts": _texts,
    "true or false": _bool,
    "table of parameters": _params,
    "table of lists": _sweep,
    "seeds": _seeds,
    "table of facts": _facts,
    "refuse or leave": _unfit,
}
