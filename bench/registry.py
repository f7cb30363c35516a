"""Finds plugins: a file in their room, an entry point, or ``--plugin FILE``. No torch here.

The file's place is the registration; nothing is imported until a plugin is loaded.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, cached_property
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.params import BadParameter, Param
from bench.plugin_source import BASES, ROOT, PluginInfo, path_of, read

KINDS = tuple(BASES)
ROOMS = {
    "lock": "locks",
    "attack": "attacks",
    "key": "bench.keys",
    "task": "bench.datasets",
    "model": "bench.architectures",
    "editor": "bench.editors",
}
"""Kind of plugin -> the package whose files are plugins of that kind."""
GROUPS = {kind: f"bench.{kind}s" for kind in KINDS}
"""Kind of plugin -> its entry-point group."""
PLURAL = {kind: f"{kind}s" for kind in KINDS}
_OUTSIDE = "lockbench_plugin_"
"""Prefix of the module name of a plugin file outside any package."""


class Registry:
    """Every plugin there is, by kind and name.

    Args:
        files: plugin files outside the packages.

    Raises:
        UserError: a file that cannot be read or holds no plugin.
    """

    def __init__(self, files: Iterable[str | Path] = ()) -> None:
        self.files = tuple(str(Path(file).resolve()) for file in files)

    @cached_property
    def _outside(self) -> list[PluginInfo]:
        return [_from_file(Path(file)) for file in self.files]

    def all(self, kind: str) -> dict[str, PluginInfo]:
        """The plugins of ``kind`` (lock, attack, key, task, model, editor) by name."""
        return {**_installed(kind), **{info.name: info for info in self._outside if info.kind == kind}}

    def find(self, kind: str, name: str) -> PluginInfo:
        """The plugin called ``name``.

        Raises:
            UserError: there is none; the message names the nearest.
        """
        known = self.all(kind)
        if name in known:
            return known[name]
        near = difflib.get_close_matches(name, known, 3, 0.5)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UserError(f"unknown {kind} '{name}'.{hint}", f"Known {PLURAL[kind]}: {', '.join(sorted(known))}.")

    def get(self, kind: str, name: str) -> PluginInfo | None:
        """The plugin called ``name``, or None."""
        return self.all(kind).get(name)

    def with_purpose(self, kind: str, purpose: str) -> PluginInfo:
        """The built-in control of ``kind`` that is for ``purpose``."""
        return next(info for info in _installed(kind).values() if info.purpose == purpose)

    def make(self, kind: str, name: str, params: Mapping[str, Any] | None = None) -> Any:
        """An object of the plugin ``name`` with ``params``; this imports it."""
        return load(self.find(kind, name))(**(params or {}))


INSTALLED = Registry()
"""The plugins that need no file named."""
_current = INSTALLED


def use(files: Iterable[str | Path] = ()) -> Registry:
    """From now on, this process knows the plugins of ``files`` too; returns its registry."""
    global _current
    _current = Registry(files) if tuple(files) else INSTALLED
    return _current


def current() -> Registry:
    """The registry of this process."""
    return _current


@cache
def _installed(kind: str) -> dict[str, PluginInfo]:
    package = ROOMS[kind]
    out: dict[str, PluginInfo] = {}
    for file in sorted(ROOT.joinpath(*package.split(".")).glob("*.py")):
        if not file.stem.startswith("_"):
            info = read(kind, file, f"{package}.{file.stem}")
            if info is not None:
                out[info.name] = info
    for point in entry_points(group=GROUPS[kind]):
        path = path_of(point.module)
        info = None if path is None else read(kind, path, point.module)
        if info is not None:
            out[point.name] = replace(info, name=point.name)
    return out


@cache
def _from_file(file: Path) -> PluginInfo:
    for kind in KINDS:
        info = read(kind, file, f"{_OUTSIDE}{file.stem}")
        if info is not None:
            return info
    raise UserError(
        f"{file} holds no plugin.",
        f"It needs a class derived from {', '.join(BASES.values())}; see `bench new`.",
    )


def load(info: PluginInfo) -> type[Any]:
    """The plugin's class; this imports it."""
    if info.module.startswith(_OUTSIDE) and info.module not in sys.modules:
        spec = importlib.util.spec_from_file_location(info.module, info.file)
        if spec is None or spec.loader is None:
            raise UserError(f"{info.file} cannot be imported.", "Give it the ending .py.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[info.module] = module
        spec.loader.exec_module(module)
    cls: type[Any] = getattr(importlib.import_module(info.module), info.cls)
    return cls


def check_params(info: PluginInfo, values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` typed and checked against the plugin's fields.

    Raises:
        UserError: no such parameter (the nearest is named), or a value out of range (the range is named).
    """
    return check_against(f"{info.kind}.", info.params, values)


def check_against(prefix: str, params: Mapping[str, Param], values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` typed and checked against declared ``params``; errors speak of ``prefix`` + name."""
    out = {}
    for name, value in values.items():
        if name not in params:
            near = difflib.get_close_matches(name, params, 2, 0.5)
            hint = f" Did you mean {prefix}{near[0]}?" if near else ""
            raise UserError(f"no parameter '{prefix}{name}'.{hint}", f"There are: {', '.join(params) or 'none'}.")
        try:
            out[name] = params[name].check(value)
        except BadParameter as error:
            raise UserError(f"{prefix}{error}.", f"Default: {params[name].default}.") from None
    return out
