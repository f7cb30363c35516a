"""Bad input gets one clear line with the remedy and exit status 2; listing does not import torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Bench = Callable[..., Any]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--lock", "modelock"], "Did you mean modellock"),
        (["run", "--attack", "promptsearch"], "Did you mean prompt-search"),
        (["run", "-p", "lock.alpha=2"], "0 ≤ alpha ≤ 1"),
        (["run", "-p", "lock.alpha"], "lock.alpha=0.5"),
        (["run", "-p", "alpha=1"], "GROUP.NAME=VALUE"),
        (["run", "--task", "digit"], "digits"),
        (["run", "--task", "folder:/no/such/folder"], "/no/such/folder"),
        (["run", "--seeds", "none"], "--seeds"),
        (["run", "--suite", "quik"], "Did you mean quick"),
        (["run", "--suite", "quick", "--task", "shapes"], "nothing of suite"),
        (["run", "--device", "tpu"], "auto, cpu, cuda"),
        (["run", "--plugin", "/no/such/file.py"], "does not exist"),
        (["run", "--editor", "nobody/no-such-editor", "--threads", "1"], "--editor miniature"),
        (["run", "--model", "vitt"], "any timm classifier"),
        (["run", "-p", "threat.access=none"], "bench show prompt-search"),
        (["run", "--jobs", "0"], "--help"),
        (["run", "--no-such-option"], "--help"),
        (["show", "modelock"], "Did you mean modellock"),
        (["report", "--format", "pdf"], "md, csv, json, latex"),
        (["report", "--out", "x", "--html", "y"], "--out does not go with --html"),
        (["report", "--store", "/no/such/store"], "bench run"),
        (["why", "abc", "--store", "/no/such/store"], "bench run"),
        (["new", "key", "mine"], "bench new KIND NAME"),
        (["new", "lock", "My Lock"], "Lower-case"),
    ],
)
def test_bad_input(arguments: list[str], message: str, bench: Bench, tmp_path: Path) -> None:
    if arguments[0] == "run":
        arguments = [*arguments, "--store", str(tmp_path / "store")]
    got = bench(*arguments, cwd=tmp_path)
    assert got.returncode == 2, got.stdout + got.stderr
    assert got.stderr.count("error:") == 1
    assert message in got.stderr
    assert "Traceback" not in got.stdout + got.stderr
    assert not list((tmp_path / "store").glob("records/*"))


def test_a_store_that_cannot_be_written(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    got = bench("run", "--store", str(tmp_path / "file"))
    assert got.returncode == 2
    assert "--store" in got.stderr


@pytest.mark.parametrize(
    "module", ["bench", "bench.cli", "bench.plan", "bench.store.identity", "bench.registry", "bench.datasets"]
)
def test_no_torch_before_it_is_needed(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("arguments", [["list"], ["show", "modellock"], ["--help"]])
def test_no_torch_on_the_command_line_either(arguments: list[str], tmp_path: Path) -> None:
    code = f"""
import sys
from bench.cli import main
sys.argv = ["bench", *{arguments!r}]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
assert "torch" not in sys.modules
"""
    got = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert got.returncode == 0, got.stderr


def test_show_prints_defaults_ranges_paper_and_threat_model(bench: Bench) -> None:
    got = bench("show", "modellock").stdout
    for expected in ("2405.16285", "edit_share", "0.95", "0.05 ≤ edit_share ≤ 1", "alpha", "deviation"):
        assert expected in got
    assert "share" in bench("show", "prompt-search").stdout


@pytest.mark.parametrize("kind", ["lock", "attack", "task"])
def test_a_new_plugin_works_as_it_is(kind: str, bench: Bench, tmp_path: Path) -> None:
    got = bench("new", kind, "my-idea", "--folder", str(tmp_path))
    assert got.returncode == 0, got.stderr
    file = tmp_path / "my_idea.py"
    assert bench("show", "my-idea", "--plugin", str(file)).returncode == 0
    assert bench("new", kind, "my-idea", "--folder", str(tmp_path)).returncode == 2, "it never overwrites"
    short = [] if kind == "task" else ["-p", f"{kind}.steps=2"]
    lock = [] if kind == "lock" else ["--lock", "none"]
    attack = [] if kind == "attack" else ["--attack", "none"]
    options = [*lock, *attack, *short, "--model", "cnn", "--plugin", str(file), "--dry-run"]
    run = bench("run", f"--{kind}", "my-idea", *options, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "my-idea" in run.stdout


def test_a_report_refuses_what_it_would_not_heed(bench: Bench, tmp_path: Path) -> None:
    for where in ("--out", "--html"):
        done = bench("report", "--tuning", where, str(tmp_path / "out"), "--store", str(tmp_path))
        assert done.returncode == 2
        assert "go with a printed table" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("status", "--store", "LONG"),
        ("report", "--store", "LONG"),
        ("run", "--dry-run", "--store", "LONG"),
        ("doctor", "--store", "LONG"),
        ("import", "LONG"),
        ("export", "STORE", "LONG"),
        ("false-alarms", "LONG"),
        ("status", "--store", "bytes\udcff"),
        ("import", "bytes\udcff"),
    ],
)
def test_paths_that_no_file_can_have(arguments: tuple[str, ...], bench: Bench, tmp_path: Path) -> None:
    from small_stores import filled

    filled(tmp_path / "s")
    places = {"LONG": "x" * 300, "STORE": str(tmp_path / "s")}
    got = bench(*(places.get(word, word) for word in arguments), cwd=tmp_path)
    assert got.returncode == 2
    assert got.stderr.count("error:") == 1
    assert "defect" not in got.stderr
    assert "Traceback" not in got.stderr


@pytest.mark.parametrize(("options", "attacks"), [([], {"prompt-search", "none"}), (["--required"], {"none"})])
def test_optional_cells_can_be_left_out(options: list[str], attacks: set[str], bench: Bench, tmp_path: Path) -> None:
    optional = '[[row]]\nattacks = ["prompt-search"]\nrequired = false\n'
    (tmp_path / "s.toml").write_text(f'controls = false\n[[row]]\nattacks = ["none"]\n{optional}')
    got = bench("run", "--suite", "s.toml", "--dry-run", *options, cwd=tmp_path)
    assert got.returncode == 0, got.stderr
    assert {name for name in ("prompt-search", "none") if f" {name} " in got.stdout} == attacks
    (tmp_path / "s.toml").write_text(optional)
    got = bench("run", "--suite", "s.toml", "--dry-run", "--required", cwd=tmp_path)
    assert "every cell of this plan is optional" in got.stderr
