"""Whatever is typed is planned, or refused by a `UserError`: parameters, seeds, tasks, models, editors, suites."""

from __future__ import annotations

import datetime
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
from hostile import examples, names, params, scalars, texts, trees, values
from hypothesis import given
from hypothesis import strategies as st

from bench import datasets, plan, registry
from bench.editors import loading
from bench.errors import LONGEST, UserError
from bench.params import BadParameter, Param
from bench.plan.checks import check_file, check_model
from bench.plan.suite_file import KEYS

SUITE_FILES = [*sorted(plan.SUITES.glob("*.toml")), *sorted((plan.SUITES.parent / "tuning").glob("*.toml"))]
FIELDS = [
    field for kind in registry.KINDS for info in registry.INSTALLED.all(kind).values() for field in info.params.values()
]


def answered(call: Callable[[], Any]) -> Any:
    """What ``call`` returns; or, where it refuses, nothing, after a look at how it says so."""
    try:
        return call()
    except UserError as error:
        for text in (error.message, error.remedy):
            assert text.isprintable() or text == ""
            assert len(text) <= 12 * LONGEST
        assert error.message
        return None


def _line(**more: Any) -> plan.SuiteLine:
    base = {"locks": ["modellock"], "attacks": ["prompt-search"], "tasks": ["digits"], "models": ["cnn"]}
    return plan.SuiteLine(**{**base, **more})


@given(st.sampled_from(FIELDS), st.one_of(scalars(), values(), trees()))
@examples(150, 2500)
def test_a_value_is_checked(field: Param, value: Any) -> None:
    try:
        checked = field.check(value)
    except BadParameter:
        return
    assert checked is None or isinstance(checked, bool | int | float | str)
    assert not isinstance(checked, float) or math.isfinite(checked)


@given(st.lists(params(), max_size=3), names(hostile.LOCKS), names(hostile.ATTACKS))
@examples(100, 2500)
def test_parameters(given_params: list[str], lock: str, attack: str) -> None:
    answered(lambda: plan.build([_line(locks=[lock], attacks=[attack], params=plan.parse_params(given_params))]))


@given(st.lists(params(), max_size=2), st.lists(values(), max_size=4))
@examples(60, 1200)
def test_sweeps(given_params: list[str], more: list[str]) -> None:
    swept = [f"{text},{','.join(more)}" for text in given_params]
    answered(lambda: plan.build([_line(sweep=plan.parse_sweeps(swept))]))


@given(st.one_of(texts(), values(), st.builds("{}:{}".format, values(), values())))
@examples(60, 1200)
def test_seeds(text: str) -> None:
    found = answered(lambda: plan.parse_seeds(text))
    assert found is None or 0 < len(found) <= 1000


@given(st.one_of(names(hostile.TASKS), st.builds("{}:{}".format, names(hostile.TASKS), names(hostile.TASKS))))
@examples(60, 1200)
def test_tasks(task: str) -> None:
    answered(lambda: datasets.check(task))
    answered(lambda: datasets.check_data(task))
    answered(lambda: plan.build([_line(tasks=[task], attacks=["none"])]))


@given(names(hostile.MODELS), st.integers(16, 256))
@examples(30, 300)
def test_models(model: str, size: int) -> None:
    answered(lambda: check_model(model, size))


@given(texts())
@examples(30, 400)
def test_editors_and_files(text: str) -> None:
    answered(lambda: loading.check_available(text))
    answered(lambda: check_file("lock.file", text, weights=True))


def toml(value: Any) -> str:
    """``value`` as TOML, as far as it has a form there."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return format(value, "d")
    if isinstance(value, float):
        return {math.inf: "inf", -math.inf: "-inf"}.get(value, "nan" if math.isnan(value) else repr(value))
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml(k)} = {toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, datetime.date):
        return value.isoformat()
    escaped = (f"\\U{ord(c):08x}" if not 31 < ord(c) < 127 or c in '"\\' else c for c in str(value))
    return f'"{"".join(escaped)}"'


KEY = st.one_of(st.sampled_from([*KEYS, "row", "version", "threat"]), texts())
GOOD = st.one_of(
    *(st.lists(names(known), max_size=3) for known in (hostile.LOCKS, hostile.ATTACKS, hostile.TASKS, hostile.MODELS)),
    st.dictionaries(st.builds("{}.{}".format, st.sampled_from(hostile.GROUPS), st.sampled_from(hostile.FIELDS)),
                    st.one_of(scalars(), st.lists(scalars(), max_size=3)), max_size=2),
    st.sampled_from(["ensemble-v2", "leave", True, False, 1, 3, "0:2", datetime.date(2020, 1, 1)]),
)  # fmt: skip
TABLE = st.dictionaries(KEY, st.one_of(GOOD, GOOD, trees()), max_size=5)


@given(TABLE, st.lists(TABLE, max_size=3))
@examples(100, 2500)
def test_suites_of_any_keys_and_values(above: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    def write(table: dict[str, Any]) -> str:
        return "".join(f"{toml(k)} = {toml(v)}\n" for k, v in table.items() if v is not None)

    _read("".join([write(above), *(f"[[row]]\n{write(row)}" for row in rows)]).encode())


@given(st.sampled_from(SUITE_FILES), st.data())
@examples(60, 1500)
def test_suites_with_a_slip(file: Path, data: st.DataObject) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(0, len(content) - 1)))
        content[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=6) | texts().map(_bytes))
    _read(bytes(content))


@given(st.binary(max_size=200))
@examples(30, 500)
def test_suites_of_any_bytes(content: bytes) -> None:
    _read(content)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _read(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "s.toml"
        file.write_bytes(content)
        _plan(file)


def _plan(file: Path) -> None:
    lines = answered(lambda: plan.read_suite(str(file)))
    answered(lambda: plan.suite_plugins(str(file)))
    if lines is not None and sum(line.cells for line in lines) < 200:
        answered(lambda: plan.build(lines))
