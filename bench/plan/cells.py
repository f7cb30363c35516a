"""One combination of names and parameters -> a checked `Cell`. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench import assets, datasets, registry
from bench.checkpoints import weights
from bench.errors import UserError
from bench.params import BadParameter, Param
from bench.plan.kinds import check_kind, check_values, reason_against
from bench.plan.suite_file import GROUPS
from bench.plan.suites import SuiteLine
from bench.plugin_source import PluginInfo
from bench.records import Cell, PluginRef
from bench.registry import check_against, check_params
from bench.threat import Budget, ThreatModel

TASK = {
    "size": Param("size", "int", 32, "side of the images", ge=datasets.SIZES[0], le=datasets.SIZES[1], unit="pixels"),
    "victim_steps": Param(
        "victim_steps", "int | None", None, "optimiser steps of the victim; none: the architecture's own",
        ge=1, le=1_000_000, unit="steps",
    ),
    "victim_rate": Param(
        "victim_rate", "float | None", None, "the victim's peak rate of AdamW; none: the architecture's own",
        ge=1e-6, le=1,
    ),
    "victim_batch": Param("victim_batch", "int", 64, "images of a step of the victim's training", ge=2, le=4096),
}  # fmt: skip
"""Settings of every task, by name; those of its data sets come beside them."""


def task_params(task: str) -> dict[str, Param]:
    """What ``task.NAME`` can set where the task is ``task``."""
    return TASK | datasets.params(task)


def side_of(line: SuiteLine) -> int:
    """Side of the images of ``line``, pixels.

    Raises:
        UserError: its size is none.
    """
    own = {"size": line.params["task.size"]} if "task.size" in line.params else {}
    return int(str(check_against("task.", TASK, own).get("size", TASK["size"].default)))


def key_method(lock: PluginInfo, task: str, params: Mapping[str, Any]) -> PluginInfo:
    """The key method of ``lock`` on ``task``: what ``lock.key`` says, else that of a pair, else the lock's own.

    Raises:
        UserError: no such key, a key that images are changed by on a pair of domains, a pair's key on one data set, or
            a key in the weights of a lock that withholds none.
    """
    is_pair = datasets.pair(task) is not None
    keys = registry.current().all("key")
    usual = next(info.name for info in keys.values() if info.pair) if is_pair else lock.key
    info = registry.current().find("key", str(params.get("lock.key", usual)))
    if is_pair != info.pair:
        raise UserError(
            f"key '{info.name}' does not go with --task {task}.",
            "The key 'domain' is for SOURCE:TARGET, e.g. digits:fonts; every other key is for one data set.",
        )
    _check_weights(lock, info)
    return info


def _check_weights(lock: PluginInfo, key: PluginInfo) -> None:
    """Whether the lock withholds weights just where the key is in them. A control goes with every key."""
    if key.in_weights and key.guest:
        raise UserError(
            f"key '{key.name}' is in the weights and no part of LockBench.",
            "A key outside LockBench gets images alone: withhold weights from the lock, and use lock.key=weights.",
        )
    own = registry.current().find("key", lock.key)
    if key.in_weights == own.in_weights or lock.role == "control":
        return
    what = "withholds no weights" if key.in_weights else "withholds weights, and they are its key"
    raise UserError(f"key '{key.name}' does not go with the lock '{lock.name}', which {what}.", "Leave lock.key out.")


def fits(attack: str, lock: str, task: str, params: Mapping[str, Any]) -> bool:
    """Whether lock and attack run on ``task``, the attack speaks to the key, and pairs that shall leak exist there."""
    plugins = registry.current()
    method = plugins.find("attack", attack)
    method_lock = plugins.find("lock", lock)
    if reason_against(method, task) or reason_against(method_lock, task):
        return False
    key = key_method(method_lock, task, params)
    return _fits_key(method, key.name, task, params)


def _fits_key(attack: PluginInfo, key: str, task: str, params: Mapping[str, Any]) -> bool:
    """Whether ``attack`` speaks to the key of that name, and pairs that shall leak exist on ``task``."""
    leaked = int(params.get("threat.leaked", 0)) and datasets.pair(task) is not None
    return (not attack.keys or key in attack.keys) and not leaked


def check_used(line: SuiteLine) -> None:
    """Whether every parameter of ``line`` reaches at least one lock, key or attack of it.

    Raises:
        UserError: one does not; or its value is not allowed.
    """
    plugins = registry.current()
    for name in [*line.params, *line.sweep]:
        group, _, field_name = name.partition(".")
        if group in ("threat", "budget", "task"):
            tasks = {name: param for task in line.tasks for name, param in task_params(task).items()}
            known = {"threat": ThreatModel.params, "budget": Budget.params, "task": tasks}[group]
            check_against(f"{group}.", known, {field_name: line.first(name)})
            continue
        if name == "lock.key":
            continue
        infos: list[PluginInfo] = []
        if group == "attack":
            infos = [plugins.find("attack", a) for a in line.attacks]
        else:
            locks = [plugins.find("lock", n) for n in line.locks]
            keys = [key_method(lock, task, line.params) for lock in locks for task in line.tasks]
            infos = keys if group == "key" else [*locks, *keys]
        if not any(field_name in i.params for i in infos):
            merged = {k: v for i in infos for k, v in i.params.items()}
            check_against(f"{group}.", merged, {field_name: line.first(name)})


def make_cell(lock: str, attack: str, task: str, model: str, params: Mapping[str, Any], replicate: int = 0) -> Cell:
    """The cell of one combination. A parameter that a plugin does not have is left to the others of its line.

    Args:
        params: by ``GROUP.NAME``; ``lock.NAME`` reaches into the key where the lock has no such parameter.

    Raises:
        UserError: an unknown name, a value out of range, or an attack that does not speak to the key.
    """
    plugins = registry.current()
    lock_info, attack_info = plugins.find("lock", lock), plugins.find("attack", attack)
    for info in (lock_info, attack_info):
        check_kind(info, task)
    key_info = key_method(lock_info, task, params)
    if attack_info.keys and key_info.name not in attack_info.keys:
        raise UserError(
            f"{attack} attacks {' and '.join(attack_info.keys)} keys; the key of {lock} on {task} is {key_info.name}.",
            "Choose another attack, or set -p lock.key=NAME.",
        )
    if key_info.pair and int(params.get("threat.leaked", 0)):
        raise UserError(f"{task} has no pairs to leak: its two sides are other data.", "Leave threat.leaked at 0.")
    groups = _by_group(params)
    groups["lock"].pop("key", None)
    for name in list(groups["lock"]):
        if name not in lock_info.params and name in key_info.params:
            groups["key"][name] = groups["lock"].pop(name)
    explicit = {
        info.kind: check_params(info, {k: v for k, v in groups[info.kind].items() if k in info.params})
        for info in (lock_info, key_info, attack_info)
    }
    for info in (lock_info, key_info, attack_info):
        explicit[info.kind] = assets.located(info, explicit[info.kind])
    _check_own_key(lock_info, key_info, explicit["key"])
    for info in (lock_info, attack_info):
        check_values(info, task, _values(info, explicit[info.kind]))
    threat, budget = _rights(attack_info, groups)
    known = task_params(task)
    settings = check_against("task.", known, {k: v for k, v in groups["task"].items() if k in known})
    return Cell(
        scenario=datasets.located(task),
        model=weights.located(model),
        lock=_ref(lock_info, explicit["lock"]),
        key=_ref(key_info, explicit["key"]),
        attack=_ref(attack_info, explicit["attack"]),
        threat=threat,
        budget=budget,
        task_settings={f"task.{k}": v for k, v in settings.items() if v != known[k].default},
        replicate=replicate,
    )


def cell_under(cell: Cell, attack: str, params: Mapping[str, Any]) -> Cell | None:
    """``cell`` under another attack; None where that attack cannot run on its task or against its key.

    The lock and its key are as in ``cell``, so their plugins need not be installed.

    Args:
        params: of the attack, the threat model and the budget, by ``GROUP.NAME``; others are left out.

    Raises:
        UserError: an unknown attack, or a value out of range.
    """
    info = registry.current().find("attack", attack)
    groups = _by_group(params)
    if reason_against(info, cell.scenario) or not _fits_key(info, cell.key.name, cell.scenario, params):
        return None
    explicit = check_params(info, {k: v for k, v in groups["attack"].items() if k in info.params})
    check_values(info, cell.scenario, _values(info, explicit))
    threat, budget = _rights(info, groups)
    return cell.model_copy(update={"attack": _ref(info, explicit), "threat": threat, "budget": budget})


def _rights(attack: PluginInfo, groups: Mapping[str, Mapping[str, Any]]) -> tuple[ThreatModel, Budget]:
    """What the attacker has and may spend: what ``groups`` set, and the attack's own defaults."""
    usual = _by_group(attack.defaults)
    try:
        threat = ThreatModel(**{**usual["threat"], **check_against("threat.", ThreatModel.params, groups["threat"])})
        budget = Budget(**{**usual["budget"], **check_against("budget.", Budget.params, groups["budget"])})
        threat.parts()
    except BadParameter as error:
        raise UserError(f"{error}.") from None
    return threat, budget


