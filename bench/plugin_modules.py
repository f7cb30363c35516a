"""Where plugin code lives: the project's own packages, module names of files outside, helpers. No torch here."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from bench.errors import UserError
from bench.hashing import digest
from bench.source_files import OWN, is_own, package_of, parsed, path_of, place_of

OUTSIDE = "lockbench_plugin_"
"""Prefix of the module name of a plugin file outside any package."""


def module_of(file: Path) -> str:
    """The module name of the plugin file ``file``: dotted within its package, else by its name and code.

    The code tells apart two files of one name. It is part of every hash, so a stored class is found again.
    """
    package = package_of(file)
    if package is not None:
        root = package.parent
        return ".".join(file.with_suffix("").relative_to(root).parts)
    return f"{OUTSIDE}{file.stem}_{code_digest(file)[:8]}"


@cache
def code_digest(path: Path) -> str:
    """Digest of the code of ``path``, docstrings and comments apart."""
    tree = parsed(path)
    bodies = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            bodies.append((node, node.body))
            node.body = node.body[1:] or [ast.Pass()]
    code = digest(ast.dump(tree))
    for node, body in bodies:  # others read the tree too
        node.body = body
    return code


@cache
def imports(file: Path) -> tuple[tuple[str, Path], ...]:
    """Name and file of every module that ``file`` imports and whose code decides what it does.

    Those are modules of the project, of the file's own package, and files beside it; installed libraries are not.
    Python runs the ``__init__.py`` of every package on the way to a module, so those count too.
    """
    out: dict[str, Path] = {}
    for name, path in (*_above(file), *_imported(file)):
        if path is not None and path != file and _decides(name, path, file):
            out |= {name: path, **dict(_above(path))}
    return tuple((name, path) for name, path in out.items() if path != file)


def _above(file: Path) -> Iterator[tuple[str, Path]]:
    """The ``__init__.py`` of each package that the outside module ``file`` lies in."""
    package = None if is_own(file) else package_of(file)
    folder = file.parent
    while package is not None and folder.is_relative_to(package):
        yield _name(folder / "__init__.py"), folder / "__init__.py"
        folder = folder.parent


def _imported(file: Path) -> Iterator[tuple[str, Path | None]]:
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, path_of(alias.name, place_of(file))
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield from _relative(node, file)
            elif node.module:
                yield node.module, path_of(node.module, place_of(file))
                for alias in node.names:
                    name = f"{node.module}.{alias.name}"
                    yield name, path_of(name, place_of(file))


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
    parts = file.with_suffix("").relative_to(place_of(file)).parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


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
        folders = dict.fromkeys(place_of(file) for file in self.modules.values())
        for folder in folders:
            for candidate in (folder / f"{fullname}.py", folder / fullname / "__init__.py"):
                if candidate.is_file():
                    places = [str(candidate.parent)] if candidate.name == "__init__.py" else None
                    return importlib.util.spec_from_file_location(
                        fullname, candidate, submodule_search_locations=places
                    )
        plain = [str(folder / fullname) for folder in folders if any((folder / fullname).glob("*.py"))]
        if plain and PathFinder.find_spec(fullname) is None:  # a folder of modules without an __init__.py
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = plain
            return spec
        return None


def refuse_clashes(files: Sequence[Path]) -> None:
    """Whether every name that the plugin files ``files`` import stands for one module.

    Raises:
        UserError: two of them, in different folders, import other code by one name, or lie in packages of one name.
    """
    packages: dict[str, Path] = {}
    helpers: dict[str, Path] = {}
    for file in files:
        package = package_of(file)
        if package is not None and packages.setdefault(package.name, package) != package:
            _refuse(f"two packages of plugins are called '{package.name}'", packages[package.name], package)
        for path in _behind(file):
            top = package_of(path) or path
            other = helpers.setdefault(top.stem, top)
            if other != top and _content(other) != _content(top):
                _refuse(f"two plugins import '{top.stem}'", other, top)


def _refuse(what: str, one: Path, other: Path) -> NoReturn:
    raise UserError(f"{what}, one {one}, one {other}.", "Give one of them another name.")


def _behind(file: Path) -> set[Path]:
    """The outside modules that ``file`` imports, directly or through others."""
    queue: list[Path] = [file]
    done: set[Path] = set()
    while queue:
        at = queue.pop()
        if at not in done:
            done.add(at)
            queue += [path for _, path in imports(at) if not is_own(path)]
    return done - {file}


def _content(module: Path) -> dict[str, str]:
    """Digest of every file of a module or package, by its path in it."""
    files = [module] if module.is_file() else sorted(module.rglob("*.py"))
    return {str(file.relative_to(module)): code_digest(file) for file in files}
