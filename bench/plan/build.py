"""Suite and command line -> cells, with the controls that each row asks for. No torch here."""

from __future__ import annotations

import difflib
import itertools
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench import datasets, registry
from bench.errors import UserError
from bench.params import BadParameter, Param
from bench.plan import ensemble
from bench.plan.wording import rights
from bench.records import Cell, PluginRef
from bench.registry import PluginInfo, check_against, check_params
from bench.threat import Budget, ThreatModel

SUITES = Path(__file__).parent / "suites"
GROUPS = ("lock", "key", "attack", "threat", "budget", "task")
TASK = {
    "size": Param("size", "int", 32, "side of the images", ge=datasets.SIZES[0], le=datasets.SIZES[1], unit="pixels"),
}
DEFAULTS = {"locks": ["modellock"], "attacks": ["prompt-search"], "tasks": ["digits"], "models": ["vit"]}
DEFAULT_EDITOR = "miniature"
DOMAIN = "domain"
TRIED = {"attack.trials": 12, "attack.steps": 400}
"""The public baseline beside an ensemble: about as many trials, and as many steps, as the ensemble has."""
CALIBRATION = ("permuted-logits", "destroyed")


@dataclass(frozen=True)
class Planned:
    """A cell and why it is in the plan."""

    cell: Cell
    reason: str
    required: bool = True


@dataclass
class Row:
    """One line of a suite: every combination of its locks, attacks, tasks, models and swept parameters."""

    locks: Sequence[str]
    attacks: Sequence[str]
    tasks: Sequence[str]
    models: Sequence[str]
    params: Mapping[str, Any] = field(default_factory=dict)
    sweep: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    replicates: Sequence[int] = (0,)
    required: bool = True
    editor: str = DEFAULT_EDITOR
    controls: bool = True
    baseline: Mapping[str, Any] = field(default_factory=dict)
    """What is set of the public baseline beside the row, e.g. ``attack.trials``."""
    unfit: str = "refuse"
    """What is done with an attack that does not speak to a lock's key: ``refuse``, or ``leave`` it out (ensembles)."""
    open: frozenset[str] = frozenset()
    """Of locks, attacks, tasks and models those that a suite's file does not name, an ensemble's say: a command may."""


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
    rows: Sequence[Row],
    wanted: Mapping[str, Sequence[str]],
    editor: str | None = None,
    replicates: Sequence[int] | None = None,
) -> list[Row]:
    """``rows`` with only ``wanted`` of locks, attacks, tasks and models, or any of them where a file names none."""
    changed = {k: v for k, v in {"editor": editor, "replicates": replicates}.items() if v is not None}
    out = []
    for row in rows:
        kept = {n: list(w) if n in row.open else [x for x in getattr(row, n) if x in w] for n, w in wanted.items()}
        if all(kept.values()):
            out.append(replace(row, **kept, **changed))  # type: ignore[arg-type]
    return out


def suite_rows(
    name: str,
    wanted: Mapping[str, Sequence[str] | None],
    editor: str | None = None,
    replicates: Sequence[int] | None = None,
) -> list[Row]:
    """The rows of suite ``name`` that are `narrowed` to what a command names; None or nothing named is all.

    Raises:
        UserError: as `read_suite`; or nothing is left.
    """
    named = {kind: values for kind, values in wanted.items() if values}
    rows = narrowed(read_suite(name), named, editor, replicates)
    if not rows:
        asked = " ".join(f"--{kind.removesuffix('s')} {value}" for kind, values in named.items() for value in values)
        raise UserError(f"nothing of suite '{name}' is left after {asked}.", "Loosen them.")
    return rows


def suite_names() -> list[str]:
    """The suites that come with the package."""
    return sorted(file.stem for file in SUITES.glob("*.toml"))


