"""Plugins are read from their source: inheritance, shared constants, every kind by file; what threat models grant."""

from __future__ import annotations

from pathlib import Path

import pytest
from places import PLUGINS

from bench import datasets, models, registry
from bench.contracts import Spec
from bench.errors import UserError
from bench.threat import ThreatModel

SHARED = '''
from bench.contracts import Lock, param

STEPS = 7
DEFAULTS = {"threat.share": 0.0}


class Base(Lock):
    """A base."""

    paper = "ours"
    quick = {"steps": 1}
    steps: int = param(STEPS, "optimiser steps", ge=1)

    def protect(self, victim, key, data, run):
        return victim
'''


def _file(folder: Path, name: str, text: str) -> Path:
    file = folder / f"{name}.py"
    file.write_text(text)
    return file


def test_a_subclass_of_a_plugin_is_a_plugin_with_its_parameters_and_constants(tmp_path: Path) -> None:
    text = '''
from bench.contracts import param
from locks.ntl import NTL


class Mine(NTL):
    """Mine."""

    title = "mine"
    quick = {**NTL.quick, "extra": 2}
    extra: int = param(3, "one more", ge=1)
'''
    plugins = registry.Registry([_file(tmp_path, "mine", text)])
    own, base = plugins.find("lock", "mine"), plugins.find("lock", "ntl")
    assert own.params.keys() - base.params.keys() == {"extra"}
    assert own.paper == base.paper
    assert own.quick == {**base.quick, "extra": 2}
    lock = plugins.make("lock", "mine", {"extra": 5})
    assert lock.values() == {**registry.load(base)().values(), "extra": 5}


def test_a_literal_may_name_a_constant_of_its_file(tmp_path: Path) -> None:
    plugins = registry.Registry([_file(tmp_path, "shared", SHARED)])
    info = plugins.find("lock", "shared")
    assert info.params["steps"].default == 7
    assert plugins.make("lock", "shared").steps == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("param(STEPS", "param(len([1])"), "must be a literal"),
        (("ge=1", "gt=1"), "is declared wrongly"),
        (("STEPS = 7", "STEPS = 0"), "is not allowed"),
    ],
)
def test_a_declaration_that_cannot_be_read_names_its_file(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    plugins = registry.Registry([_file(tmp_path, "shared", SHARED.replace(*change))])
    with pytest.raises(UserError, match=message) as error:
        plugins.all("lock")
    assert "shared.py" in str(error.value)


def test_a_model_and_a_data_set_outside_the_packages_are_found_by_name(tmp_path: Path) -> None:
    from bench.cli import stubs

    task = stubs.write("task", "bars", tmp_path)
    registry.use([PLUGINS / "tiny.py", task])
    assert datasets.pair("bars:digits") == ("bars", "digits")
    dataset = datasets.load("bars", size=16)
    assert dataset.classes == ("left", "middle", "right")
    model = models.build("tiny", Spec(16, dataset.classes))
    assert models.logits(model, dataset.images[:4].float() / 255).shape == (4, 3)
    assert models.recipe("tiny:8") == (60, 1e-2)
    registry.use()
    with pytest.raises(UserError, match="Unknown task"):
        datasets.check("bars")


@pytest.mark.parametrize(
    ("threat", "asks", "reason"),
    [
        ({"access": "logits"}, {"access": ["weights"]}, "threat.access=weights"),
        ({"share": 0.0}, {"labelled": True}, "threat.share above 0"),
        ({"unlabelled": False, "share": 0.0}, {"images": True}, "threat.unlabelled=true"),
        ({"authorised": 0.0}, {"authorised": True}, "threat.authorised"),
        ({"leaked": 0}, {"leaked": True}, "threat.leaked"),
        ({"wordlist": "none"}, {"words": True}, "word list"),
        ({"known": "editor"}, {"known": ["prompt"]}, "'prompt'"),
        ({}, {"access": ["weights"], "labelled": True, "unlabelled": True, "words": True}, ""),
    ],
)
def test_what_a_threat_model_does_not_grant_is_named(
    threat: dict[str, object], asks: dict[str, object], reason: str
) -> None:
    answer = ThreatModel(**threat).grants(**asks)  # type: ignore[arg-type]
    assert bool(answer) == (not reason)
    assert reason in answer.reason
