"""The identity of code: a module and every project module it imports, docstrings and comments apart. No torch here."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from bench.hashing import digest
from bench.plugin_source import PluginInfo, parsed, path_of

_OWN = ("bench", "locks", "attacks")
_DECIDE_NOTHING = ("bench.cli", "bench.plan", "bench.store", "bench.run.cell", "bench.records", "reports")
"""Modules and packages that decide no number of a stage."""


def code_modules(module: str, file: Path | None = None) -> dict[str, Path]:
    """``module`` and the project modules it imports, by name, directly or through others."""
    out: dict[str, Path] = {}
    queue: list[tuple[str, Path | None]] = [(module, file)]
    while queue:
        name, place = queue.pop()
        path = place or (path_of(name) if name.split(".")[0] in _OWN else None)
        if path is None or name in out or any(name == n or name.startswith(f"{n}.") for n in _DECIDE_NOTHING):
            continue
        out[name] = path
        queue += [(n, None) for n in _imports(path)]
    return out


@cache
def _imports(path: Path) -> tuple[str, ...]:
    out: list[str] = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            out += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            out.append(node.module)
            out += [f"{node.module}.{a.name}" for a in node.names]
    return tuple(out)


@cache
def _code_digest(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return digest(ast.dump(tree))


def code_identity(*modules: str | PluginInfo) -> dict[str, str]:
    """Digest of each project module behind ``modules``, docstrings and comments apart."""
    paths: dict[str, Path] = {}
    for module in modules:
        paths |= code_modules(module) if isinstance(module, str) else code_modules(module.module, module.file)
    return {name: _code_digest(path) for name, path in sorted(paths.items())}
