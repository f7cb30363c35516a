"""Names, notes and numbers of strangers through the whole chain: shown, never read as markup, never in the way."""

from __future__ import annotations

import copy
import csv
import io
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_records import CURVE, FakeStore, baselines, calibration, printed, record, world
from limits import HANGS

from bench.cli import console
from bench.cli.live import Live
from bench.cli.screen import Screen
from bench.errors import UserError
from bench.legible import visible
from bench.plan.graph import Graph, Stage
from bench.plan.wording import in_short
from bench.records import Condition, CurvePoint, Flag, Measured, Record
from bench.store import Store
from reports import files
from reports.page import site
from reports.rows.aggregate import rows
from reports.text import matrix, trials
from reports.text.escaping import as_json, ascii_text, csv_cell, markdown, markup, picture, tex
from reports.text.markdown_table import markdown_table
from reports.text.tables import render
from reports.write import write

Bench = Callable[..., Any]

ESC, RIGHT_TO_LEFT = "\x1b[31m", "\u202e"
HOSTILE = [
    "folder:art:folder:clipart", "[bold]x[/]", "[/]", "=cmd|' /C calc'!A0", "+1+1", "@SUM(1)", "\t=1", "-2+3",
    f"{ESC}red", f"{RIGHT_TO_LEFT}txt.exe", "a|b", "a\\|b", "`code`", "<script>alert(1)</script>", "{{ 7*7 }}",
    "$\\frac{1$", "\\input{/etc/passwd}", "100% & more #1 ~^_", "x" * 400, "名前", "_hidden", "a\nb",
    "../../etc/passwd", "\ud800", "C:\\new\\table",
]  # fmt: skip
UNSEEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def hostile(name: str) -> list[Record]:
    """A world in which ``name`` stands wherever a stranger can write."""
    condition = Condition(kind="near", label=name, what=name, accuracy=Measured(value=70, n=9, low=60, high=80))
    more: dict[str, Any] = {
        "conditions": [condition], "flags": [Flag(name=name, detail=name)], "classes": [name, name],
        "key": {"prompt": name}, "selected": {"prompt": name},
        "curve": [CurvePoint(meter={"guesses": g, name: 1}, RP=20.0 + g, note={"n": name}) for g in (1, 2)],
        "meter": {name: 1.0, "guesses": 4}, "lock_meter": {name: 2.0, "seconds": 1.0},
    }  # fmt: skip
    own = [
        record(name, name, scenario=name, lock_explicit={name: name}, attack_explicit={"a": name}, **more),
        record("modellock", "none", scenario=name, RP=None, **more),
        record("modellock", scenario=name, RP=None, status="failed", error=f"{name}\n{name}", **more),
        record("ntl", scenario=name, RP=0.0, status="invalid", error=name, **more),
    ]
    controls = [*calibration(), *baselines(30.0)]
    for r in [*own, *controls]:
        r.cell.scenario = name
        r.row_key = r.cell.row_key()
    return [*own, *controls]


@pytest.mark.parametrize("name", HOSTILE)
def test_every_format_survives_a_hostile_name_and_shows_nothing_unseen(name: str, tmp_path: Path) -> None:
    table = rows(hostile(name))
    texts = {fmt: render(table, fmt) for fmt in ("md", "csv", "json", "latex")}
    texts |= {f"matrix {fmt}": matrix.render(table, fmt) for fmt in matrix.FORMATS}
    texts["terminal"] = printed(table, 200)
    texts["trials"] = trials.render([r.model_copy(update={"split": "judge-validation"}) for r in hostile(name)], "md")
    for fmt, text in texts.items():
        assert not UNSEEN.search(text), (fmt, UNSEEN.findall(text))
        text.encode()
    json.loads(texts["json"])
    for line in csv.reader(io.StringIO(texts["csv"])):
        for cell in line:
            assert not cell.startswith(("=", "+", "@")), cell
            assert not cell.startswith("-") or float(cell) <= 0
    assert len({len(line) for line in csv.reader(io.StringIO(texts["csv"]))}) == 1
    for line in texts["md"].splitlines():
        assert "<script" not in line.replace("\\<", "")
    site.write(FakeStore(hostile(name), samples=True), tmp_path / "page")
    for file in (tmp_path / "page").glob("*.html"):
        html = file.read_text(encoding="utf-8")
        assert not UNSEEN.search(html), file.name
        assert "<script>alert" not in html
        assert "49" not in html.partition("<h1>")[2].partition("</h1>")[0]


