"""What the source of a plugin says of it, read without running it. No torch here.

Class variables and parameters are literals, as `bench.source_values` reads them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.params import BadParameter, Param, declare
from bench.selection import SelectionRule, rule
from bench.source_files import class_of, is_own, parsed
from bench.source_values import NotLiteral, assigned, value_of
from bench.threat import Budget, ThreatModel

CONTRACTS = "bench.contracts"
BASES = {
    "lock": "Lock",
    "attack": "Attack",
    "key": "KeyMethod",
    "task": "DataSource",
    "model": "Architecture",
    "editor": "EditorSource",
}
"""Kind of plugin -> the class of `bench.contracts` it derives from."""
ROLES = ("method", "control", "given")


@dataclass(frozen=True)
class PluginInfo:
    """What the source of a plugin says of it; the fields are those of `bench.contracts`."""

    kind: str
    name: str
    file: Path
    module: str
    cls: str
    doc: str
    title: str = ""
    paper: str = ""
    role: Any = "method"
    purpose: Any = ""
    deviations: tuple[str, ...] = ()
    published: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    quick: Mapping[str, Any] = field(default_factory=dict)
    key: str = "edit"
    opened_by: str = ""
    keys: tuple[str, ...] = ()
    selection: Any = "last"
    against: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    pair: bool = False
    costly: bool = False
    model_if: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    language_model_if: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    in_weights: bool = False
    prefix: bool = False
    tasks: tuple[str, ...] = ("classification",)
    unsuited: str = ""
    unsuited_values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    licence: str = ""
    archives: Mapping[str, Any] = field(default_factory=dict)
    unpacked: tuple[str, ...] = ()
    package: str = ""
    remedy: str = ""
    parts: Mapping[str, Any] = field(default_factory=dict)
    reads: Mapping[str, Any] = field(default_factory=dict)
    images_of: str = ""
    split_alike: bool = False
    steps: int = 500
    params: Mapping[str, Param] = field(default_factory=dict)

    @property
    def guest(self) -> bool:
        """Whether it is not the project's own: its code then runs in processes of its own."""
        return not is_own(self.file)

    @property
    def summary(self) -> str:
        """The first line of the class docstring."""
        return self.doc.strip().splitlines()[0] if self.doc.strip() else ""

    def asks_language_model(self, params: Mapping[str, Any]) -> bool:
        """Whether it asks a language model under ``params``."""
        return any(params.get(name) in values for name, values in self.language_model_if.items())

    def rule(self, chosen: Mapping[str, Any]) -> SelectionRule:
        """The selection rule under the parameters ``chosen``: that of ``select`` where there is such a parameter."""
        if "select" in self.params:
            return rule(str(chosen.get("select", self.params["select"].default)))
        return rule(self.selection)


_HARNESS = {"kind", "name", "file", "module", "cls", "doc", "params"}
CONSTANTS = frozenset(f.name for f in fields(PluginInfo)) - _HARNESS
"""Class variables that are read."""


def _lineage(file: Path, node: ast.ClassDef, base: str) -> list[tuple[Path, ast.ClassDef]] | None:
    """``node`` and the classes between it and the contract ``base``, nearest first; None where it does not derive."""
    for parent in node.bases:
        name = getattr(parent, "id", getattr(parent, "attr", ""))
        if name == base and not _is_own_class(file, name):
            return [(file, node)]
        above = None if name == node.name else class_of(file, name)
        if above is not None:
            line = _lineage(*above, base)
            if line is not None:
                return [(file, node), *line]
    return None


def _is_own_class(file: Path, name: str) -> bool:
    return any(isinstance(node, ast.ClassDef) and node.name == name for node in parsed(file).body)


def _literal(node: ast.expr, file: Path, what: str, scope: ast.ClassDef) -> Any:
    try:
        return value_of(node, file, scope)
    except NotLiteral:
        raise UserError(
            f"{file.name}: {what} must be a literal (line {node.lineno}).", "Write the value itself, not an expression."
        ) from None


