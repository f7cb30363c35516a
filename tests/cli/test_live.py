"""Progress of a run: a row shows what is known of it, and again when its baseline is there."""

from __future__ import annotations

import io
import sys

import pytest
import typer
from example_records import record, world

from bench.cli import console
from bench.cli.live import Live, command, end
from bench.cli.screen import Screen
from bench.plan.graph import Graph, Stage
from bench.records import Record


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.setattr(console, "err", Screen(file=text, width=120))
    return text


def watching(records: list[Record], wanted: Record) -> Live:
    stages = [Stage("scored", r.hash, r.cell, (), (), 60.0, 1.0) for r in records]
    return Live(Graph(stages, [(0,)] * len(stages)), 1, frozenset({wanted.row_key}), [], lambda _: {})


def lines(stream: io.StringIO) -> list[str]:
    return [line for line in stream.getvalue().splitlines() if line.strip()]


def test_a_row_is_shown_as_it_is_measured(stream: io.StringIO) -> None:
    row, baseline = record(RP=80.0), record("none", "from-scratch", RP=30.0)
    watch = watching([row, baseline], row)
    watch.measured(row, {})
    assert lines(stream)[-1] == "modellock × prompt-search  UP 88.0  LP 20.0  RP 80.0  baseline —  baseline to come"
    watch.done(baseline)
    assert lines(stream)[-1].startswith("modellock × prompt-search  UP 88.0  LP 20.0  RP 80.0  baseline 30.0  ")
    shown = len(lines(stream))
    watch.done(row)
    assert len(lines(stream)) == shown, "nothing has changed"


def test_a_run_that_goes_on_shows_what_is_new_of_another_attack_and_what_it_changes(stream: io.StringIO) -> None:
    before, new = record(RP=80.0), record("modellock", "finetune", RP=50.0)
    baseline = record("none", "from-scratch", RP=30.0)
    stages = [Stage("scored", r.hash, r.cell, (), (), 60.0, 1.0) for r in (new, baseline)]
    wanted = frozenset({before.row_key, new.row_key})
    watch = Live(Graph(stages, [(0,)] * len(stages)), 1, wanted, [before], lambda _: {})
    watch.done(new)
    assert [line.partition("  ")[0] for line in lines(stream)] == ["modellock × finetune"]
    watch.done(baseline)
    assert [line.partition("  ")[0] for line in lines(stream)[2:]] == [
        "modellock × prompt-search",
        "modellock × finetune",
    ]


def test_controls_and_failures_take_a_line_each(stream: io.StringIO) -> None:
    row, control = record(RP=80.0), record("destroyed", RP=10.0)
    failed = record(RP=None, status="failed", error="GuestFailed: it died")
    watch = watching([row, control], row)
    watch.done(control)
    watch.done(failed)
    first, second = lines(stream)
    assert first.startswith("ok control destroyed × prompt-search  RP 10.0")
    assert second.startswith("failed modellock × prompt-search")
    assert "it died" in second


def test_seeds_and_places_are_named_where_there_are_several(stream: io.StringIO) -> None:
    records = world((80.0, 78.0), (30.0, 28.0))
    watch = watching(records, records[0])
    watch.done(records[0])
    assert "modellock × prompt-search, seed 0" in lines(stream)[-1]


def test_a_run_counts_its_cells(stream: io.StringIO) -> None:
    row = record(RP=80.0)
    watch = watching([row], row)
    with watch.progress:
        watch.stage(row.cell, "victim", 3, 500, "steps")
        watch.done(row)
    assert watch.progress.finished


def test_a_stage_that_has_ended_takes_its_line_away_and_no_other(stream: io.StringIO) -> None:
    row, other = record(RP=80.0), record("none", "from-scratch", RP=30.0)
    watch = watching([row, other], row)
    watch.stage(row.cell, "victim", 3, 500, "steps")
    watch.stage(row.cell, "key", 1, 2, "images")
    watch.stage(other.cell, "unlock", 3, 500, "steps")
    assert len(watch.progress.tasks) == 4  # the cells, and three stages
    watch.stage_ended(Stage("victim", "v", row.cell, (), (), 1.0, 1.0))
    assert [task.description.split(":")[1].strip() for task in watch.progress.tasks[1:]] == ["unlock"]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_log_has_a_line_for_each_lock(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    text = io.StringIO()
    monkeypatch.setattr(console, "err", Screen(file=text, width=120, force_terminal=terminal, color_system=None))
    row = record(RP=80.0)
    lock = Stage("protected", "p", row.cell, (), (), 1.0, 1.0)
    stages = [lock, Stage("scored", row.hash, row.cell, (0,), (), 60.0, 1.0)]
    watch = Live(Graph(stages, [(0,)] * 2), 1, frozenset({row.row_key}), [], lambda _: {})
    watch.stage_ended(lock)
    line = "lock modellock, digits · vit, seed 0  (1 of 2 stages, about 1 min 00 s left)"
    assert ([] if terminal else [line]) == lines(text)


def test_a_wait_shows_at_a_terminal_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (True, False):
        text = io.StringIO()
        monkeypatch.setattr(console, "err", Screen(file=text, width=80, force_terminal=terminal, color_system=None))
        with console.busy("checking the plan"):
            pass
        assert ("checking the plan" in text.getvalue()) is terminal
        assert terminal or text.getvalue() == ""


def test_rows_that_differ_in_the_threat_model_alone_are_told_apart(stream: io.StringIO) -> None:
    few, none = (record(RP=80.0, threat={"access": "weights", "share": share}) for share in (0.05, 0.1))
    watch = watching([few, none], few)
    watch.measured(few, {})
    assert lines(stream)[-1].startswith("modellock × prompt-search, threat.share=0.05")


@pytest.mark.parametrize("status", ["failed", "invalid"])
def test_a_cell_without_a_result_ends_the_command_with_status_1(status: str, stream: io.StringIO) -> None:
    bad = record(RP=None, status=status, error="GuestFailed: it died")
    with pytest.raises(typer.Exit) as caught:
        end([record(RP=80.0), bad])
    assert caught.value.exit_code == 1
    assert f"{status}: digits" in stream.getvalue()
    assert "it died" in stream.getvalue()
    end([record(RP=80.0)])


def test_a_record_names_its_command_without_where_somebody_keeps_files(monkeypatch: pytest.MonkeyPatch) -> None:
    own = [
        "--store",
        "/home/me/runs",
        "--plugin",
        "/home/me/my_lock.py",
        "--plugin=/home/me/b.py",
        "-p",
        "lock.rate=0.1",
    ]
    monkeypatch.setattr(sys, "argv", ["bench", "run", *own, "--store=/home/me/x", "--suite", "suites/a.toml"])
    words = "bench run --plugin my_lock.py --plugin=b.py -p lock.rate=0.1 --suite suites/a.toml"
    assert command() == words
