"""Hyper-parameters: what is accepted, what is refused and how it is said; canonical JSON and its digest."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import plan, seeds
from bench.errors import UserError
from bench.hashing import canonical, digest
from bench.params import BadParameter, Param, Parametrised, param
from bench.threat import ThreatModel

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Example(Parametrised):
    alpha: float = param(0.5, "weight", ge=0, le=1)
    steps: int | None = param(None, "steps", ge=1)
    mode: str = param("a", "mode", choices=("a", "b"))
    on: bool = param(True, "switch")


@given(st.floats(0, 1))
def test_a_value_in_range_comes_back_from_its_text(value: float) -> None:
    assert Example(alpha=repr(value)).alpha == value


@given(st.floats().filter(lambda x: not 0 <= x <= 1))
def test_a_value_out_of_range_is_refused_with_the_range(value: float) -> None:
    with pytest.raises(BadParameter, match=r"0 ≤ alpha ≤ 1"):
        Example(alpha=value)


@given(st.text())
def test_any_text_is_parsed_or_refused_never_worse(text: str) -> None:
    for name in ("alpha", "steps", "mode", "on"):
        try:
            value = Example(**{name: text}).values()[name]
        except BadParameter as error:
            assert name in str(error)
        else:
            assert Example(**{name: value}).values()[name] == value


@pytest.mark.parametrize(("text", "value"), [("true", True), ("no", False), ("1", True), ("FALSE", False)])
def test_switches(text: str, value: bool) -> None:
    assert Example(on=text).on is value


def test_none_only_where_declared() -> None:
    assert Example(steps="none").steps is None
    with pytest.raises(BadParameter):
        Example(alpha="none")
    with pytest.raises(BadParameter, match="no parameter 'alhpa'"):
        Example(alhpa=1)


def test_a_default_out_of_range_cannot_be_declared() -> None:
    with pytest.raises(BadParameter):
        Param("x", "float", 2.0, "", le=1).check(2.0)
    with pytest.raises(BadParameter):

        class Wrong(Parametrised):
            x: float = param(2.0, "", le=1)


@given(JSON)
def test_canonical_json_means_the_same(value: object) -> None:
    again = json.loads(canonical(value))
    assert canonical(again) == canonical(value)
    assert digest(again) == digest(value)


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    turned = dict(reversed(list(value.items())))
    assert digest(value) == digest(turned)


@given(JSON, JSON)
def test_different_values_have_different_digests(a: object, b: object) -> None:
    if canonical(a) != canonical(b):
        assert digest(a) != digest(b)


def test_what_json_cannot_say_is_refused() -> None:
    for bad in (math.nan, math.inf, {1: 2}, object()):
        with pytest.raises((TypeError, ValueError)):
            canonical(bad)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(plan.GROUPS),
            st.from_regex(r"[a-z_]+", fullmatch=True),
            st.from_regex(r"[a-z0-9.]+", fullmatch=True),
        )
    )
)
def test_parameters_of_the_command_line(items: list[tuple[str, str, str]]) -> None:
    wanted = {f"{g}.{n}": v for g, n, v in items}
    assert plan.parse_params(f"{name}={value}" for name, value in wanted.items()) == wanted


@given(st.text())
def test_a_malformed_parameter_is_one_clear_line(text: str) -> None:
    try:
        parsed = plan.parse_params([text])
    except UserError as error:
        assert error.remedy
    else:
        ((name, value),) = parsed.items()
        assert name.partition(".")[0] in plan.GROUPS
        assert value


@pytest.mark.parametrize("text", ["0", "-1", "a", "3:1", "", "1:"])
def test_seeds_that_make_no_sense(text: str) -> None:
    with pytest.raises(UserError):
        plan.parse_seeds(text)


def test_a_seed_depends_on_the_axes_named_and_on_nothing_else() -> None:
    a = seeds.derive("victim", task="digits", replicate=0)
    assert a == seeds.derive("victim", replicate=0, task="digits")
    others = {
        seeds.derive(axis, task=t, replicate=r) for axis in seeds.AXES for t in ("digits", "shapes") for r in range(5)
    }
    assert len(others) == len(seeds.AXES) * 2 * 5
    assert a in others


def test_known_key_parts_are_a_closed_list() -> None:
    assert ThreatModel(known="editor+settings").parts() == ("editor", "settings")
    assert ThreatModel(known="none").parts() == ()
    with pytest.raises(BadParameter, match="'colour' is none of"):
        ThreatModel(known="editor+colour").parts()
