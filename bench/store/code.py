"""The identity of code: a module and every project module it imports, docstrings and comments apart. No torch here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from bench import plugin_modules, registry, source_files
from bench.plugin_modules import OUTSIDE, code_digest, imports
from bench.plugin_source import PluginInfo
from bench.source_files import path_of

_TICK = 10**9
"""Nanoseconds by which the time of a file may lie behind the clock."""
_looked = time.time_ns() - _TICK
"""Since when no file was written that has not been read anew."""

_DECIDE_NOTHING = (
    "bench.cli",
    "bench.plan",
    "bench.store",
    "bench.harness.cell",
    "bench.records",
    "bench.guests.child",
    "bench.guests.process",
    "bench.guests.nursery",
    "bench.guests.preload",
    "reports",
)
"""Modules and packages that decide no number of a stage."""
_API = "bench"
"""The module that names the Python API: a new name there moves no number."""


def code_modules(module: str, file: Path | None = None) -> dict[str, Path]:
    """``module`` and the modules it imports, by name, directly or through others.

    Those are modules of the project and, of a guest, those of its package and beside its file.
    """
    out: dict[str, Path] = {}
    queue: list[tuple[str, Path | None]] = [(module, file or path_of(module))]
    while queue:
        name, path = queue.pop()
        if path is None or name in out or name == _API:
            continue
        if any(name == n or name.startswith(f"{n}.") for n in _DECIDE_NOTHING):
            continue
        out[name] = path
        queue += imports(path)
    return out


def code_identity(*modules: str | PluginInfo) -> dict[str, str]:
    """Digest of each project module behind ``modules``, docstrings and comments apart."""
    paths: dict[str, Path] = {}
    for module in modules:
        if isinstance(module, str):
            paths |= code_modules(module)
            continue
        paths |= code_modules(module.module, module.file)
        home = path_of(module.module) if module.guest else None
        if home is not None and home != module.file:  # an entry point names a module that imports the class
            paths |= code_modules(f"{module.module} (entry point)", home)
    return {_name(name): code_digest(path) for name, path in sorted(paths.items())}


def forget() -> None:
    """Read code anew from here on: a notebook outlives the code that its first run had."""
    for known in (source_files.parsed, plugin_modules.code_digest, plugin_modules.imports, registry._from_file):
        known.cache_clear()


def edited(before: Mapping[str, str], plugin: PluginInfo) -> list[str]:
    """Names of the modules behind ``plugin`` whose code is no longer that of ``before``, as `code_identity` gave it."""
    global _looked
    files = code_modules(plugin.module, plugin.file).values()
    if any(not file.is_file() or file.stat().st_ctime_ns >= _looked for file in files):
        _looked = time.time_ns() - _TICK
        forget()
    now = code_identity(plugin)
    other = [name for name in before.keys() | now.keys() if before.get(name) != now.get(name)]
    return sorted(name.removeprefix(OUTSIDE) for name in other)


def _name(module: str) -> str:
    """``module`` as a hash knows it: of a file outside any package, its name without its digest."""
    return module.rpartition("_")[0] if module.startswith(OUTSIDE) else module
