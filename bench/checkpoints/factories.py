"""A function of the owner's own code that makes a network: found without importing it, run in processes of its own.

No torch here.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.paths import user_path
from bench.source_files import package_of

_REMEDY = "Write package.module:function, or path/to/file.py:function."


def split(name: str) -> tuple[str, str]:
    """Module, or file, and function of ``package.module:function``.

    Raises:
        UserError: it has another form.
    """
    place, colon, function = name.rpartition(":")
    if not colon or not place or not function.isidentifier():
        raise UserError(f"the factory '{name}' names no function.", _REMEDY)
    return place, function


def find(name: str) -> Path:
    """The file of the factory ``name``; nothing is imported.

    Raises:
        UserError: there is no such file or module.
    """
    place, _ = split(name)
    if place.endswith(".py"):
        file = user_path(place)
        if file.is_file():
            return file.resolve()
        raise UserError(f"the factory '{name}': there is no file {place}.", _REMEDY)
    parts = place.split(".")
    for root in (Path.cwd(), *(Path(p) for p in sys.path if p)):
        for file in (root.joinpath(*parts).with_suffix(".py"), root.joinpath(*parts, "__init__.py")):
            if file.is_file():
                return file.resolve()
    raise UserError(f"the factory '{name}': there is no module {place}.", _REMEDY)


def canonical(name: str) -> str:
    """``name`` as every process of a run finds it: a module that is not installed by the path of its file.

    Raises:
        UserError: as `find`.
    """
    place, function = split(name)
    file = find(name)
    if not place.endswith(".py") and PathFinder.find_spec(place.partition(".")[0], _installed()) is not None:
        return name
    return f"{file}:{function}"


def _installed() -> list[str]:
    """Where installed packages are: the path of a process that is started elsewhere."""
    return [p for p in sys.path if p and Path(p).resolve() != Path.cwd()]


def load(name: str) -> Callable[..., Any]:
    """The function ``name``; this imports its module, and with it runs the owner's code.

    Raises:
        UserError: there is no such module or function.
    """
    place, function = split(name)
    file = find(name)
    package = package_of(file)
    root = file.parent if package is None else package.parent
    module = ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    if place.endswith(".py") and str(root) not in sys.path:
        sys.path.insert(0, str(root))
    found = getattr(importlib.import_module(module if place.endswith(".py") else place), function, None)
    if not callable(found):
        raise UserError(f"{file.name} has no function '{function}'.", _REMEDY)
    answer: Callable[..., Any] = found
    return answer
