"""Where Python code lies, and its syntax trees: files, packages, modules found without importing them. No torch."""

from __future__ import annotations

import ast
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from bench.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
OWN = ("bench", "locks", "attacks", "reports")
"""The project's own packages. Their code is trusted; all other plugin code runs as a guest."""


@cache
def is_own(file: Path) -> bool:
    """Whether ``file`` lies in one of the project's own packages."""
    try:
        return file.resolve().relative_to(ROOT).parts[0] in OWN
    except (ValueError, IndexError):
        return False


@cache
def package_of(file: Path) -> Path | None:
    """The outermost package folder that ``file`` lies in; None where it stands alone.

    A package that has the name of another, the project's or one of Python's, cannot be imported: it counts as none.
    """
    folder, found = file.parent, None
    while (folder / "__init__.py").is_file():
        found, folder = folder, folder.parent
    if found is None or is_own(file):
        return found
    return None if found.name in OWN or found.name in sys.stdlib_module_names else found


def place_of(file: Path) -> Path:
    """The folder in which the modules that ``file`` imports by name are looked for: that of its package, or its own."""
    package = package_of(file)
    return file.parent if package is None else package.parent


@cache
def parsed(file: Path) -> ast.Module:
    """The syntax tree of ``file``.

    Raises:
        UserError: it cannot be read, or is no Python.
    """
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the plugin {file}: {error.strerror}.", "Check the path.") from None
    except (SyntaxError, UnicodeDecodeError, ValueError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
        raise UserError(f"the plugin {file} is no valid Python{line}.", "Mend it first.") from None


@cache
def path_of(module: str, beside: Path | None = None) -> Path | None:
    """The file of ``module``, found without importing it: of this project, in the folder ``beside``, or installed.

    Nothing beside a plugin hides a module of the project or of Python.
    """
    first, *rest = module.split(".")
    if first in sys.stdlib_module_names:
        return None
    root = ROOT if first in OWN else beside
    if root is not None:
        base = root.joinpath(first, *rest)
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
    if first in OWN:
        return None
    try:
        spec = find_spec(first)  # a top-level name imports nothing
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for place in spec.submodule_search_locations or ():
        base = Path(place).joinpath(*rest)
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


def import_of(file: Path, name: str) -> tuple[Path, str] | None:
    """File and name behind ``name``, where ``file`` imports it by ``from MODULE import NAME``."""
    for node in parsed(file).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    path = _module_file(node, file)
                    return None if path is None else (path, alias.name)
    return None


def _module_file(node: ast.ImportFrom, file: Path) -> Path | None:
    """The file of the module that ``node`` imports from."""
    if not node.level:
        return path_of(node.module, place_of(file)) if node.module else None
    folder = file.parent
    for _ in range(node.level - 1):
        folder = folder.parent
    base = folder.joinpath(*node.module.split(".")) if node.module else folder
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def class_of(file: Path, name: str) -> tuple[Path, ast.ClassDef] | None:
    """The class ``name`` as ``file`` knows it: its own, or one it imports."""
    for node in parsed(file).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return file, node
    imported = import_of(file, name)
    return None if imported is None or imported[0] == file else class_of(*imported)
