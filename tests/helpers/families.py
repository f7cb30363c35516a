"""The processes of a run, found in /proc by the temporary folder that the run was given: guests have it too."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """One process: its number, those of its parent, group and session, and its command line."""

    pid: int
    parent: int
    group: int
    session: int
    line: str


def family(marker: Path) -> dict[int, Process]:
    """The processes, zombies apart, that were started with ``TMPDIR`` set to ``marker``, by number."""
    sign, found = b"TMPDIR=" + os.fsencode(marker) + b"\0", {}
    for at in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if sign not in (at / "environ").read_bytes():
                continue
            state, parent, group, session = (at / "stat").read_text().rpartition(")")[2].split()[:4]
            if state not in "ZX":
                line = (at / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[int(at.name)] = Process(int(at.name), int(parent), int(group), int(session), line)
    return found


def of_role(role: str, marker: Path) -> list[int]:
    """Those of the family that are a ``main``, ``worker``, ``nursery``, ``keeper``, ``guest`` or ``child``."""
    all_ = family(marker)
    return [pid for pid, process in all_.items() if _role(process, all_) == role]


def _role(process: Process, all_: dict[int, Process]) -> str:
    if "bench.harness.launchers.worker" in process.line:
        return "worker"
    if "bench.guests.nursery" not in process.line:
        return "main" if "bench.cli" in process.line else "child"
    above = all_.get(process.parent)
    if above is None or "bench.guests.nursery" not in above.line:
        return "nursery"  # a keeper whose nursery was killed passes for one
    if process.pid == process.session:
        return "keeper" if _role(above, all_) == "nursery" else "child"
    return "guest" if _role(above, all_) == "keeper" else "child"