def _param(name: str, annotation: ast.expr, call: ast.Call, file: Path, scope: ast.ClassDef) -> Param:
    names = ("default", "help")
    declaration = {n: _literal(a, file, name, scope) for n, a in zip(names, call.args, strict=False)}
    declaration |= {k.arg or "": _literal(k.value, file, name, scope) for k in call.keywords}
    if wrong := _wrong_declaration(call, declaration):
        raise UserError(
            f"{file.name}: the parameter {name} is declared wrongly: {wrong} (line {call.lineno}).",
            "param() takes a default and help, and ge, le, choices, unit and where.",
        )
    full = {"ge": None, "le": None, "choices": None, "unit": "", "where": {}, **declaration}
    try:
        return declare(name, ast.unparse(annotation), full)
    except BadParameter as error:
        raise UserError(f"{file.name}: {error}.", "A default must itself be allowed.") from None
    except TypeError as error:
        raise UserError(
            f"{file.name}: the parameter {name} is declared wrongly: {error}.",
            "param() takes a default and help, and ge, le, choices, unit and where.",
        ) from None


def _wrong_declaration(call: ast.Call, declaration: Mapping[str, Any]) -> str:
    """What is wrong with the arguments of a ``param()``; empty where nothing is."""
    if len(call.args) > 2:
        return "more than two arguments without a name"
    for name in ("help", "unit"):
        if not isinstance(declaration.get(name, ""), str):
            return f"{name} is no text"
    for name in ("ge", "le"):
        bound = declaration.get(name)
        if isinstance(bound, bool) or not isinstance(bound, int | float | None):
            return f"{name} is no number"
    if not isinstance(declaration.get("choices"), tuple | list | None):
        return "choices are no tuple"
    where = declaration.get("where", {})
    if not isinstance(where, dict) or not all(isinstance(values, tuple | list) for values in where.values()):
        return "where is no dict of tuples"
    return ""


def read(kind: str, file: Path, module: str) -> list[PluginInfo]:
    """The plugin classes of ``kind`` in ``file``, read without running it.

    A plugin has the name of its file. Where a file holds several of a kind, each has the name of its class, such as
    ``blue-tint`` for ``BlueTint``.

    Raises:
        UserError: the file cannot be read, is no Python, or has a field that is no literal.
    """
    lines = {
        node.name: line
        for node in parsed(file).body
        if isinstance(node, ast.ClassDef) and (line := _lineage(file, node, BASES[kind])) is not None
    }
    above = {node.name for line in lines.values() for _, node in line[1:]}
    names = [name for name in lines if name not in above]
    one = file.stem.strip("_").replace("_", "-")
    return [
        _info(kind, file, module, lines[name], one if len(names) == 1 else _hyphened(name))
        for name in names
        if len(names) == 1 or not name.startswith("_")
    ]


def re_exported(kind: str, file: Path, module: str, name: str) -> PluginInfo | None:
    """The plugin class that ``file`` knows as ``name``, its own or one that it imports; None where it knows none.

    Raises:
        UserError: as `read`.
    """
    found = class_of(file, name)
    line = None if found is None else _lineage(*found, BASES[kind])
    return None if line is None else replace(_info(kind, file, module, line, file.stem), file=line[0][0], cls=name)


