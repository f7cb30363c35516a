"""Suite files: whatever is wrong with one is a line with a remedy; the reference page names every key."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import DOCS

from bench import plan
from bench.api import request
from bench.errors import UserError
from bench.plan import suite_file
from bench.plan.suite_file import KEYS

ROW = '[[row]]\nlocks = ["modellock"]\n'
PAGE = (DOCS / "reference" / "suites.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("key", KEYS)
def test_the_reference_page_has_every_key_with_type_default_and_example(key: str) -> None:
    known = KEYS[key]
    assert f"| `{key}` | {known.type} | {known.default} | {known.help} |\n" in PAGE
    assert f"\n{known.example}\n" in PAGE


@pytest.mark.parametrize("key", KEYS)
def test_examples_of_keys_are_allowed(key: str, tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    above, inside = (KEYS[key].example, "") if KEYS[key].place == "file" else ("", KEYS[key].example)
    needs = "" if key not in ("threats", "fast") else 'ensemble = "ensemble-v2"\n'
    file.write_text(f"{above}\n[[row]]\n{needs}{inside}\n")
    assert plan.read_suite(str(file))


BROKEN = {
    "utf-16": (ROW.encode("utf-16"), "Save it as UTF-8"),
    "utf-16-le": (ROW.encode("utf-16-le"), "Save it as UTF-8"),
    "latin-1": ('about = "Schlösser"\n'.encode("latin-1") + ROW.encode(), "(line 1)"),
    "empty": (b"", "has no [[row]]"),
    "one bracket": (b'[row]\nlocks = ["modellock"]\n', "not [row]"),
    "rows of numbers": (b"row = [1, 2]", "[[row]]"),
    "row is a text": (b'row = "x"', "[[row]]"),
    "not toml": (b"[[row]\n", "no valid TOML"),
    "nested": (b"x = " + b"[" * 5000 + b"]" * 5000, "nested too deeply"),
    "long number": (b"x = " + b"9" * 5000, "cannot be read"),
    "a nul": (b"about = \"a\0b\"\n" + ROW.encode(), "no valid TOML"),
    "too large": (b"#" * (2**20 + 1), "larger than 1 MB"),
    "a text for a list": (b'[[row]]\nlocks = "modellock"', 'Write locks = ["modellock"]'),
    "a number for a list": (b"[[row]]\nlocks = 3", "no list of names"),
    "a list of numbers": (b"[[row]]\nattacks = [1]", "no list of names"),
    "an empty list": (b"[[row]]\ntasks = []", "no list of names"),
    "a nested list": (b'[[row]]\nmodels = [["vit"]]', "no list of names"),
    "unknown key": (b"[[row]]\nlokcs = ['modellock']", "Did you mean 'locks'"),
    "unknown key above": (b"paramz = {}\n" + ROW.encode(), "Did you mean 'params'"),
    "replicates": (b"[[row]]\nreplicates = [1]", "unknown key 'replicates'"),
    "a key of the file in a row": (b'[[row]]\nplugins = ["a.py"]', "above the first [[row]]"),
    "seeds as a list": (b"[[row]]\nseeds = [1, 2]", "neither a whole number nor a range"),
    "seeds as a truth": (b"[[row]]\nseeds = true", "neither a whole number nor a range"),
    "seeds as a float": (b"[[row]]\nseeds = 1.5", "neither a whole number nor a range"),
    "no seeds": (b"[[row]]\nseeds = 0", "at least one seed"),
    "negative seeds": (b"[[row]]\nseeds = -3", "at least one seed"),
    "absurd seeds": (b"[[row]]\nseeds = 1000000000000", "at most 1000"),
    "absurd range": (b'[[row]]\nseeds = "0:1000000000000"', "at most 1000"),
    "far range": (b'[[row]]\nseeds = "99999999999:100000000000"', "last seed"),
    "params as text": (b'[[row]]\nparams = "x"', "is no table"),
    "params without quotes": (b"[[row]]\nparams = { threat.share = 0.1 }", '"threat.share" = VALUE'),
    "params as list": (b'[[row]]\nparams = { "threat.share" = [0.1] }', "`sweep`"),
    "params as date": (b'[[row]]\nparams = { "threat.share" = 2020-01-01 }', "neither text, number"),
    "params without group": (b'[[row]]\nparams = { "share" = 1 }', "GROUP.NAME"),
    "params of no group": (b'[[row]]\nparams = { "treat.share" = 1 }', "Did you mean threat.share"),
    "sweep of one": (b'[[row]]\nsweep = { "threat.share" = 0.1 }', "no list of values"),
    "sweep of tables": (b'[[row]]\nsweep = { "threat.share" = [{}] }', "no list of values"),
    "a text for a truth": (b'[[row]]\ncontrols = "no"', "neither true nor false"),
    "unfit": (b'[[row]]\nunfit = "drop"', '"refuse" nor "leave"'),
    "an ensemble that is none": (b'[[row]]\nensemble = "../../etc"', "no ensemble"),
    "an ensemble as a number": (b"[[row]]\nensemble = 5", "is no text"),
    "no threat of it": (b'[[row]]\nensemble = "ensemble-v2"\nthreats = ["x"]', "no threat model 'x'"),
    "fast without an ensemble": (b"[[row]]\nfast = true", "goes with an ensemble"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_suite_is_one_line_with_a_remedy(kind: str, bench: Callable[..., Any], tmp_path: Path) -> None:
    content, said = BROKEN[kind]
    (tmp_path / "mine.toml").write_bytes(content)
    got = bench("run", "--suite", "mine.toml", "--dry-run", cwd=tmp_path)
    assert got.returncode == 2, got.stdout
    lines = got.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("error:")
    assert said in got.stderr
    assert "defect" not in got.stderr


@pytest.mark.parametrize("name", ["x" * 300 + ".toml", "x" * 300, "no.toml", "~nobody-here/s.toml", "a/b.toml/c.toml"])
def test_a_path_that_leads_nowhere(name: str, bench: Callable[..., Any], tmp_path: Path) -> None:
    got = bench("run", "--suite", name, "--dry-run", cwd=tmp_path)
    assert got.returncode == 2
    assert len(got.stderr.splitlines()) == 2
    assert "defect" not in got.stderr


def test_what_is_no_file(bench: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "circle.toml").symlink_to("circle.toml")
    for name, said in (("folder", "is a folder"), ("pipe", "is no file"), ("circle", "cannot be read")):
        got = bench("run", "--suite", f"{name}.toml", "--dry-run", cwd=tmp_path)
        assert got.returncode == 2
        assert said in got.stderr


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "s.toml"
    file.write_text(ROW)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UserError, match="Permission denied"):
        suite_file.read(str(file))


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_bytes(b"\xef\xbb\xbf" + ROW.encode())
    assert plan.read_suite(str(file))[0].locks == ["modellock"]


def test_a_file_of_ones_own_may_be_called_as_an_ensemble_is(tmp_path: Path) -> None:
    file = tmp_path / "ensemble-mine.toml"
    file.write_text(ROW)
    assert plan.read_suite(str(file))[0].locks == ["modellock"]


def test_a_plan_without_end_is_refused_before_it_is_made() -> None:
    values = [str(i) for i in range(1000)]
    sweep = {f"lock.steps{i}": values for i in range(200)}
    line = plan.SuiteLine(["modellock"], ["none"], ["digits"], ["cnn"], sweep=sweep)
    with pytest.raises(UserError, match="more than 100,000 cells"):
        plan.build([line])


def test_a_lock_that_is_picked_leaves_the_parameters_of_others(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(
        '[[row]]\nlocks = ["ntl", "cuti"]\nattacks = ["none", "finetune"]\ntasks = ["digits:fonts"]\n'
        'params = { "lock.beta" = 0.2, "lock.steps" = 3, "attack.head" = "new", "task.size" = 32 }\n'
        'sweep = { "lock.modulation" = ["learned", "random"] }\n'
    )
    (ntl,) = plan.suite_lines(str(file), {"locks": ["ntl"]})
    assert set(ntl.params) == {"lock.beta", "lock.steps", "attack.head", "task.size"}
    assert ntl.sweep == {}
    (cuti,) = plan.suite_lines(str(file), {"locks": ["cuti"], "attacks": ["none"]})
    assert set(cuti.params) == {"lock.steps", "task.size"}
    assert set(cuti.sweep) == {"lock.modulation"}
    assert plan.build([ntl])
    assert plan.build([cuti])


def test_what_a_row_sets_the_file_does_not_sweep(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    swept = 'sweep = { "threat.share" = [0.01, 0.1] }\n'
    file.write_text(f'{swept}{ROW}params = {{ "threat.share" = 0.3 }}\n{ROW}')
    first, second = plan.read_suite(str(file))
    assert (first.params, first.sweep) == ({"threat.share": 0.3}, {})
    assert second.sweep == {"threat.share": [0.01, 0.1]}


SET = 'params = { "threat.share" = 0.3 }\n'
SWEPT = 'sweep = { "threat.share" = [0.01, 0.1] }\n'
ENSEMBLE = 'ensemble = "ensemble-v5"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ROW + SET + SWEPT, "in params and in sweep"),
        (SET + SWEPT + ROW, "in params and in sweep"),
        (ROW + ENSEMBLE + SET, "'threat.share' cannot be set: the threat model logits-few of the ensemble states it"),
        (SET + ROW + ENSEMBLE, "'threat.share' cannot be set: the threat model logits-few of the ensemble states it"),
    ],
)
def test_a_parameter_that_would_have_no_effect_is_refused(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=words):
        plan.read_suite(str(file))


def test_the_command_line_wins_over_what_a_suite_sets_and_sweeps(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(f'{ROW}sweep = {{ "threat.share" = [0.01, 0.1] }}\nparams = {{ "task.size" = 16 }}\n')
    (line,) = request.lines_of({}, None, str(file), ["threat.share=0.05"], sweeps=["task.size=24,32"])
    assert (line.params, line.sweep) == ({"threat.share": "0.05"}, {"task.size": ["24", "32"]})
    with pytest.raises(UserError, match="both set"):
        request.lines_of({}, None, None, ["threat.share=0.05"], sweeps=["threat.share=0.1,0.2"])
