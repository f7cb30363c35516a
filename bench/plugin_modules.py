"""Where plugin code lives: the project's own packages, module names of files outside, helpers. No torch here."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from bench.hashing import digest
from bench.plugin_source import ROOT, parsed, path_of

OWN = ("bench", "locks", "attacks", "reports")
"""The project's own packages. Their code is trusted; all other plugin code runs as a guest."""
OUTSIDE = "lockbench_plugin_"
"""Prefix of the module name of a plugin file outside any package."""


def is_own(file: Path) -> bool:
    """Whether ``file`` lies in one of the project's own packages."""
    try:
        return file.resolve().relative_to(ROOT).parts[0] in OWN
    except (ValueError, IndexError):
        return False


def module_of(file: Path) -> str:
    """The module name of the plugin file ``file``: dotted within its package, else by its name and code.

    The code tells apart two files of one name. It is part of every hash, so a stored class is found again.
    """
    package = package_of(file)
    if package is not None:
        root = package.parent
        return ".".join(file.with_suffix("").relative_to(root).parts)
    return f"{OUTSIDE}{file.stem}_{code_digest(file)[:8]}"


def package_of(file: Path) -> Path | None:
    """The outermost package folder that ``file`` lies in; None where it stands alone."""
    folder, found = file.parent, None
    while (folder / "__init__.py").is_file():
        found, folder = folder, folder.parent
    return None if found is None or (found.name in OWN and not is_own(file)) else found


@cache
def code_digest(path: Path) -> str:
    """Digest of the code of ``path``, docstrings and comments apart."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return digest(ast.dump(tree))


@cache
def imports(file: Path) -> tuple[tuple[str, Path], ...]:
    """Name and file of every module that ``file`` imports and whose code decides what it does.

    Those are modules of the project, of the file's own package, and files beside it; installed libraries are not.
    """
    out: dict[str, Path] = {}
    for name, path in _imported(file):
        if path is not None and path != file and _decides(name, path, file):
            out[name] = path
    return tuple(out.items())


def _imported(file: Path) -> Iterator[tuple[str, Path | None]]:
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, path_of(alias.name, file.parent)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield from _relative(node, file)
            elif node.module:
                yield node.module, path_of(node.module, file.parent)
                for alias in node.names:
                    name = f"{node.module}.{alias.name}"
                    yield name, path_of(name, file.parent)


def _relative(node: ast.ImportFrom, file: Path) -> Iterator[tuple[str, Path | None]]:
    folder = file.parent
    for _ in range(node.level - 1):
        folder = folder.parent
    base = folder.joinpath(*node.module.split(".")) if node.module else folder
    for place in (base, *(base / alias.name for alias in node.names)):
        for candidate in (place.with_suffix(".py"), place / "__init__.py"):
            if candidate.is_file():
                yield _name(candidate), candidate


def _name(file: Path) -> str:
    package = package_of(file)
    root = file.parent if package is None else package.parent
    return ".".join(file.with_suffix("").relative_to(root).parts)


def _decides(name: str, path: Path, file: Path) -> bool:
    first = name.partition(".")[0]
    if first in OWN:
        return is_own(path)
    if "site-packages" not in path.parts and "dist-packages" not in path.parts:
        return not path.is_relative_to(sys.base_prefix)
    package = package_of(file)  # an installed plugin: its own package counts, its dependencies do not
    return package is not None and path.is_relative_to(package)


class Finder(importlib.abc.MetaPathFinder):
    """Finds plugin modules and the helpers beside them, in a process that runs guests.

    Args:
        modules: file of each plugin module by name.
    """

    def __init__(self, modules: Mapping[str, Path]) -> None:
        self.modules = dict(modules)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module ``fullname``, where it is a plugin's or lies beside one."""
        if fullname in self.modules and path is None:
            return importlib.util.spec_from_file_location(fullname, self.modules[fullname])
        if path is not None or fullname in OWN or fullname in sys.stdlib_module_names:
            return None
        for file in self.modules.values():
            package = package_of(file)
            folder = file.parent if package is None else package.parent
            for candidate in (folder / f"{fullname}.py", folder / fullname / "__init__.py"):
                if candidate.is_file():
                    places = [str(candidate.parent)] if candidate.name == "__init__.py" else None
                    return importlib.util.spec_from_file_location(
                        fullname, candidate, submodule_search_locations=places
                    )
        return None


def helpers_that_clash(files: Sequence[Path]) -> tuple[str, Path, Path] | None:
    """Name and files of two helpers that plugins in different folders import by one name; None where there are none."""
    seen: dict[str, Path] = {}
    for file in files:
        queue = [file]
        done: set[Path] = set()
        while queue:
            at = queue.pop()
            if at in done:
                continue
            done.add(at)
            for name, path in imports(at):
                if is_own(path):
                    continue
                queue.append(path)
                other = seen.setdefault(name, path)
                if other != path and code_digest(other) != code_digest(path):
                    return name, other, path
    return None