def read_suite(name: str) -> list[Row]:
    """The rows of a suite by name or TOML file.

    Raises:
        UserError: no such suite, no valid TOML, an unknown key.
    """
    file = Path(name) if name.endswith(".toml") else SUITES / f"{name}.toml"
    if not file.exists():
        near = difflib.get_close_matches(name, suite_names(), 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UserError(f"no suite '{name}'.{hint}", f"Suites: {', '.join(suite_names())}; or a path to a .toml file.")
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{file.name} is no valid TOML: {error}.", "Mend it first.") from None
    if ensemble.is_ensemble(file):
        told = {"row": [{"ensemble": file.stem}]}
    common = {k: v for k, v in told.items() if k not in ("row", "about")}
    rows = []
    for line in (part for row in told.get("row", []) for part in _members({**common, **row})):
        merged = dict(line)
        merged["params"] = {**common.get("params", {}), **line.get("params", {})}
        seeds = merged.pop("seeds", 1)
        merged["replicates"] = parse_seeds(str(seeds))
        keys = set(Row.__dataclass_fields__) - {"open"}
        unknown = set(merged) - keys
        if unknown:
            known = ", ".join(sorted(keys))
            raise UserError(f"{file.name}: unknown key '{min(unknown)}'.", f"A row has: {known}, seeds.")
        merged["open"] = frozenset(DEFAULTS) - set(merged)
        for name_, default in DEFAULTS.items():
            merged.setdefault(name_, default)
        rows.append(Row(**merged))
    if not rows:
        raise UserError(f"{file.name} has no [[row]].", "A suite is a list of rows; see bench/plan/suites/quick.toml.")
    return rows


def _members(line: dict[str, Any]) -> list[dict[str, Any]]:
    """A line that names an ensemble as one line for each member: ``threats`` picks some, ``fast`` drops slow ones."""
    if "ensemble" not in line:
        return [line]
    line = dict(line)
    listed, fast = ensemble.read(line.pop("ensemble")), line.pop("fast", False)
    wanted = line.pop("threats", None)
    line.pop("attacks", None)
    out = []
    for threat in map(listed.threat, wanted) if wanted is not None else listed.threats:
        for member in threat.members:
            if not (fast and member.slow):
                params = {**line.get("params", {}), **threat.params, **member.params}
                own = {"attacks": [member.attack], "params": params, "unfit": "leave"}
                out.append({"baseline": TRIED, **line, **own})
    return out


def fits(attack: str, lock: str, task: str, params: Mapping[str, Any], files: Sequence[str] = ()) -> bool:
    """Whether ``attack`` speaks to the key of ``lock`` on ``task``, and what it needs to be leaked exists there."""
    method = registry.find("attack", attack, files)
    key = key_name(registry.find("lock", lock, files), task, params)
    leaked = int(params.get("threat.leaked", 0)) and datasets.pair(task) is not None
    return (not method.keys or key in method.keys) and not leaked


def build(rows: Sequence[Row], plugin_files: Sequence[str] = ()) -> list[Planned]:
    """Every cell of ``rows`` with its controls, each once: required ones first, replicate by replicate.

    Raises:
        UserError: an unknown name, a parameter out of range, or an attack that its threat model rules out.
    """
    planned: dict[str, Planned] = {}

    def add(cell: Cell, reason: str, required: bool) -> None:
        at = f"{cell.row_key()}/{cell.replicate}"
        if at not in planned or (required and not planned[at].required):
            planned[at] = Planned(cell, planned[at].reason if at in planned else reason, required)

    for row in rows:
        _check_used(row, plugin_files)
        for replicate, task, model in itertools.product(row.replicates, row.tasks, row.models):
            datasets.check(task)
            for lock, attack, swept in itertools.product(row.locks, row.attacks, _combinations(row.sweep)):
                params = {**row.params, **swept}
                if row.unfit == "leave" and not fits(attack, lock, task, params, plugin_files):
                    continue
                cell = make_cell(lock, attack, task, model, params, row.editor, replicate, plugin_files)
                if row.controls:
                    for control, why in controls_of(cell, plugin_files, row.baseline):
                        add(control, why, row.required)
                add(cell, "asked for", row.required)
    return sorted(planned.values(), key=lambda p: (not p.required, p.cell.replicate))


def _combinations(sweep: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    names = list(sweep)
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(sweep[n] for n in names))]


