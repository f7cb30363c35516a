"""Hyper-parameters of a plugin: typed, bounded, documented class fields.

A field reads ``alpha: float = param(0.5, "weight of the edit", ge=0, le=1)``. Its declaration is
literal, so that `bench.registry` can read it from the source without running (or importing) the plugin.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

Value = int | float | bool | str | None
LARGEST = 2**63 - 1
"""Largest size of a whole number, and what every seed and counter can hold."""
LONGEST = 4096
"""Characters of a text."""
_HIDDEN = ("Cc", "Cs", "Zl", "Zp")
"""Unicode categories that no text of a parameter holds: control characters, surrogates, ends of lines."""


class BadParameter(ValueError):
    """A parameter that does not exist, or a value out of its range; the message says what is allowed."""


@dataclass(frozen=True)
class Param:
    """One declared field: its default, its meaning, and the values it may take."""

    name: str
    type: str
    default: Value
    help: str
    ge: float | None = None
    le: float | None = None
    choices: tuple[Value, ...] | None = None
    unit: str = ""
    where: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """Values of other parameters under which this one has an effect."""

    @property
    def condition(self) -> str:
        """When the parameter has an effect, in words; empty where it always has."""
        return " and ".join(f"{name}={'|'.join(map(str, values))}" for name, values in self.where.items())

    def has_effect(self, values: Mapping[str, Any]) -> bool:
        """Whether the parameter has an effect beside ``values``, the plugin's parameters by name."""
        return all(values.get(name) in allowed for name, allowed in self.where.items())

    @property
    def range(self) -> str:
        """The allowed values in words."""
        if self.choices is not None:
            return " | ".join(str(c) for c in self.choices)
        if self.type == "bool":
            return "true | false"
        if self.ge is None and self.le is None:
            return "any"
        low = "" if self.ge is None else f"{self.ge:g} ≤ "
        return f"{low}{self.name}" + ("" if self.le is None else f" ≤ {self.le:g}")

    def check(self, value: Any) -> Value:
        """``value`` (a string from the command line, or a typed value) in the field's type and range.

        Raises:
            BadParameter: of another type, or out of range.
        """
        parsed = self._parse(value)
        if parsed is None:
            return None
        if self.choices is not None and parsed not in self.choices:
            raise self._bad(value)
        if isinstance(parsed, int | float) and not isinstance(parsed, bool):
            if (self.ge is not None and parsed < self.ge) or (self.le is not None and parsed > self.le):
                raise self._bad(value)
        return parsed

    def _bad(self, value: Any) -> BadParameter:
        text = value if isinstance(value, str | int | float) else type(value).__name__
        try:
            shown = f"{text!s}"
        except ValueError:  # a whole number of more digits than Python writes
            shown = "a number of thousands of digits"
        return BadParameter(f"{self.name}={shown} is not allowed: {self.type}, {self.range}")

    def _parse(self, value: Any) -> Value:
        kind = self.type.removesuffix(" | None")
        text = value.strip() if isinstance(value, str) else value
        if self.type.endswith("| None") and (text is None or (isinstance(text, str) and text.lower() == "none")):
            return None
        try:
            if kind == "bool":
                if isinstance(text, bool):
                    return text
                return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[
                    str(text).lower()
                ]
            if kind == "int":
                if isinstance(text, bool) or (isinstance(text, float) and not text.is_integer()):
                    raise ValueError
                whole = int(text)
                if abs(whole) > LARGEST:
                    raise ValueError
                return whole
            if kind == "float":
                if isinstance(text, bool):
                    raise ValueError
                number = float(text)
                if not math.isfinite(number):
                    raise ValueError
                return number
            if not isinstance(text, str):
                raise ValueError
            if len(text) > LONGEST or any(unicodedata.category(c) in _HIDDEN for c in text):
                raise BadParameter(f"{self.name} must be one line of at most {LONGEST} characters")
            return text
        except BadParameter:
            raise
        except (ValueError, KeyError, TypeError, OverflowError):
            raise self._bad(value) from None


@dataclass(frozen=True)
class _Declaration:
    default: Value
    help: str
    ge: float | None
    le: float | None
    choices: tuple[Value, ...] | None
    unit: str
    where: Mapping[str, tuple[Value, ...]]


def param(
    default: Value,
    help: str,
    *,
    ge: float | None = None,
    le: float | None = None,
    choices: tuple[Value, ...] | None = None,
    unit: str = "",
    where: Mapping[str, tuple[Value, ...]] | None = None,
) -> Any:
    """Declare a hyper-parameter. All arguments must be literals.

    Args:
        default: the value when none is given; it must itself be allowed.
        help: one line: what it does.
        ge: the smallest number allowed.
        le: the largest number allowed.
        choices: the closed list of values allowed.
        unit: what a number counts, where it is not plain.
        where: values of other parameters under which this one has an effect, e.g. ``{"layers": ("lora",)}``. Where a
            user sets this one, the other is implied if there is one value, else a value without effect is refused.
    """
    return _Declaration(default, help, ge, le, choices, unit, where or {})


class Parametrised:
    """A class whose annotated `param` fields are keyword arguments of its constructor."""

    params: ClassVar[Mapping[str, Param]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = dict(cls.params)
        for name, annotation in cls.__dict__.get("__annotations__", {}).items():
            default = cls.__dict__.get(name)
            if isinstance(default, _Declaration):
                text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
                own[name] = declare(name, text, default.__dict__)
                setattr(cls, name, own[name].default)
        cls.params = own

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            if name not in self.params:
                raise BadParameter(
                    f"{type(self).__name__} has no parameter '{name}'; it has {', '.join(self.params) or 'none'}"
                )
            setattr(self, name, self.params[name].check(value))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.values() == other.values()

    def __hash__(self) -> int:
        return hash((type(self), tuple(self.values().items())))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.values().items())})"

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> Any:
        """As a field of a record: JSON holds every parameter by name."""
        from pydantic_core import core_schema

        def read(value: Any) -> Any:
            if isinstance(value, cls):
                return value
            if not isinstance(value, dict):
                raise ValueError(f"{cls.__name__} is an object of its parameters")
            return cls(**value)

        return core_schema.no_info_plain_validator_function(
            read,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda parametrised: parametrised.values()),
        )

    def replace(self, **changes: Any) -> Self:
        """The same with some parameters changed.

        Raises:
            BadParameter: no such parameter, or a value out of range.
        """
        return type(self)(**{**self.values(), **changes})

    def values(self) -> dict[str, Value]:
        """Every parameter with its value in this object."""
        return {name: getattr(self, name) for name in self.params}


def declare(name: str, annotation: str, declaration: Mapping[str, Any]) -> Param:
    """The `Param` of a declaration; its default is checked like any value."""
    field = Param(name=name, type=annotation, **declaration)
    field.check(field.default)
    return field
