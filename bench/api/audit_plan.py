"""The cells of an audit: every attack of the ensemble that fits what the owner has, controls included."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import assets, plan, registry
from bench.api.checkpoint import Reading
from bench.errors import UserError
from bench.legible import visible
from bench.plan import ensemble
from bench.plan.cells import fits
from bench.plan.kinds import reason_against
from bench.plan.suites import ENSEMBLE_BASELINE, SuiteLine
from bench.plan.wording import bracketed, settings_of
from bench.records import Cell

LOCK, BASELINE = "given", "from-scratch"


@dataclass(frozen=True)
class Scope:
    """What of the ensemble an audit runs.

    Args:
        key: ``none``, the name of a key method (its values in ``params``), or the prompt of an edit key.
        quick: leave out the slow members.
        threats, attacks: only these; empty: all.
        params: further parameters by ``GROUP.NAME``, for every line.
        seeds: replicates.
    """

    key: str = "none"
    quick: bool = False
    threats: Sequence[str] = ()
    attacks: Sequence[str] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    seeds: Sequence[int] = (0,)

    @property
    def raw_alone(self) -> bool:
        """Whether authorised images are the raw ones, since there is no key."""
        return self.key in ("", "none")

    def describe(self) -> str:
        """The owner's key, in words."""
        if self.raw_alone:
            return "none: authorised images are the raw ones, so UP and LP are the same (--key)"
        own = {name.removeprefix("key."): value for name, value in self.params.items() if name.startswith("key.")}
        if self.key in registry.current().all("key"):
            return f"{bracketed(self.key, own)}, a key method"
        return f"an edit with the prompt '{visible(self.key)}'" + (f", {', '.join(settings_of(own))}" if own else "")


@dataclass(frozen=True)
class LeftOut:
    """An attack that does not run, and why.

    Args:
        attack: its name with parameters.
        threat: name of the threat model in the ensemble.
        reason: why, a phrase.
    """

    attack: str
    threat: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """What runs and what does not.

    Args:
        planned: cells, controls included, each with its reason.
        left_out: attacks of the ensemble that do not fit.
        threats: names of the ensemble's threat models by what they are.
    """

    planned: list[plan.Planned]
    left_out: list[LeftOut]

    @property
    def cells(self) -> list[Cell]:
        """The cells in the order in which they run."""
        return [p.cell for p in self.planned]


def key_params(scope: Scope) -> dict[str, Any]:
    """Parameters of the owner's key.

    Raises:
        UserError: one word that reads like a key method with a slip, or a prompt that comes with values of another key.
    """
    key, methods = scope.key, registry.current().all("key")
    if scope.raw_alone:
        return {"lock.key": "none"}
    if key in methods:
        return {"lock.key": key}
    word = key.strip().lower().replace("_", "-")
    near = difflib.get_close_matches(word, methods, 1, 0.7) if " " not in word else []
    edit = {f"key.{name}" for name in methods["edit"].params}
    own = [name for name in scope.params if name.startswith("key.") and name not in edit]
    if near or own:
        why = f"'{key}' is no key method" + (f", and {own[0]} is no value of a prompt" if own else "")
        meant = f" Did you mean {near[0]}?" if near else ""
        own_prompt = shlex.quote(f"key.prompt={key}")
        raise UserError(
            f"{why}.{meant}",
            f"Key methods: {', '.join(sorted(methods))}. A prompt that reads like one: --key edit -p {own_prompt}",
        )
    return {"lock.key": "edit", "key.key_choice": "fixed", "key.prompt": key}


def build(reading: Reading, task: str, scope: Scope) -> Plan:
    """The cells of an audit.

    Raises:
        UserError: an unknown name, or nothing fits.
    """
    params, threats, attacks = scope.params, scope.threats, scope.attacks
    listed = ensemble.read()
    for name in threats:
        listed.threat(name)
    members = {member.attack for threat in listed.threats for member in threat.members}
    for name in attacks:
        registry.current().find("attack", name)
        if name not in members:
            raise UserError(
                f"the attack {name} is in no threat model of the ensemble.",
                f"An audit runs {', '.join(sorted(members))}.",
            )
    own = {**key_params(scope), **params}
    own.setdefault("task.size", reading.task_size)
    lines, left = [], []
    for threat in listed.threats:
        if threats and threat.name not in threats:
            continue
        threat.check(params)
        for member in threat.members:
            if attacks and member.attack not in attacks:
                continue
            shown = member.attack + "".join(f" {k}={v}" for k, v in member.settings.items())
            line_params = {**own, **threat.params, **member.params, **_overrides(params, member.attack)}
            reason = _unfit(member, line_params, task, scope.quick)
            if reason:
                left.append(LeftOut(shown, threat.name, reason))
                continue
            for norm in reading.norms:
                lock = {f"lock.{k}": v for k, v in reading.lock.items()}
                lock |= {"lock.norm": "twice"} if norm == "twice" else {}
                own_params = {k: v for k, v in line_params.items() if _reaches(k, member.attack)}
                lines.append(
                    SuiteLine(
                        locks=[LOCK], attacks=[member.attack], tasks=[task], models=[reading.model],
                        params={**own_params, **lock}, replicates=list(scope.seeds), unfit="leave",
                        public_baseline={**ENSEMBLE_BASELINE, **_overrides(params, BASELINE)},
                    )
                )  # fmt: skip
    if not lines:
        reasons = "; ".join(f"{x.attack}: {x.reason}" for x in left[:3])
        none = f"{', '.join(attacks)} is in none of {', '.join(threats)}"
        raise UserError(f"no attack fits ({reasons or none}).", "Name other attacks or threat models.")
    runs, refused = plan.accepted(plan.build(lines))
    names = {(c.attack.name, c.threat.access): reason for c, reason in refused}
    left += [LeftOut(attack, access, reason) for (attack, access), reason in names.items()]
    return Plan(runs, left)


def _overrides(params: Mapping[str, Any], attack: str) -> dict[str, Any]:
    """Parameters for every attack that has them."""
    return {k: v for k, v in params.items() if k.startswith("attack.") and _reaches(k, attack)}


def _reaches(name: str, attack: str) -> bool:
    group, _, field = name.partition(".")
    known = registry.current().all("attack")
    return group != "attack" or field in known[attack].params


def _unfit(member: ensemble.Member, params: Mapping[str, Any], task: str, quick: bool) -> str:
    """Why an attack of the ensemble does not fit what the owner has; "" where it does."""
    info = registry.current().find("attack", member.attack)
    key = str(params["lock.key"])
    if reason := reason_against(info, task):
        return reason
    if quick and member.slow:
        return "slow, and --quick leaves slow ones out"
    if not fits(member.attack, LOCK, task, params):
        return f"it speaks to the key {' or '.join(info.keys)}, and " + (
            "no key is given (--key)" if key == "none" else f"the key is {key}"
        )
    if key == "none" and float(params.get("threat.authorised", 0)) > 0:
        return "it needs authorised images, and no key is given (--key)"
    if key == "none" and int(params.get("threat.leaked", 0)) > 0:
        return "it needs leaked pairs, and no key is given (--key)"
    try:
        assets.check(info)
    except UserError as error:
        return error.message.removesuffix(".")
    return ""