def _hyphened(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def _info(kind: str, file: Path, module: str, line: list[tuple[Path, ast.ClassDef]], plugin: str) -> PluginInfo:
    constants: dict[str, Any] = {}
    params: dict[str, Param] = {}
    for place, node in reversed(line):
        for item in node.body:
            name, value = assigned(item)
            if value is None:
                continue
            calls_param = isinstance(value, ast.Call) and getattr(value.func, "id", "") == "param"
            if isinstance(item, ast.Assign) and calls_param:
                raise UserError(
                    f"{place.name}, line {item.lineno}: the parameter {name} has no type.",
                    f"Write it before the sign: {name}: float = param(…)",
                )
            if isinstance(item, ast.AnnAssign) and isinstance(value, ast.Call) and calls_param:
                params[name] = _param(name, item.annotation, value, place, node)
            elif name in params and isinstance(item, ast.Assign):
                raise UserError(
                    f"{place.name}: {name} is a parameter of the base class (line {item.lineno}).",
                    f"Declare it again: {name}: {params[name].type} = param(…).",
                )
            elif name in CONSTANTS and (name != "steps" or kind == "model"):  # a lock may have a parameter of that name
                constants[name] = _literal(value, place, name, node)
    node = line[0][1]
    _check_constants(file, constants)
    for param in params.values():
        for other, values in param.where.items():
            if other not in params or any(value not in (params[other].choices or values) for value in values):
                raise UserError(
                    f"{file.name}: {param.name} names {other}={'|'.join(map(str, values))}, which cannot be.",
                    "Name parameters of the class, and values that they take.",
                )
    info = PluginInfo(
        kind=kind,
        name=plugin,
        file=file,
        module=module,
        cls=node.name,
        doc=ast.get_docstring(node) or "",
        params=params,
        **constants,
    )
    _check_privileges(info)
    return info


_DUE = {
    "str": ("text", "a string"),
    "int": ("count", "a whole number from 1 up"),
    "bool": ("truth value", "True or False"),
    "tuple": ("tuple of names", 'names in parentheses, e.g. ("one",)'),
    "Mapping": ("dict", "a dict"),
    "role": ("role", f"one of {', '.join(ROLES)}"),
    "purpose": ("text", "a string, or leave it out"),
    "selection": ("selection rule", "the name of a rule, or a pair of a name and a sentence"),
}
"""Type of a class variable, or its name -> what it is called, and what is due."""


def _check_constants(file: Path, constants: Mapping[str, Any]) -> None:
    for each in fields(PluginInfo):
        if each.name not in constants:
            continue
        value = constants[each.name]
        kind = str(each.type)
        wrong = (
            (kind == "str" and not isinstance(value, str))
            or (kind == "int" and (not isinstance(value, int) or isinstance(value, bool) or value < 1))
            or (kind == "bool" and not isinstance(value, bool))
            or (kind.startswith("tuple") and not _is_names(value))
            or (kind.startswith("Mapping") and not isinstance(value, dict))
            or (each.name == "role" and value not in ROLES)
            or (each.name == "purpose" and not isinstance(value, str))
            or (each.name == "selection" and not isinstance(value, str) and not (_is_names(value) and len(value) == 2))
        )
        if wrong:
            what, due = _DUE.get(each.name) or _DUE[kind.partition("[")[0]]
            raise UserError(f"{file.name}: {each.name} is no {what}.", f"Give it {due}.")
    for name, value in constants.get("defaults", {}).items():
        group, _, field_name = str(name).partition(".")
        declared = {"threat": ThreatModel.params, "budget": Budget.params}.get(group, {})
        if field_name not in declared:
            raise UserError(f"{file.name}: defaults holds '{name}'.", "Name fields threat.… and budget.… alone.")
        try:
            declared[field_name].check(value)
        except BadParameter as error:
            raise UserError(f"{file.name}: defaults: {group}.{error}.", "Give a value that is allowed.") from None


def _is_names(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(isinstance(item, str) for item in value)


def _check_privileges(info: PluginInfo) -> None:
    """Controls, and rules by which the judge chooses, are the suite's own.

    Raises:
        UserError: a guest claims one, a selection rule is not known, or an attack that is no control has one by which
            the judge chooses.
    """
    if info.guest and (info.role == "control" or info.purpose):
        raise UserError(f"{info.file.name}: a plugin cannot be a control of the suite.", "Leave out role and purpose.")
    if info.guest and (info.parts or info.reads):
        raise UserError(
            f"{info.file.name}: parts and reads are for the suite's own sets.", "Write prefix = True: NAME:FOLDER."
        )
    if info.kind != "attack":
        return
    select = info.params.get("select")
    choices: list[Any] = [info.selection] if select is None else list(select.choices or [select.default])
    for declared in choices:
        try:
            chosen = rule(declared)
        except UserError as error:
            raise UserError(f"{info.file.name}: {error.message}", error.remedy) from None
        if chosen.by_judge and not chosen.peeks and info.role != "control":
            raise UserError(
                f"{info.file.name}: by selection '{chosen.name}' the judge chooses; controls alone may have it.",
                'Choose by what the attack holds, e.g. selection = "held-out".',
            )
