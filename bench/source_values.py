"""Values of literal expressions, read without running them. No torch here.

A literal may name a constant of the same file, of a file it imports from, or of a base class; ``{**X}``, ``X | Y`` and
``X + Y`` of literals count as literals.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from bench.source_files import class_of, import_of, parsed


class NotLiteral(ValueError):
    """An expression that is no literal."""


def value_of(node: ast.expr, file: Path, scope: ast.ClassDef | None = None) -> Any:
    """The value of a literal expression.

    Raises:
        NotLiteral: it is none.
    """
    if isinstance(node, ast.Name):
        return _constant(node.id, file, scope)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        owner = class_of(file, node.value.id)
        if owner is not None:
            return _attribute(*owner, node.attr)
    if isinstance(node, ast.Dict):
        out: dict[Any, Any] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                out |= value_of(value, file, scope)
            else:
                out[value_of(key, file, scope)] = value_of(value, file, scope)
        return out
    if isinstance(node, ast.Tuple | ast.List):
        items: list[Any] = []
        for item in node.elts:
            if isinstance(item, ast.Starred):
                items += value_of(item.value, file, scope)
            else:
                items.append(value_of(item, file, scope))
        return tuple(items) if isinstance(node, ast.Tuple) else items
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.Add):
        left, right = value_of(node.left, file, scope), value_of(node.right, file, scope)
        try:
            return left | right if isinstance(node.op, ast.BitOr) else left + right
        except TypeError:
            raise NotLiteral from None
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise NotLiteral from None


def _constant(name: str, file: Path, scope: ast.ClassDef | None) -> Any:
    if scope is not None:
        try:
            return _attribute(file, scope, name, inherit=False)
        except NotLiteral:
            pass
    for node in parsed(file).body:
        target, value = assigned(node)
        if target == name and value is not None:
            return value_of(value, file)
    imported = import_of(file, name)
    if imported is None or imported[0] == file:
        raise NotLiteral
    return _constant(imported[1], imported[0], None)


def _attribute(file: Path, node: ast.ClassDef, name: str, inherit: bool = True) -> Any:
    for item in node.body:
        target, value = assigned(item)
        if target == name and value is not None:
            return value_of(value, file)
    for parent in node.bases if inherit else ():
        above = class_of(file, getattr(parent, "id", ""))
        if above is not None:
            return _attribute(*above, name)
    raise NotLiteral


def assigned(node: ast.stmt) -> tuple[str, ast.expr | None]:
    """Name and value of a plain assignment; an empty name for any other statement."""
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id, node.value
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    return "", None
