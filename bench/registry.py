"""Finds plugins: a file in ``locks/``, ``attacks/`` or ``bench/keys/``, an entry point, or ``--plugin FILE``.

What a plugin says of itself (fields, ranges, paper, deviations) is read from its source as literals, so that
listing and showing plugins neither runs them nor imports torch. The file's place is the registration.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.params import BadParameter, Param, made

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {
    "lock": ("locks", ROOT / "locks"),
    "attack": ("attacks", ROOT / "attacks"),
    "key": ("bench.keys", ROOT / "bench" / "keys"),
}
BASES = {"lock": "Lock", "attack": "Attack", "key": "KeyMethod"}
GROUPS = {"lock": "bench.locks", "attack": "bench.attacks", "key": "bench.keys"}
PLURAL = {"lock": "locks", "attack": "attacks", "key": "keys"}
_NOT_PLUGINS = {"vocabulary"}
SAID = (
    "title", "paper", "role", "deviations", "published", "files", "key", "keys", "selection", "defaults", "against",
)  # fmt: skip
"""Class variables that are read from a plugin's source."""


@dataclass(frozen=True)
class PluginInfo:
    """What the source of a plugin says of it."""

    kind: str
    name: str
    file: Path
    module: str
    cls: str
    doc: str
    title: str = ""
    paper: str = ""
    role: str = "method"
    deviations: tuple[str, ...] = ()
    key: str = "edit"
    keys: tuple[str, ...] = ()
    selection: str = "last"
    against: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    published: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Param] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The first line of the class docstring."""
        return self.doc.strip().splitlines()[0] if self.doc.strip() else ""


def _literal(node: ast.expr, file: Path, what: str) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):  # no literal, or one that cannot be, as {[]: 1}
        raise UserError(
            f"{file.name}: {what} must be a literal (line {node.lineno}).", "Write the value itself, not an expression."
        ) from None


def read(kind: str, file: Path, module: str) -> PluginInfo | None:
    """The plugin class in ``file``, read without running it; None where the file has none.

    Raises:
        UserError: the file cannot be read, is no Python, has two plugin classes, or a field that is no literal.
    """
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the plugin {file}: {error.strerror}.", "Check the path.") from None
    except SyntaxError as error:
        raise UserError(f"the plugin {file} is no valid Python (line {error.lineno}).", "Mend it first.") from None
    bases = {BASES[kind]}
    found = [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and any(getattr(b, "id", getattr(b, "attr", "")) in bases for b in node.bases)
    ]
    if not found:
        return None
    if len(found) > 1:
        raise UserError(f"{file.name} has {len(found)} plugin classes.", "One plugin is one class in one file.")
    node = found[0]
    said: dict[str, Any] = {}
    params: dict[str, Param] = {}
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.value is not None:
            name, value = item.target.id, item.value
            if isinstance(value, ast.Call) and getattr(value.func, "id", "") == "param":
                names = ("default", "help")
                declared = {n: _literal(a, file, name) for n, a in zip(names, value.args, strict=False)}
                declared |= {k.arg or "": _literal(k.value, file, name) for k in value.keywords}
                full = {"ge": None, "le": None, "choices": None, "unit": "", **declared}
                try:
                    params[name] = made(name, ast.unparse(item.annotation), full)
                except BadParameter as error:
                    raise UserError(f"{file.name}: {error}.", "A default must itself be allowed.") from None
            elif "ClassVar" in ast.unparse(item.annotation):
                said[name] = _literal(value, file, name)
        elif isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
            name = item.targets[0].id
            if name in SAID:
                said[name] = _literal(item.value, file, name)
    return PluginInfo(
        kind=kind,
        name=file.stem.strip("_").replace("_", "-"),
        file=file,
        module=module,
        cls=node.name,
        doc=ast.get_docstring(node) or "",
        params=params,
        **{k: said[k] for k in said if k in PluginInfo.__dataclass_fields__},
    )


@cache
def _installed(kind: str) -> dict[str, PluginInfo]:
    package, folder = ROOMS[kind]
    out: dict[str, PluginInfo] = {}
    for file in sorted(folder.glob("*.py")):
        if not file.stem.startswith("_") and not (kind == "key" and file.stem in _NOT_PLUGINS):
            info = read(kind, file, f"{package}.{file.stem}")
            if info is not None:
                out[info.name] = info
    for point in entry_points(group=GROUPS[kind]):
        spec = importlib.util.find_spec(point.module)
        if spec is not None and spec.origin:
            info = read(kind, Path(spec.origin), point.module)
            if info is not None:
                out[point.name] = info
    return out


def _from_file(file: Path) -> PluginInfo:
    for kind in BASES:
        info = read(kind, file.resolve(), f"lockbench_plugin_{file.stem}")
        if info is not None:
            return info
    raise UserError(
        f"{file} holds no plugin.", "It needs a class derived from Lock, Attack or KeyMethod; see `bench new`."
    )


def find_all(kind: str, files: Iterable[str | Path] = ()) -> dict[str, PluginInfo]:
    """Every plugin of ``kind`` (lock, attack, key) by name, those of ``files`` included."""
    out = dict(_installed(kind))
    for file in files:
        info = _from_file(Path(file))
        if info.kind == kind:
            out[info.name] = info
    return out


def find(kind: str, name: str, files: Iterable[str | Path] = ()) -> PluginInfo:
    """The plugin called ``name``.

    Raises:
        UserError: there is none; the message names the nearest.
    """
    known = find_all(kind, files)
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, 3, 0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise UserError(f"unknown {kind} '{name}'.{hint}", f"Known {PLURAL[kind]}: {', '.join(sorted(known))}.")


def load(info: PluginInfo) -> type[Any]:
    """The plugin's class; this imports it."""
    if info.module.startswith("lockbench_plugin_"):
        if info.module not in sys.modules:
            spec = importlib.util.spec_from_file_location(info.module, info.file)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[info.module] = module
            spec.loader.exec_module(module)
        return getattr(sys.modules[info.module], info.cls)
    return getattr(importlib.import_module(info.module), info.cls)