def _check_own_key(lock: PluginInfo, key: PluginInfo, explicit: Mapping[str, Any]) -> None:
    """Whether a lock that was made elsewhere is judged with its own key, not with one that is drawn here.

    Raises:
        UserError: it is not.
    """
    if lock.role == "given" and key.own and not any(name in explicit for name in key.own):
        raise UserError(
            f"the lock {lock.name} was made elsewhere: a {key.name} key drawn here is not its key.",
            f"Give its own: -p key.{key.own[0]}=…",
        )


def _by_group(params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    out: dict[str, dict[str, Any]] = {group: {} for group in GROUPS}
    for name, value in params.items():
        group, _, field_name = name.partition(".")
        out[group][field_name] = value
    return out


def _values(info: PluginInfo, explicit: Mapping[str, Any]) -> dict[str, Any]:
    return {n: p.default for n, p in info.params.items()} | dict(explicit)


def _ref(info: PluginInfo, explicit: dict[str, Any]) -> PluginRef:
    return PluginRef(
        name=info.name,
        params=_values(info, explicit),
        explicit=explicit,
        role=info.role,
        purpose=info.purpose,
        selection=info.rule(explicit) if info.kind == "attack" else None,
    )


def combinations(sweep: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of swept values, by parameter name; one empty one where nothing is swept."""
    out: list[dict[str, Any]] = [{}]
    for name, values in sweep.items():
        out = [{**chosen, name: value} for chosen in out for value in values]
    return out
