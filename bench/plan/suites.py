"""Suites and command lines as `SuiteLine`s, and the parameters, sweeps and seeds they hold. No torch here."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.plan import ensemble

SUITES = Path(__file__).parent / "suites"
GROUPS = ("lock", "key", "attack", "threat", "budget", "task")
DEFAULTS: dict[str, list[str]] = {
    "locks": ["modellock"],
    "attacks": ["prompt-search"],
    "tasks": ["digits"],
    "models": ["vit"],
}
"""What a line has of each where a user or a suite names none."""
ENSEMBLE_BASELINE = {"attack.trials": 12, "attack.steps": 400}
"""The public baseline beside an ensemble: about as many trials, and as many steps, as the ensemble has."""


@dataclass
class SuiteLine:
    """One line of a suite: every combination of its locks, attacks, tasks, models and swept parameters.

    Args:
        locks, attacks, tasks, models: names.
        params: parameters by ``GROUP.NAME``.
        sweep: the values of each swept parameter.
        replicates: seeds.
        required: False for cells that may be left out.
        controls: whether the controls of each cell come with it.
        public_baseline: parameters of the public baseline beside the line, e.g. ``attack.trials``.
        unfit: what happens to an attack that does not speak to a lock's key: ``refuse``, or ``leave`` it out.
        open: of locks, attacks, tasks and models those that the file does not name; a command may name them.
    """

    locks: Sequence[str]
    attacks: Sequence[str]
    tasks: Sequence[str]
    models: Sequence[str]
    params: Mapping[str, Any] = field(default_factory=dict)
    sweep: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    replicates: Sequence[int] = (0,)
    required: bool = True
    controls: bool = True
    public_baseline: Mapping[str, Any] = field(default_factory=dict)
    unfit: str = "refuse"
    open: frozenset[str] = frozenset()

    def first(self, name: str) -> Any:
        """The value of the parameter ``name``, or the first of its sweep."""
        return self.params[name] if name in self.params else self.sweep[name][0]


def parse_params(texts: Iterable[str]) -> dict[str, str]:
    """``["lock.alpha=0.5"]`` to ``{"lock.alpha": "0.5"}``.

    Raises:
        UserError: no ``=``, no such group, or a name given twice with different values.
    """
    out: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name, value = name.strip(), value.strip()
        group, dot, rest = name.partition(".")
        if not equals or not dot or not rest or not value:
            raise UserError(f"cannot read -p {text!r}.", "Write GROUP.NAME=VALUE, e.g. -p lock.alpha=0.5")
        if group not in GROUPS:
            near = difflib.get_close_matches(group, GROUPS, 1)
            hint = f" Did you mean {near[0]}.{rest}?" if near else ""
            raise UserError(f"unknown group '{group}' in -p {text!r}.{hint}", f"Groups: {', '.join(GROUPS)}.")
        if name in out and out[name] != value:
            raise UserError(f"-p {name} is given twice.", "Keep one.")
        out[name] = value
    return out


def parse_sweeps(texts: Iterable[str]) -> dict[str, list[str]]:
    """``["threat.share=0,0.01"]`` to ``{"threat.share": ["0", "0.01"]}``.

    Raises:
        UserError: as `parse_params`; or a value given twice.
    """
    out = {}
    for name, text in parse_params(texts).items():
        values = [value.strip() for value in text.split(",") if value.strip()]
        if len(set(values)) < max(2, len(values)):
            raise UserError(f"--sweep {name}={text} has nothing to vary.", "Give two values or more, e.g. 0.01,0.1")
        out[name] = values
    return out


def parse_seeds(text: str) -> list[int]:
    """``3`` to replicates 0, 1, 2; ``1000:1003`` to 1000, 1001, 1002 (tuning: judged on judge-validation).

    Raises:
        UserError: no such number.
    """
    try:
        first, colon, last = text.partition(":")
        out = list(range(int(first), int(last))) if colon else list(range(int(text)))
    except ValueError:
        out = []
    if not out or min(out) < 0:
        raise UserError(f"--seeds {text!r} is not allowed.", "Give a count (3) or a range (0:3); at least one seed.")
    return out


def narrowed(
    lines: Sequence[SuiteLine],
    names: Mapping[str, Sequence[str]],
    replicates: Sequence[int] | None = None,
) -> list[SuiteLine]:
    """``lines`` with only ``names`` of locks, attacks, tasks and models, or any of them where a file names none."""
    seeds = {} if replicates is None else {"replicates": replicates}
    out = []
    for line in lines:
        chosen = {
            kind: list(wanted) if kind in line.open else [x for x in getattr(line, kind) if x in wanted]
            for kind, wanted in names.items()
        }
        if all(chosen.values()):
            out.append(replace(line, **chosen, **seeds))  # type: ignore[arg-type]
    return out


def suite_lines(
    name: str,
    names: Mapping[str, Sequence[str] | None],
    replicates: Sequence[int] | None = None,
) -> list[SuiteLine]:
    """The lines of suite ``name``, `narrowed` to what a command names; nothing named is all.

    Raises:
        UserError: as `read_suite`; or nothing is left.
    """
    named = {kind: values for kind, values in names.items() if values}
    lines = narrowed(read_suite(name), named, replicates)
    if not lines:
        options = " ".join(f"--{kind.removesuffix('s')} {value}" for kind, values in named.items() for value in values)
        raise UserError(f"nothing of suite '{name}' is left after {options}.", "Loosen them.")
    return lines


def suite_names() -> list[str]:
    """The suites that come with the package."""
    return sorted(file.stem for file in SUITES.glob("*.toml"))


def about(name: str) -> str:
    """What the suite ``name`` of the package says of itself, one line."""
    return str(tomllib.loads((SUITES / f"{name}.toml").read_text(encoding="utf-8")).get("about", ""))


def read_suite(name: str) -> list[SuiteLine]:
    """The lines of a suite by name or TOML file.

    Raises:
        UserError: no such suite, no valid TOML, an unknown key.
    """
    file = Path(name) if name.endswith(".toml") else SUITES / f"{name}.toml"
    if not file.exists():
        near = difflib.get_close_matches(name, suite_names(), 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UserError(f"no suite '{name}'.{hint}", f"Suites: {', '.join(suite_names())}; or a path to a .toml file.")
    try:
        config = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file.name} is no valid TOML: {error}.", "Mend it first.") from None
    if ensemble.is_ensemble(file):
        config = {"row": [{"ensemble": file.stem}]}
    common = {k: v for k, v in config.items() if k not in ("row", "about")}
    lines = [_line(file, common, entry) for row in config.get("row", []) for entry in _members({**common, **row})]
    if not lines:
        raise UserError(f"{file.name} has no [[row]].", "A suite is a list of rows; see bench/plan/suites/quick.toml.")
    return lines


def _line(file: Path, common: Mapping[str, Any], entry: Mapping[str, Any]) -> SuiteLine:
    values = dict(entry)
    values["params"] = {**common.get("params", {}), **entry.get("params", {})}
    values["replicates"] = parse_seeds(str(values.pop("seeds", 1)))
    known = {f.name for f in fields(SuiteLine)} - {"open"}
    unknown = set(values) - known
    if unknown:
        names = ", ".join(sorted(known - {"replicates"}))
        raise UserError(f"{file.name}: unknown key '{min(unknown)}'.", f"A row has: {names}, seeds.")
    values["open"] = frozenset(DEFAULTS) - set(values)
    return SuiteLine(**{**DEFAULTS, **values})


def _members(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """An entry that names an ensemble as one for each member: ``threats`` picks some, ``fast`` drops slow ones."""
    if "ensemble" not in entry:
        return [entry]
    entry = dict(entry)
    members, fast = ensemble.read(entry.pop("ensemble")), entry.pop("fast", False)
    names = entry.pop("threats", None)
    entry.pop("attacks", None)
    out = []
    for threat in map(members.threat, names) if names is not None else members.threats:
        for member in threat.members:
            if not (fast and member.slow):
                params = {**entry.get("params", {}), **threat.params, **member.params}
                own = {"attacks": [member.attack], "params": params, "unfit": "leave"}
                out.append({"public_baseline": ENSEMBLE_BASELINE, **entry, **own})
    return out