def _check_used(row: Row, files: Sequence[str]) -> None:
    """Every parameter must reach at least one lock, key or attack of its row."""
    for name in [*row.params, *row.sweep]:
        group, _, field_name = name.partition(".")
        if group in ("threat", "budget", "task"):
            known = {"threat": ThreatModel.params, "budget": Budget.params, "task": TASK}[group]
            check_against(f"{group}.", known, {field_name: _first(row, name)})
            continue
        infos: list[PluginInfo] = []
        if group == "attack":
            infos = [registry.find("attack", a, files) for a in row.attacks]
        else:
            locks = [registry.find("lock", n, files) for n in row.locks]
            keys = [registry.find("key", key_name(i, task, row.params), files) for i in locks for task in row.tasks]
            infos = keys if group == "key" else [*locks, *keys]
        if field_name == "key" and group == "lock":
            continue
        if not any(field_name in i.params for i in infos):
            merged = {k: v for i in infos for k, v in i.params.items()}
            check_against(f"{group}.", merged, {field_name: _first(row, name)})


def _first(row: Row, name: str) -> Any:
    return row.params[name] if name in row.params else row.sweep[name][0]


def key_name(lock: PluginInfo, task: str, params: Mapping[str, Any]) -> str:
    """The key method of ``lock`` on ``task``: what ``lock.key`` says, else ``domain`` for a pair, else the lock's own.

    Raises:
        UserError: a key that images are changed by on a pair of domains, or the domain key on one data set.
    """
    is_pair = datasets.pair(task) is not None
    name = str(params.get("lock.key", DOMAIN if is_pair else lock.key))
    if is_pair != (name == DOMAIN):
        raise UserError(
            f"key '{name}' does not go with --task {task}.",
            "The key 'domain' is for SOURCE:TARGET, e.g. digits:fonts; every other key is for one data set.",
        )
    return name


def make_cell(
    lock: str,
    attack: str,
    task: str,
    model: str,
    params: Mapping[str, Any],
    editor: str = DEFAULT_EDITOR,
    replicate: int = 0,
    files: Sequence[str] = (),
) -> Cell:
    """The cell of one combination; parameters that a plugin does not have are left to the others of its row."""
    lock_info = registry.find("lock", lock, files)
    attack_info = registry.find("attack", attack, files)
    key_info = registry.find("key", key_name(lock_info, task, params), files)
    if attack_info.keys and key_info.name not in attack_info.keys:
        raise UserError(
            f"{attack} attacks {' and '.join(attack_info.keys)} keys; the key of {lock} on {task} is {key_info.name}.",
            "Choose another attack, or set -p lock.key=NAME.",
        )
    if datasets.pair(task) and int(params.get("threat.leaked", 0)):
        raise UserError(f"{task} has no pairs to leak: its two sides are other data.", "Leave threat.leaked at 0.")
    given: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
    for name, value in params.items():
        group, _, field_name = name.partition(".")
        given[group][field_name] = value
    given["lock"].pop("key", None)
    for field_name in list(given["lock"]):  # lock.alpha reaches into the key where the lock has no such field
        if field_name not in lock_info.params and field_name in key_info.params:
            given["key"][field_name] = given["lock"].pop(field_name)
    if "editor" in key_info.params:
        given["key"].setdefault("editor", editor)
    explicit = {
        "lock": check_params(lock_info, {k: v for k, v in given["lock"].items() if k in lock_info.params}),
        "key": check_params(key_info, {k: v for k, v in given["key"].items() if k in key_info.params}),
        "attack": check_params(attack_info, {k: v for k, v in given["attack"].items() if k in attack_info.params}),
    }
    usual: dict[str, dict[str, Any]] = {"threat": {}, "budget": {}}
    for name, value in attack_info.defaults.items():
        group, _, field_name = name.partition(".")
        usual[group][field_name] = value
    try:
        threat = ThreatModel(**{**usual["threat"], **check_against("threat.", ThreatModel.params, given["threat"])})
        budget = Budget(**{**usual["budget"], **check_against("budget.", Budget.params, given["budget"])})
        threat.parts()
    except BadParameter as error:
        raise UserError(f"{error}.") from None
    settings = check_against("task.", TASK, given["task"])
    if editor == explicit["key"].get("editor"):
        explicit["key"].pop("editor")

    def ref(info: PluginInfo, chosen: dict[str, Any], **more: Any) -> PluginRef:
        full = {n: p.default for n, p in info.params.items()} | chosen
        role: Any = info.role
        return PluginRef(name=info.name, params=full, explicit=chosen, role=role, **more)

    key_ref = ref(key_info, explicit["key"])
    if "editor" in key_info.params:
        key_ref.params["editor"] = editor
    return Cell(
        scenario=task,
        model=model,
        lock=ref(lock_info, explicit["lock"]),
        key=key_ref,
        attack=ref(attack_info, explicit["attack"], selection=_selection(attack_info, explicit["attack"])),
        threat=threat.values(),
        budget=budget.values(),
        explicit={f"task.{k}": v for k, v in settings.items() if v != TASK[k].default},
        editor=editor,
        replicate=replicate,
    )


