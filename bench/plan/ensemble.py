"""Ensembles of attacks: versioned lists, one for each threat model, read from a suite file. No torch here.

An ensemble is no attack: its members are ordinary cells, and the worst of them is picked from their records
(`reports.rows.ensemble`). Two tables are comparable only at the same version.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.threat import ThreatModel

FOLDER = Path(__file__).parent / "suites"
CURRENT = "ensemble-v5"
ENSEMBLE = "ensemble"
"""The attack of a table row that joins the members of an ensemble."""


@dataclass(frozen=True)
class Member:
    """An attack with its parameters; ``slow`` ones are left out of a quick run.

    Parameters are ``attack.*`` and ``budget.*``, and ``threat.*`` where the attack's own default would leave the threat
    model of the list.
    """

    attack: str
    params: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """What is set of the attack and its budget, by name without its group, sorted; no field of the threat model."""
        own = sorted((k, v) for k, v in self.params.items() if not k.startswith("threat."))
        return {k.partition(".")[2]: v for k, v in own}


@dataclass(frozen=True)
class Threat:
    """One threat model of an ensemble: its name, the fields that are set (``threat.*``), its members."""

    name: str
    params: Mapping[str, Any]
    members: tuple[Member, ...]

    @property
    def model(self) -> ThreatModel:
        """The threat model itself."""
        return ThreatModel(**{name.partition(".")[2]: value for name, value in self.params.items()})

    def check(self, params: Iterable[str], where: str = "") -> None:
        """Whether parameters that stand beside the ensemble leave alone what the threat model states.

        Args:
            where: they stand, such as the name of a file, in front of the message.

        Raises:
            UserError: one does not.
        """
        if own := sorted(self.params.keys() & set(params)):
            raise UserError(
                f"{where}'{own[0]}' cannot be set: the threat model {self.name} of the ensemble states it.",
                "Leave it out, name other threat models, or name the attacks.",
            )


@dataclass(frozen=True)
class Ensemble:
    """A versioned list of attacks for each threat model.

    Args:
        name: its suite.
        version: of the list.
        threats: its threat models.
        nested: whether members of a weaker threat model count under a stronger one, which may leave unused what it has.
    """

    name: str
    version: int
    threats: tuple[Threat, ...]
    nested: bool = False

    def threat(self, name: str) -> Threat:
        """The threat model called ``name``.

        Raises:
            UserError: there is none.
        """
        for threat in self.threats:
            if threat.name == name:
                return threat
        known = ", ".join(t.name for t in self.threats)
        raise UserError(f"{self.name} has no threat model '{name}'.", f"It has: {known}.")


@cache
def read(name: str = CURRENT) -> Ensemble:
    """The ensemble of ``bench/plan/suites/NAME.toml``.

    Raises:
        UserError: no such ensemble, or one that cannot be read.
    """
    known = sorted(f.stem for f in FOLDER.glob("ensemble-*.toml"))
    if name not in known:
        raise UserError(f"no ensemble '{name}'.", f"Ensembles: {', '.join(known)}.")
    file = FOLDER / f"{name}.toml"
    config = tomllib.loads(file.read_text(encoding="utf-8"))
    threats = []
    for entry in config["threat"]:
        members = tuple(Member(m["attack"], m.get("params", {}), m.get("slow", False)) for m in entry["member"])
        threats.append(Threat(entry["name"], {f"threat.{k}": v for k, v in entry["params"].items()}, members))
    return Ensemble(name, int(config["version"]), tuple(threats), bool(config.get("nested", False)))


def name_of(threat: ThreatModel) -> str:
    """The name that the current ensemble gives a threat model, else what it grants of the locked model."""
    return listed_name(threat) or threat.access


def listed_name(threat: ThreatModel) -> str:
    """The name that the current ensemble gives a threat model; empty where it has none."""
    return next((listed.name for listed in read().threats if listed.model == threat), "")


def is_ensemble(file: Path) -> bool:
    """Whether a suite file is the list of an ensemble of the package."""
    return file.stem.startswith("ensemble-") and file.resolve().parent == FOLDER.resolve()
