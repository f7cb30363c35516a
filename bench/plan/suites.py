"""Suites and command lines as `SuiteLine`s, and the parameters, sweeps and seeds they hold. No torch here."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench import registry
from bench.errors import UserError
from bench.paths import user_path
from bench.plan import ensemble, suite_file
from bench.plan.recipe import RECIPES, Recipe, of_config, recipe_names
from bench.plan.suite_file import check_name
from bench.seeds import TUNING_FROM

SUITES = Path(__file__).parent / "suites"
MOST_SEEDS = TUNING_FROM
"""Seeds of a line at most: as many as there are before the tuning seeds begin."""
LAST_SEED = 2**31 - 1
MOST_CELLS = 100_000
"""Cells of a plan at most, controls apart."""
DEFAULTS: dict[str, list[str]] = {
    "locks": ["modellock"],
    "attacks": ["prompt-search"],
    "tasks": ["digits"],
    "models": ["vit"],
}
"""What a line has of each where a user or a suite names none."""
ENSEMBLE_BASELINE = {"attack.trials": 13, "attack.steps": 240}
"""The public baseline beside an ensemble: each trial is longer than by default. A threat model has up to 24 members."""


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

    @property
    def cells(self) -> int:
        """How many cells it has, controls apart."""
        axes = (self.locks, self.attacks, self.tasks, self.models, self.replicates, *self.sweep.values())
        return math.prod(map(len, axes))

    def first(self, name: str) -> Any:
        """The value of the parameter ``name``, or the first of its sweep."""
        return self.params[name] if name in self.params else self.sweep[name][0]


def parse_params(texts: Iterable[str], option: str = "-p", example: str = "0.5") -> dict[str, str]:
    """``["lock.alpha=0.5"]`` to ``{"lock.alpha": "0.5"}``.

    Args:
        option: that the texts come from; example: a value that it takes.

    Raises:
        UserError: no ``=``, no such group, or a name given twice with different values.
    """
    out: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name, value = name.strip(), value.strip()
        if not equals or not name.partition(".")[2] or not value:
            raise UserError(
                f"cannot read {option} {text!r}.", f"Write GROUP.NAME=VALUE, e.g. {option} lock.alpha={example}"
            )
        check_name(name, f"{option} {text!r}")
        if name in out and out[name] != value:
            raise UserError(f"{option} {name} is given twice.", "Keep one.")
        out[name] = value
    return out


def parse_sweeps(texts: Iterable[str]) -> dict[str, list[str]]:
    """``["threat.share=0,0.01"]`` to ``{"threat.share": ["0", "0.01"]}``.

    Raises:
        UserError: as `parse_params`; or a value given twice.
    """
    out = {}
    for name, text in parse_params(texts, "--sweep", "0.1,0.5").items():
        values = [value.strip() for value in text.split(",") if value.strip()]
        if len(set(values)) < max(2, len(values)):
            raise UserError(f"--sweep {name}={text} has nothing to vary.", "Give two values or more, e.g. 0.01,0.1")
        out[name] = values
    return out


def parse_seeds(text: str, name: str = "--seeds") -> list[int]:
    """``3`` to replicates 0, 1, 2; ``1000:1003`` to 1000, 1001, 1002 (tuning: judged on judge-validation).

    Args:
        name: what the text stands for, in messages.

    Raises:
        UserError: no such number, or more than `MOST_SEEDS`.
    """
    found = re.fullmatch(r"([0-9]{1,20}):([0-9]{1,20})|([0-9]{1,20})", text.strip())
    if found is None:
        raise UserError(f"{name} {text!r} is not allowed.", "Give a count (3) or a range (0:3); at least one seed.")
    first, last = int(found[1] or 0), int(found[2] or found[3])
    if last <= first:
        raise UserError(f"{name} {text!r} is no seed.", "Give a count (3) or a range (0:3); at least one seed.")
    if last - first > MOST_SEEDS:
        raise UserError(f"{name} {text!r} is {last - first} seeds.", f"Give at most {MOST_SEEDS}.")
    if last - 1 > LAST_SEED:
        raise UserError(f"{name} {text!r} is too large.", f"The last seed is {LAST_SEED}.")
    return list(range(first, last))


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
            own = replace(line, **chosen, **seeds)  # type: ignore[arg-type]
            out.append(replace(own, params=_left(line, own, line.params), sweep=_left(line, own, line.sweep)))
    return out


def _left(whole: SuiteLine, own: SuiteLine, values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` of ``whole`` without those that only locks and attacks speak to which ``own`` has no more."""
    plugins = registry.current()

    def have(line: SuiteLine) -> set[str]:
        kinds = (("lock", line.locks), ("attack", line.attacks))
        infos = [(kind, plugins.get(kind, name)) for kind, names in kinds for name in names]
        return {f"{kind}.{name}" for kind, info in infos if info is not None for name in info.params}

    reach_keys = {f"lock.{name}" for info in plugins.all("key").values() for name in info.params}
    gone = have(whole) - have(own) - reach_keys
    return {name: value for name, value in values.items() if name not in gone}


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
    whole = read_suite(name)
    lines = narrowed(whole, named, replicates)
    if not lines:
        options = " ".join(f"--{kind.removesuffix('s')} {value}" for kind, values in named.items() for value in values)
        raise UserError(f"nothing of suite '{name}' is left after {options}.", _remedy(whole, named))
    return lines