def _selection(attack: PluginInfo, chosen: Mapping[str, Any]) -> str:
    rule = chosen.get("select", attack.params["select"].default) if "select" in attack.params else attack.selection
    return str(rule)


def renaming(cell: Cell) -> dict[str, Any]:
    """The threat model under which `permuted-logits` must open, where it is not the opening attack's own.

    A victim that is right on half of the other domain takes more than one labelled image a class to be renamed.
    """
    return {"threat.share": 0.1} if cell.key.name == DOMAIN else {}


def controls_of(
    cell: Cell, files: Sequence[str] = (), baseline: Mapping[str, Any] | None = None
) -> list[tuple[Cell, str]]:
    """The cells that must stand beside ``cell``: no attack, the public baseline of its data, calibration locks."""
    enough = renaming(cell)
    same_key = {f"key.{k}": v for k, v in cell.key.explicit.items()} | {"lock.key": cell.key.name}
    beside = {} if cell.key.name in ("edit", DOMAIN) else same_key
    if cell.attack.name in ("none", "from-scratch") or cell.lock.role == "control":
        wanted: list[tuple[str, str, dict[str, Any], str]] = []
    else:
        data = ThreatModel(**cell.threat).data_budget()
        threat = {f"threat.{k}": v for k, v in data.items()} | dict(baseline or {})
        own = rights(cell.threat, cell.budget)
        own |= {f"attack.{k}": v for k, v in cell.attack.explicit.items()}
        wanted = [
            (
                "none",
                "from-scratch",
                threat | (same_key if cell.threat.get("authorised") else beside),
                "public baseline",
            ),
            ("destroyed", cell.attack.name, own | beside, "calibration: must not open"),
            ("permuted-logits", "logit-surgery", beside | enough, "calibration: must open"),
        ]
        lock_params = {f"lock.{k}": v for k, v in cell.lock.explicit.items()}
        wanted.append((cell.lock.name, "none", lock_params | same_key, "no attack"))
        surgery = registry.find("attack", "logit-surgery", files).defaults
        asked = {k: v for k, v in {**surgery, **enough}.items() if k.startswith("threat.")}
        theirs = ThreatModel(**{k[7:]: v for k, v in asked.items()}).data_budget()
        if theirs != data:
            also = {f"threat.{k}": v for k, v in theirs.items()} | beside
            wanted.append(("none", "from-scratch", also, "public baseline"))
    return [
        (
            make_cell(
                lock, attack, cell.scenario, cell.model, cell.explicit | params, cell.editor, cell.replicate, files
            ),
            why,
        )
        for lock, attack, params, why in wanted
    ]


def accepted(planned: Sequence[Planned], files: Sequence[str] = ()) -> tuple[list[Planned], list[Cell]]:
    """What of ``planned`` its attacks can run, and the cells they cannot; this imports the plugins."""
    runs, left = [], []
    for item in planned:
        attack = registry.make("attack", item.cell.attack.name, item.cell.attack.params, files)
        if attack.accepts(ThreatModel(**item.cell.threat)):
            runs.append(item)
        else:
            left.append(item.cell)
    return runs, left


def check_accepts(planned: Sequence[Planned], files: Sequence[str] = ()) -> None:
    """Ask every attack whether it can run under its threat model; this imports the plugins.

    Raises:
        UserError: one cannot.
    """
    for cell in accepted(planned, files)[1]:
        raise UserError(
            f"{cell.attack.name} cannot run with access={cell.threat['access']}, share={cell.threat['share']:g}, "
            f"unlabelled={str(cell.threat['unlabelled']).lower()}.",
            f"See `bench show {cell.attack.name}` and set -p threat.NAME=VALUE.",
        )
