"""The command line as a whole: every line is run, or answered by one line with a remedy and exit status 2."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
from hostile import examples, names, params, texts, values
from hypothesis import given
from hypothesis import strategies as st

Bench = Callable[..., Any]
DEFECT = ("Traceback", "defect of LockBench")


def _option(*spellings: str, value: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    return st.builds(lambda name, text: [name, text], st.sampled_from(spellings), value)


def _lines(*options: st.SearchStrategy[list[str]]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.one_of(*options), max_size=4).map(lambda chosen: [word for option in chosen for word in option])


LONG = "x" * 300 + ".toml"
DAMAGED = {
    "utf16.toml": b"\xff\xfe[\0r\0o\0w\0]\0",
    "latin1.toml": "about = 'Schlösser'\n[[row]]\n".encode("latin-1"),
    "one.toml": b"[row]\nlocks = ['ntl']\n",
    "text.toml": b"[[row]]\nlocks = 'ntl'\n",
    "number.toml": b"[[row]]\nlocks = 3\n",
    "nested.toml": b"[[row]]\nparams = { threat.share = 0.1 }\n",
    "date.toml": b"[[row]]\nparams = { 'threat.share' = 2020-01-01 }\n",
    "group.toml": b"[[row]]\nparams = { 'share' = 1 }\n",
    "sweep.toml": b"[[row]]\nsweep = { 'threat.share' = 1 }\n",
    "seeds.toml": b"[[row]]\nseeds = 1000000000000\n",
    "list.toml": b"[[row]]\nseeds = [1, 2]\n",
    "digits.toml": b"x = " + b"9" * 5000,
    "deep.toml": b"x = " + b"[" * 5000,
    "rows.toml": b"row = [1, 2]\n",
    "ensemble.toml": b"[[row]]\nensemble = 5\n",
}
PATHS = st.one_of(texts(), st.sampled_from(["s", "file", "locked", "no/such", "s.toml", "plugin.py", "broken.py"]))
SUITES = st.one_of(
    st.sampled_from([*DAMAGED, LONG]), st.sampled_from(["quick", "ci-minute", "s.toml", "quik", "locked.toml"]), PATHS
)
SEEDS = st.one_of(st.sampled_from(["1", "2", "0:2", "1000:1002", "0"]), values())
PLAN = (
    _option("--lock", value=names(hostile.LOCKS)),
    _option("--attack", value=names(hostile.ATTACKS)),
    _option("--task", value=names(hostile.TASKS)),
    _option("--model", value=st.one_of(st.sampled_from(hostile.MODELS), st.sampled_from(hostile.ODD))),
    _option("-p", "--param", value=params()),
    _option("--sweep", value=st.builds("{},{}".format, params(), values())),
    _option("--seeds", value=SEEDS),
    _option("--suite", value=SUITES),
    _option("--plugin", value=PATHS),
    _option("--editor", value=texts()),
    _option("--device", value=st.one_of(st.just("cpu"), texts())),
    _option("--threads", "--jobs", value=values()),
    _option("--launcher", value=st.one_of(st.just("local"), texts())),
    _option("--store", value=PATHS),
    st.sampled_from([["--skip-bad"], ["--help"], ["--version"], ["--"]]),
    texts().map(lambda text: [text]),
)
SOUND = (
    _option("--lock", value=st.sampled_from(["modellock", "ntl", "map", "none"])),
    _option("--attack", value=st.sampled_from(["none", "finetune", "logit-surgery"])),
    _option("--task", value=st.sampled_from(["digits", "shapes"])),
    _option("--model", value=st.sampled_from(["cnn", "vit"])),
    _option("-p", value=st.sampled_from(["lock.steps=3", "threat.share=0.05", "task.size=48", "key.alpha=0.2"])),
    _option("--seeds", value=st.sampled_from(["1", "0:2"])),
)
"""Options that a plan can have, so that the one beside them is the one that is looked at."""
ONE_ODD = st.builds(lambda sound, odd: [*sound, *odd], _lines(*SOUND), st.one_of(*PLAN))
OTHERS = st.one_of(
    st.tuples(st.just("status"), _lines(*PLAN)),
    st.tuples(st.just("show"), st.lists(st.one_of(names(hostile.LOCKS), texts()), max_size=2)),
    st.tuples(st.just("list"), _lines(_option("--plugin", "--suite", value=PATHS))),
    st.tuples(st.just("why"), _lines(*PLAN)),
    st.tuples(st.just("new"), st.lists(st.one_of(st.sampled_from(["lock", "attack", "task"]), texts()), max_size=3)),
    st.tuples(texts(), _lines(*PLAN)),
)


def _ended_well(got: Any, line: list[str]) -> None:
    text = got.stdout + got.stderr
    assert not any(word in text for word in DEFECT), (line, got.stderr[-500:])
    assert got.returncode in (0, 2), (line, got.returncode, got.stderr[-500:])
    errors = [text for text in got.stderr.splitlines() if text.startswith("error:")]
    assert len(errors) == (got.returncode == 2), (line, got.stderr[-500:])
    if errors:
        assert len(got.stderr.splitlines()) <= 2, (line, got.stderr[-500:])


def _run(bench: Bench, line: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "file").touch()
        (root / "locked").mkdir()
        (root / "locked" / "note.txt").touch()
        (root / "s.toml").write_text('plugins = ["plugin.py"]\n[[row]]\nlocks = ["none"]\nattacks = ["none"]\n')
        (root / "locked.toml").mkdir()
        for name, content in DAMAGED.items():
            (root / name).write_bytes(content)
        (root / "broken.py").write_text("class X(")
        (root / "plugin.py").write_text("from bench.contracts import Lock\nclass Mine(Lock):\n    pass\n")
        before = os.environ.get("HOME")
        os.environ["HOME"] = folder
        try:
            _ended_well(bench(*line, cwd=root), line)
        finally:
            if before is None:
                del os.environ["HOME"]
            else:
                os.environ["HOME"] = before


@given(line=st.one_of(ONE_ODD, ONE_ODD, _lines(*PLAN)))
@examples(40, 1500)
def test_any_plan_on_the_command_line(line: list[str], bench: Bench) -> None:
    _run(bench, ["run", "--dry-run", *line])


@given(command=OTHERS)
@examples(25, 800)
def test_any_other_command(command: tuple[str, list[str]], bench: Bench) -> None:
    name, line = command
    if name not in ("run", "fidelity"):
        _run(bench, [name, *line])