@pytest.mark.parametrize("name", ["$\\frac{1$ and $2", "_x", "x" * 3000, f"{ESC}{RIGHT_TO_LEFT}", "名前", "../a/b"])
def test_pictures_survive_a_hostile_name(name: str, tmp_path: Path) -> None:
    made = write(FakeStore(hostile(name), samples=True), tmp_path / "out", "md")
    assert len(made) > 2
    assert {file.parent for file in made} == {tmp_path / "out"}
    assert max(len(file.name.encode()) for file in made) < 200


@pytest.mark.parametrize("name", HOSTILE)
def test_the_console_reads_no_markup_and_no_emoji_codes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    screens = [Screen(file=io.StringIO(), width=2000, force_terminal=True, color_system=None) for _ in range(2)]
    monkeypatch.setattr(console, "out", screens[0])
    monkeypatch.setattr(console, "err", screens[1])
    console.say(name)
    console.warn(name)
    console.fail(UserError(name, name))
    console.named_list("title", {name: name})
    for r in hostile(name)[:4]:
        console.record_page(r, name, Path(visible(name)))
    for screen in screens:
        text = screen.file.getvalue()  # type: ignore[attr-defined]
        assert not UNSEEN.search(text)
        if "\n" not in name:
            assert visible(name) in text


def test_progress_reads_no_markup_and_no_emoji_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    monkeypatch.setattr(console, "err", screen)
    failed = record(RP=None, status="failed", error=f"folder:art: [b]x[/] {ESC}")
    graph = Graph([Stage("scored", failed.hash, failed.cell, (), (), 0.0, 1.0)], [(0,)])
    shown = Live(graph, 1, frozenset({failed.row_key}), [], lambda _: {})
    with shown.progress:
        shown.stage(failed.cell, "unlocked", 1, 2, f":art: [b]x[/] {ESC}")
        shown.progress.refresh()
        shown.done(failed)
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "unlocked: :art: [b]x[/] \\x1b[31m" in text
    assert "folder:art: [b]x[/] \\x1b[31m" in text