def make(kind: str, name: str, params: Mapping[str, Any], files: Iterable[str | Path] = ()) -> Any:
    """An object of the plugin ``name`` with ``params``."""
    return load(find(kind, name, files))(**params)


def check_params(info: PluginInfo, given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` typed and checked against the plugin's fields.

    Raises:
        UserError: no such parameter (the nearest is named), or a value out of range (the range is named).
    """
    return check_against(f"{info.kind}.", info.params, given)


def check_against(prefix: str, params: Mapping[str, Param], given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` typed and checked against declared ``params``; errors speak of ``prefix`` + name."""
    out = {}
    for name, value in given.items():
        if name not in params:
            near = difflib.get_close_matches(name, params, 2, 0.5)
            hint = f" Did you mean {prefix}{near[0]}?" if near else ""
            raise UserError(f"no parameter '{prefix}{name}'.{hint}", f"There are: {', '.join(params) or 'none'}.")
        try:
            out[name] = params[name].check(value)
        except BadParameter as error:
            raise UserError(f"{prefix}{error}.", f"Default: {params[name].default}.") from None
    return out


# The identity of code: the plugin and every project module it imports, docstrings and comments apart.

_OWN = ("bench", "locks", "attacks")
_OUTSIDE = ("bench.cli", "bench.plan", "bench.store", "bench.run.cell", "bench.records", "reports")
"""Modules and packages that decide no number of a stage."""


def code_modules(module: str, file: Path | None = None) -> dict[str, Path]:
    """``module`` and the project modules it imports, by name, directly or through others."""
    out: dict[str, Path] = {}
    queue: list[tuple[str, Path | None]] = [(module, file)]
    while queue:
        name, path = queue.pop()
        path = path or _path_of(name)
        if path is None or name in out or name.startswith(tuple(f"{o}." for o in _OUTSIDE)) or name in _OUTSIDE:
            continue
        out[name] = path
        queue += [(n, None) for n in _imports(path)]
    return out


@cache
def _path_of(module: str) -> Path | None:
    if module.split(".")[0] not in _OWN:
        return None
    base = ROOT.joinpath(*module.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.exists():
            return candidate
    return None


@cache
def _imports(path: Path) -> tuple[str, ...]:
    out: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            out += [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            out.append(node.module)
            out += [f"{node.module}.{a.name}" for a in node.names]
    return tuple(out)


@cache
def _code_digest(path: Path) -> str:
    from bench.records import digest

    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return digest(ast.dump(tree))


def code_identity(*modules: str | tuple[str, Path]) -> dict[str, str]:
    """Digest of each project module behind ``modules``, docstrings and comments apart."""
    found: dict[str, Path] = {}
    for module in modules:
        found |= code_modules(module) if isinstance(module, str) else code_modules(*module)
    return {name: _code_digest(path) for name, path in sorted(found.items())}
