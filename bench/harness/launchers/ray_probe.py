"""What a node of a cluster has, looked at there: LockBench, torch, Python, processor, the driver's store.

Nothing here imports LockBench: these functions travel to nodes that may lack it.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGES = ("bench", "locks", "attacks")
"""Packages of LockBench whose code decides numbers."""


def look(token_file: str = "", token: str = "") -> dict[str, Any]:
    """What this machine has.

    Args:
        token_file: a file in the driver's store.
        token: what the file holds, if it is the driver's.

    Returns:
        ``lockbench``: a digest of its code, empty where it is missing; ``version``: of LockBench; ``torch``: its
        version without what follows a plus sign, empty where it is missing; ``python``: major and minor; ``cpu``: its
        kind; ``shares``: whether it sees the driver's store.
    """
    return {
        "lockbench": code(),
        "version": _version("lockbench"),
        "torch": _version("torch").partition("+")[0],
        "python": ".".join(platform.python_version_tuple()[:2]),
        "cpu": cpu(),
        "shares": bool(token) and holds(token_file, token),
    }


def holds(file: str, token: str) -> bool:
    """Whether ``file`` holds ``token``."""
    try:
        return Path(file).read_text(encoding="utf-8") == token
    except (OSError, ValueError):
        return False


def code() -> str:
    """A digest of the code of LockBench as this process would import it; empty where it is missing."""
    out = hashlib.sha256()
    for package in PACKAGES:
        spec = find_spec(package)
        places = list(spec.submodule_search_locations or ()) if spec else []
        if not places:
            return ""
        root = Path(places[0])
        for file in sorted(root.rglob("*.py")):
            out.update(file.relative_to(root.parent).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return out.hexdigest()[:20]


def cpu() -> str:
    """The kind of processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def lacking(nodes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Names of the ``nodes`` that have no LockBench at all: the driver's code goes there with the stages."""
    return [name for name, node in nodes.items() if not node["lockbench"]]


def refusals(nodes: Mapping[str, Mapping[str, Any]], here: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Why nodes cannot serve this machine, and what to do: another LockBench or torch gives other numbers.

    Args:
        nodes: what `look` found, by the node's name.
        here: what it found on this machine.
    """
    out = []
    for name, node in nodes.items():
        for package, words in (("torch", "torch"), ("python", "Python")):
            if node[package] != here[package]:
                has = f"{words} {node[package]}" if node[package] else f"no {words}"
                remedy = f"Install {words} {here[package]} there, or take the node out."
                out.append((f"the node {name} has {has}, this machine {here[package]}", remedy))
        if node["lockbench"] and node["lockbench"] != here["lockbench"]:
            same = node["version"] == here["version"]
            own = f"{node['version'] or 'of an unknown version'}{' with other code' if same else ''}"
            remedy = "Install this machine's LockBench there, or remove it there: then it is sent with the stages."
            out.append((f"the node {name} has LockBench {own}, this machine {here['version']}", remedy))
    return out


def remarks(nodes: Mapping[str, Mapping[str, Any]], here: Mapping[str, Any]) -> list[str]:
    """What whoever waits should know of ``nodes``."""
    others: dict[str, list[str]] = {}
    for name, node in nodes.items():
        if node["cpu"] != here["cpu"]:
            others.setdefault(node["cpu"], []).append(name)
    return [
        f"{_listed(names)} {'has' if len(names) == 1 else 'have'} another processor ({cpu}): "
        "numbers can differ in the last digits from those of this machine"
        for cpu, names in others.items()
    ]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