@pytest.mark.parametrize("name", [n for n in HOSTILE if "\ud800" not in n])
def test_hostile_records_in_a_store_print_in_every_command(name: str, bench: Bench, tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    for i, r in enumerate(hostile(name)):
        r.provenance.hash = f"{i:020x}"
        store.put(r, {})
    commands = (["status"], ["report"], ["report", "--format", "csv"], ["show", "0" * 19 + "0"])
    for command in commands:
        done = bench(*command, "--store", str(tmp_path / "s"))
        assert done.returncode == 0, done.stderr
        assert not UNSEEN.search(done.stdout)


def test_one_function_a_format() -> None:
    assert visible(f"{ESC}{RIGHT_TO_LEFT}\t\x00\ufeff") == "\\x1b[31m\\u202e\\t\\x00\\ufeff"
    assert visible("a\nb", keep="\n") == "a\nb"
    assert csv_cell("=1") == "'=1"
    assert csv_cell("\t@x") == "'\\t@x"
    assert csv_cell(-1.5) == -1.5
    assert csv_cell("plain") == "plain"
    assert markdown("# a|b `c` <d> $e$ &amp;") == "\\# a\\|b \\`c\\` \\<d\\> \\$e\\$ \\&amp;"
    assert markdown("-1.5") == "-1.5"
    assert markdown("1. x") == "1\\. x"
    assert tex("\x1b%") == r"\textbackslash{}x1b\%"
    assert picture("$a$ _b") == "\\$a\\$ _b"
    assert Screen(file=io.StringIO()).render_str(markup("[b]:art:[/]")).plain == "[b]:art:[/]"
    assert as_json({"a": float("nan"), "b": [float("inf")], "c": RIGHT_TO_LEFT}) == (
        '{"a": null, "b": [null], "c": "\\u202e"}'
    )
    assert json.loads(as_json("名\ud800")) == "名\ud800"
    assert ascii_text("94.1 ± 0.3 — …") == "94.1 +/- 0.3 - ..."
    assert markdown_table(["a"], [["x\\\\|y"]]).splitlines()[-1] == "| x\\\\\\|y |"


class TestFileNames:
    def test_plain_names_stay_plain(self) -> None:
        assert files.name_of("scenario", "digits", "vit", ending=".html") == "scenario-digits-vit.html"
        assert files.name_of("lock", "modellock", ending=".html") == "lock-modellock.html"

    def test_no_two_lists_of_names_share_a_file(self) -> None:
        parts = ["a", "A", "a-b", "b", "a b", "a/b", "a_b", "é", "x" * 300, "x" * 301, "", "-", ".", ".."]
        lists = [("kind", one, two) for one in parts for two in parts]
        names = [files.name_of(*chosen, ending=".png") for chosen in lists]
        assert len({name.lower() for name in names}) == len(names)
        assert max(len(name.encode()) for name in names) <= files.LONGEST
        assert all(re.fullmatch(r"[A-Za-z0-9.-]+", name) for name in names)

    def test_a_name_that_looks_like_a_digest_gets_one_too(self) -> None:
        long = files.name_of("lock", "x y")
        assert files.name_of("lock", long.removeprefix("lock-")) != long


class TestOddContent:
    """Records by other people may lack anything, and hold text where a number is due."""

    OPTIONAL = (
        "floor", "victim_authorised", "oracle", "UP", "LP", "UP_shipped", "LP_shipped", "RP", "RP_validation",
        "authorised_after", "meter", "lock_meter", "key", "key_ms_per_image", "key_megabytes", "extra_parameters",
        "error", "selected", "defender_needs", "LP_after_batch_norm", "budget_spent", "traceback",
    )  # fmt: skip

    def test_any_field_may_be_absent(self, tmp_path: Path) -> None:
        rng = random.Random(0)
        base = [*world((80.0, 61.0), (30.0, 24.0), curve=CURVE), record("modellock", "none", RP=None)]
        base.append(record("ntl", "none", RP=None, scenario="digits:fonts"))
        for name in self.OPTIONAL:
            for r in base:
                setattr(r, name, None)
            _everything(base, None)
            base = [*world((80.0, 61.0), (30.0, 24.0), curve=CURVE), record("modellock", "none", RP=None)]
        for _ in range(20):
            odd = copy.deepcopy(base)
            for r in odd:
                for name in rng.sample(self.OPTIONAL, 6):
                    setattr(r, name, None)
                r.conditions, r.classes, r.curve = [], [], []
                r.status = rng.choice(["ok", "failed", "invalid"])  # type: ignore[assignment]
            _everything(odd, None)
        _everything(odd, tmp_path)

    @pytest.mark.parametrize("value", ["text", "1", float("nan"), float("inf"), 10**400, [1], {"a": 1}, True, None])
    def test_any_meter_may_be_no_number(self, value: Any) -> None:
        curve = [CurvePoint(meter={"guesses": value, "edited": 1}, RP=rp, note={"n": value}) for rp in (1.0, 2.0)]
        meters = {"meter": {"guesses": value, "steps": 3}, "lock_meter": {"seconds": value, "steps": value}}
        odd = world((80.0, 61.0), (30.0, 24.0), curve=curve, extra_parameters=None, **meters)
        steps = None if isinstance(value, float) else value  # no identity holds a number that is not finite
        odd += [record(attack="finetune", attack_explicit={"steps": s}, **meters) for s in (steps, 4)]
        for point in odd[0].curve:
            point.RP = float("nan")
        _everything(odd, None)

    def test_huge_notes_and_meters_are_cut(self) -> None:
        note, meter = {"n": "x" * 10**6}, {f"m{i}" * 50: i for i in range(2000)}
        error = "y" * 10**6
        odd = world(
            curve=[CurvePoint(meter=meter, RP=50.0, note=note)] * 3, meter=meter, flags=[Flag(name="f", detail=error)]
        )
        odd.append(record("ntl", status="failed", RP=None, error=error))
        for fmt in ("md", "csv", "json", "latex"):
            assert len(render(rows(odd), fmt)) < 200_000

    def test_evidence_of_any_shape(self, tmp_path: Path) -> None:
        class Odd(FakeStore):
            def evidence(self, record: Record) -> dict[str, np.ndarray]:
                own = dict(super().evidence(record)) | {"test_labels": np.zeros((2, 2)), "test_index": np.arange(5)}
                own |= {"pred/RP": np.zeros(3), "samples/raw": np.zeros(4), "samples/key": np.zeros((1, 1, 2, 2))}
                return own | {
                    "samples/labels": np.array(["a"]),
                    "authorised_labels": np.zeros(3),
                    "pred/UP": np.zeros(1),
                }

        made = [*world((80.0, 61.0), (30.0, 24.0)), record("ntl", "none", RP=None, scenario="digits:fonts")]
        site.write(Odd(made, samples=True), tmp_path / "page")
        write(Odd(made, samples=True), tmp_path / "out")


def _everything(records: list[Record], folder: Path | None) -> None:
    table = rows(records)
    for fmt in ("md", "csv", "json", "latex"):
        render(table, fmt)
    for fmt in matrix.FORMATS:
        matrix.render(table, fmt)
    printed(table, 100)
    trials.render([r.model_copy(update={"split": "judge-validation"}) for r in records], "md")
    [in_short(r.cell) for r in records]
    if folder is not None:
        site.write(FakeStore(records, samples=True), folder / "page")
        write(FakeStore(records, samples=True), folder / "out")


class TestAscii:
    def test_tables_in_ascii_keep_their_columns(self) -> None:
        from reports.text.terminal import terminal

        class Ascii(io.StringIO):
            encoding = "ascii"

        screen = Screen(file=Ascii(), width=120)
        screen.print(terminal(rows(world((80.0, 61.0), (30.0, 24.0)))))
        text = screen.file.getvalue()  # type: ignore[attr-defined]
        assert text.isascii()
        assert "+/-" in text
        assert max(map(len, text.splitlines())) <= 120

    @pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"LANG": "C", "LC_ALL": "C"}])
    def test_no_command_fails_for_want_of_a_letter(self, environment: dict[str, str], tmp_path: Path) -> None:
        store = Store(tmp_path / "s")
        for r in [*world((80.0, 61.0), (30.0, 24.0)), record("名前", RP=None, status="failed", error="±")]:
            store.put(r, {})
        code = """
import sys
from bench.cli import main
markdown = ["report", "--format", "md"]
for arguments in (["list"], ["show", "modellock"], ["status"], ["report"], markdown, ["run", "--dry-run"]):
    sys.argv = ["bench", *arguments] + (["--store", "s"] if arguments[0] in ("status", "report") else [])
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, (arguments, stop.code)
"""
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "COLUMNS": "120", **environment},
            capture_output=True, timeout=HANGS,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-2000:]
        assert b"Traceback" not in done.stderr
        if "PYTHONIOENCODING" in environment:
            assert done.stdout.isascii()
            assert b"+/-" in done.stdout