def _remedy(lines: Sequence[SuiteLine], named: Mapping[str, Sequence[str]]) -> str:
    """What to name instead of ``named``: the values of the first kind of which ``lines`` have none of them."""
    for kind, wanted in named.items():
        own = sorted({name for line in lines if kind not in line.open for name in getattr(line, kind)})
        if not any(kind in line.open for line in lines) and not set(own) & set(wanted):
            return f"Its {kind}: {', '.join(own)}."
    return "No row of it has all of these together. Name fewer."


def suite_names() -> list[str]:
    """The suites that come with the package."""
    return sorted(file.stem for file in SUITES.glob("*.toml"))


def about(name: str) -> str:
    """What the suite or recipe ``name`` of the package says of itself, one line."""
    return str(tomllib.loads(_packaged(name).read_text(encoding="utf-8")).get("about", ""))


def _packaged(name: str) -> Path:
    """The file of the suite or recipe ``name`` of the package."""
    return (RECIPES if name in recipe_names() else SUITES) / f"{name}.toml"


def read_recipe(name: str) -> Recipe:
    """What the recipe ``name``, or a suite file with a ``[recipe]``, says of its paper.

    Raises:
        UserError: no such recipe, or a file that does not have the form of one.
    """
    if not name.lower().endswith(".toml") and name not in recipe_names():
        near = difflib.get_close_matches(name, recipe_names(), 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UserError(
            f"no recipe '{name}'.{hint}", f"Recipes: {', '.join(recipe_names())}; or a path to a .toml file."
        )
    return of_config(*_content(name))


def read_suite(name: str) -> list[SuiteLine]:
    """The lines of a suite by name or TOML file.

    Raises:
        UserError: no such suite, or a file that does not have the form of one.
    """
    file, config = _content(name)
    common = {k: v for k, v in config.items() if k not in ("row", "about", "plugins", "recipe")}
    lines = []
    for row in config["row"]:
        full = {**common, **row, **_sweep_of(file, common, row)}
        alone = [key for key in ("fast", "threats") if key in row and "ensemble" not in full]
        if alone:
            remedy = f'Add ensemble = "{ensemble.CURRENT}", or leave it out.'
            raise UserError(f"{file.name}: '{alone[0]}' goes with an ensemble.", remedy)
        lines += [_line(file, common, entry) for entry in _members(file, common, full)]
    return lines


def _sweep_of(file: Path, common: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """The sweep of ``row``, if any: its own, or that of the file without what the row sets.

    Raises:
        UserError: a parameter is set and swept at one place.
    """
    for place in (common, row):
        if both := sorted(place.get("params", {}).keys() & place.get("sweep", {}).keys()):
            raise UserError(f"{file.name}: '{both[0]}' is in params and in sweep.", "Leave one of the two out.")
    if "sweep" in row or "sweep" not in common:
        return {}
    return {"sweep": {name: values for name, values in common["sweep"].items() if name not in row.get("params", {})}}


def suite_plugins(name: str) -> list[Path]:
    """The plugin files that a suite names, relative to its own file.

    Raises:
        UserError: as `read_suite`.
    """
    file, config = _content(name)
    return [file.parent / user_path(plugin) for plugin in config.get("plugins", ())]


def _content(name: str) -> tuple[Path, dict[str, Any]]:
    if not name.lower().endswith(".toml"):
        names = [*suite_names(), *recipe_names()]
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise UserError(f"no suite '{name}'.{hint}", f"Suites: {', '.join(names)}; or a path to a .toml file.")
        name = str(_packaged(name))
    if ensemble.is_ensemble(file := user_path(name)):
        return file, {"row": [{"ensemble": file.stem}]}
    return suite_file.read(name)


def _line(file: Path, common: Mapping[str, Any], entry: Mapping[str, Any]) -> SuiteLine:
    values = dict(entry)
    values["params"] = {**common.get("params", {}), **entry.get("params", {})}
    try:
        values["replicates"] = parse_seeds(str(values.pop("seeds", 1)), f"{file.name}: seeds =")
    except ValueError:  # more digits than Python writes
        raise UserError(f"{file.name}: seeds are too large.", f"Give at most {MOST_SEEDS}.") from None
    values["open"] = frozenset(DEFAULTS) - set(values)
    return SuiteLine(**{**DEFAULTS, **values})


def _members(file: Path, common: Mapping[str, Any], entry: dict[str, Any]) -> list[dict[str, Any]]:
    """An entry that names an ensemble as one for each member: ``threats`` picks some, ``fast`` drops slow ones.

    Raises:
        UserError: the entry or the file sets what a threat model of the ensemble states.
    """
    entry = dict(entry)
    fast, names = entry.pop("fast", False), entry.pop("threats", None)
    if "ensemble" not in entry:
        return [entry]
    members = ensemble.read(entry.pop("ensemble"))
    entry.pop("attacks", None)
    out = []
    own = {**common.get("params", {}), **entry.get("params", {})}
    for threat in map(members.threat, names) if names is not None else members.threats:
        threat.check(own, f"{file.name}: ")
        for member in threat.members:
            if not (fast and member.slow):
                params = {**entry.get("params", {}), **threat.params, **member.params}
                own = {"attacks": [member.attack], "params": params, "unfit": "leave"}
                out.append({"public_baseline": ENSEMBLE_BASELINE, **entry, **own})
    return out
