"""Finds plugins: a file in their room, an entry point, or ``--plugin FILE``. No torch here.

The file's place is the registration; nothing is imported until a plugin is loaded. A name stands for one plugin: no
guest takes the name of another plugin of its kind.
"""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib.metadata import EntryPoint, distributions, entry_points
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.params import BadParameter, Param
from bench.plugin_modules import Finder, module_of, refuse_clashes
from bench.plugin_source import BASES, PluginInfo, re_exported, read
from bench.source_files import ROOT, parsed, path_of

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
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)
_POINT = re.compile(r"[\w.]+\s*(:\s*\w+)?\s*", re.ASCII)
"""Names and values of entry points that can be used: a module, perhaps with a class of it."""
PLURAL = {kind: f"{kind}s" for kind in KINDS}


class Registry:
    """Every plugin there is, by kind and name.

    Args:
        files: plugin files outside the packages.

    Raises:
        UserError: a file that cannot be read or holds no plugin.
    """

    def __init__(self, files: Iterable[str | Path] = (), run_guests: bool = True) -> None:
        self.files = tuple(str(Path(file).resolve()) for file in files)
        self.run_guests = run_guests

    @cached_property
    def _outside(self) -> dict[str, dict[str, PluginInfo]]:
        """The plugins of the files, by kind and name."""
        out: dict[str, dict[str, PluginInfo]] = {kind: {} for kind in KINDS}
        found = [info for file in dict.fromkeys(self.files) for info in _from_file(Path(file))]
        names = Counter((info.kind, info.name) for info in found)
        for info in found:
            if names[info.kind, info.name] > 1:  # two files of one name: each is named after its folder too
                info = replace(info, name=f"{info.file.parent.name}-{info.name}")
            _refuse_taken(info, _installed(info.kind).get(info.name) or out[info.kind].get(info.name))
            out[info.kind][info.name] = info
        refuse_clashes(list(dict.fromkeys(info.file for info in found)))
        return out

    @property
    def modules(self) -> dict[str, Path]:
        """File of every module that holds a plugin of the files, by its name."""
        return {info.module: info.file for infos in self._outside.values() for info in infos.values()}

    def all(self, kind: str) -> dict[str, PluginInfo]:
        """The plugins of ``kind`` (lock, attack, key, task, model, editor) by name."""
        return {**_installed(kind), **self._outside[kind]}

    def find(self, kind: str, name: str) -> PluginInfo:
        """The plugin called ``name``.

        Raises:
            UserError: there is none, and the message names the nearest; or an installed package claims its name too.
        """
        known = self.all(kind)
        for useless in _disabled(kind):
            if useless.name == name and (useless.taken or name not in known):
                raise UserError(useless.reason, useless.remedy)
        if name in known:
            return known[name]
        near = difflib.get_close_matches(name, known, 3, 0.5)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise UserError(f"unknown {kind} '{name}'.{hint}", f"Known {PLURAL[kind]}: {', '.join(sorted(known))}.")

    def get(self, kind: str, name: str) -> PluginInfo | None:
        """The plugin called ``name``, or None."""
        return self.all(kind).get(name)

    def with_effect(self, kind: str, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters ``values`` of a plugin without those that have no effect beside the others.

        A parameter that the plugin does not declare stays, and so does every one of a plugin that is not known.
        """
        info = self.get(kind, name)
        declared = {} if info is None else info.params
        return {n: value for n, value in values.items() if n not in declared or declared[n].has_effect(values)}

    def with_purpose(self, kind: str, purpose: str) -> PluginInfo:
        """The built-in control of ``kind`` that is for ``purpose``."""
        return next(info for info in _installed(kind).values() if info.purpose == purpose and not info.guest)

    def make(self, kind: str, name: str, params: Mapping[str, Any] | None = None) -> Any:
        """An object of the plugin ``name`` with ``params``; this imports it."""
        return load(self.find(kind, name))(**(params or {}))

    def warnings(self) -> list[str]:
        """What is wrong with entry points of installed packages: each disables itself and stops nothing."""
        return [f"{each.reason} {each.remedy}" for kind in KINDS for each in _disabled(kind)]


INSTALLED = Registry()
"""The plugins that need no file named."""
_current = INSTALLED


def use(files: Iterable[str | Path] = (), run_guests: bool = True) -> Registry:
    """From now on, this process knows the plugins of ``files`` too; returns its registry.

    Args:
        files: plugin files outside the packages.
        run_guests: False in the harness's own process, where no code of a guest may run.
    """
    global _current
    _current = Registry(files, run_guests) if tuple(files) or not run_guests else INSTALLED
    return _current


def current() -> Registry:
    """The registry of this process."""
    return _current


@dataclass(frozen=True)
class _Disabled:
    """An entry point that is of no use, and why."""

    name: str
    reason: str
    remedy: str
    taken: bool = False


@cache
def _installed(kind: str) -> dict[str, PluginInfo]:
    return _with_entry_points(kind)[0]


@cache
def _disabled(kind: str) -> tuple[_Disabled, ...]:
    return _with_entry_points(kind)[1]


@cache
def _with_entry_points(kind: str) -> tuple[dict[str, PluginInfo], tuple[_Disabled, ...]]:
    """The project's plugins of ``kind`` with those of installed packages, and the entry points that are of no use."""
    package = ROOMS[kind]
    out: dict[str, PluginInfo] = {}
    for file in sorted(ROOT.joinpath(*package.split(".")).glob("*.py")):
        if not file.stem.startswith("_"):
            for info in read(kind, file, f"{package}.{file.stem}"):
                out[info.name] = info
    points, disabled = _points(kind)
    for point in points:
        where = f"the entry point {point.name} = {point.value} ({GROUPS[kind]})"
        if point.name in out:
            text = f"{where} takes the name of another {kind}."
            disabled.append(
                _Disabled(point.name, text, "Rename the entry point, or uninstall the package.", taken=True)
            )
            continue
        try:
            if not _NAME.fullmatch(point.name):
                raise UserError(f"{where} is no name.", "Use letters, digits, - and _.")
            if not _POINT.fullmatch(point.value):
                raise UserError(f"{where} names no module.", "Write package.module, or package.module:Class.")
            found = _at_point(kind, point.module, point.attr)
            if found is None:
                raise UserError(f"{where} names no {kind}.", "Mend its pyproject.toml, or uninstall the package.")
            out[point.name] = replace(found, name=point.name)
        except UserError as error:
            reason = error.message if where in error.message else f"{where} cannot be used: {error.message}"
            disabled.append(_Disabled(point.name, reason, error.remedy))
    return out, tuple(disabled)


def _points(kind: str) -> tuple[list[EntryPoint], list[_Disabled]]:
    """The entry points of ``kind``, and what is said of packages whose own cannot be read."""
    try:
        return list(entry_points(group=GROUPS[kind])), []
    except Exception:  # of many kinds: one package's metadata are no metadata; the others are read one by one
        points: list[EntryPoint] = []
        disabled = []
        for package in distributions():
            try:
                points += package.entry_points.select(group=GROUPS[kind])
            except Exception as error:
                what = f"the entry points of a package at {package.locate_file('')} cannot be read"
                disabled.append(_Disabled("", f"{what} ({type(error).__name__}).", "Install it again."))
        return points, disabled if kind == KINDS[0] else []


def _at_point(kind: str, module: str, name: str) -> PluginInfo | None:
    """The plugin of an entry point: its class, perhaps one that the module imports, or the only one of the module."""
    path = path_of(module)
    if path is None:
        return None
    if name:
        return re_exported(kind, path, module, name)
    found = read(kind, path, module)
    return found[0] if len(found) == 1 else None


def _refuse_taken(info: PluginInfo, other: PluginInfo | None) -> None:
    if other is not None and (other.file.resolve(), other.cls) != (info.file.resolve(), info.cls):
        whose = "another plugin" if other.guest else "one of LockBench's own"
        raise UserError(
            f"{info.file} holds a {info.kind} called '{info.name}', which is the name of {whose}.",
            "Rename the file; a plugin has the name of its file, or of its class where a file holds several.",
        )


@cache
def _from_file(file: Path) -> tuple[PluginInfo, ...]:
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise UserError(f"the plugin {file} {what}.", "Name a Python file that is there.")
    if file.suffix != ".py":
        raise UserError(f"{file} cannot be imported.", "Give it the ending .py.")
    parsed(file)  # no Python is an error of its own
    module = module_of(file)
    found = tuple(info for kind in KINDS for info in read(kind, file, module))
    if found:
        return found
    raise UserError(
        f"{file} holds no plugin.",
        f"It needs a class derived from {', '.join(BASES.values())}; see `bench new`.",
    )


def make_importable(*more: PluginInfo) -> None:
    """Let this process import the plugins of its files, ``more``, and the helpers beside them: not the harness."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, Finder)]
    outside = {info.module: info.file for info in more if path_of(info.module) is None}  # the rest are installed
    sys.meta_path.insert(0, Finder({**_current.modules, **outside}))


def load(info: PluginInfo) -> type[Any]:
    """The plugin's class; this imports it.

    Raises:
        RuntimeError: it is a guest, and this process is the harness's.
    """
    if info.guest:
        if not _current.run_guests:
            raise RuntimeError(f"the {info.kind} {info.name} is a guest: its code runs in processes of its own")
        make_importable(info)
    cls: type[Any] = getattr(importlib.import_module(info.module), info.cls)
    return cls


def check_params(info: PluginInfo, values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` typed and checked against the plugin's fields.

    Raises:
        UserError: no such parameter (the nearest is named), a value out of range (the range is named), or one without
            effect.
    """
    return with_implied(info, check_against(f"{info.kind}.", info.params, values))


def with_implied(info: PluginInfo, explicit: Mapping[str, Any]) -> dict[str, Any]:
    """``explicit`` with the parameters that they imply: what is recorded as set has an effect.

    Raises:
        UserError: a value that has none beside the others.
    """
    out = dict(explicit)
    for name in explicit:
        for other, values in info.params[name].where.items():
            chosen = out.get(other, info.params[other].default)
            if chosen in values:
                continue
            if other in explicit or len(values) > 1:
                wanted = " or ".join(f"{info.kind}.{other}={value}" for value in values)
                raise UserError(
                    f"{info.kind}.{name} has no effect with {info.kind}.{other}={chosen}.",
                    f"Set -p {wanted}, or leave {info.kind}.{name} out.",
                )
            out[other] = values[0]
    return out


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
