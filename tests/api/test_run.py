"""The Python API: the same rows as the command line, as tables and as a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import bench as api
from bench.api.execution import Execution, usual_jobs
from bench.api.results import COLUMNS, Results
from bench.errors import UserError
from bench.records import Record
from bench.store import Store
from bench.store.settings import Settings
from reports.rows import aggregate


@pytest.fixture(scope="module")
def results(real_store: Path) -> Results:
    return Results(Store(real_store, write=False).records(), real_store)


def test_a_table_has_the_numbers_of_the_report(results: Results) -> None:
    table = results.table(controls=True)
    rows = aggregate.rows(results.records, Store(results.store, write=False).evidence)
    assert list(table.columns) == COLUMNS
    assert table["RP"].dropna().tolist() == [row.mean("RP") for row in rows if row.mean("RP") is not None]
    assert set(results.table()["lock"]) < set(table["lock"])


def test_the_worst_case_is_one_row_a_lock(results: Results) -> None:
    worst = results.worst()
    assert len(worst) == len(set(worst["lock"]))
    best = results.table().groupby("lock")["advantage"].max()
    assert worst.set_index("lock")["advantage"].to_dict() == best.to_dict()


def test_a_notebook_shows_a_table(results: Results) -> None:
    html = results._repr_html_()
    assert html.startswith("<table")
    assert "verdict" in html


def test_a_report_is_a_page(results: Results, tmp_path: Path) -> None:
    page = results.report(tmp_path / "page")
    assert page.name == "index.html"
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_what_is_done_is_not_done_again(small_task: str, small_run: Callable[..., list[str]], store_copy: Path) -> None:
    arguments = small_run(store_copy)
    plugins = [a.partition("=")[2] for a in arguments if a.startswith("--plugin=")]
    suite = arguments[arguments.index("--suite") + 1]
    before = Store(store_copy, write=False).records()
    again = api.run(suite=suite, plugins=plugins, store=store_copy, threads=1, device="cpu", entropy="plan")
    assert {r.hash for r in again.records} == {r.hash for r in before}
    assert {r.provenance.created for r in again.records} == {r.provenance.created for r in before}


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"alpha": 0.3}, "no argument 'alpha'"),
        ({"lock_alhpa": 0.3}, "alhpa"),
        ({"lock": "modelock"}, "modelock"),
    ],
)
def test_a_wrong_keyword_is_named(keywords: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        api.run(store=tmp_path / "s", **keywords)  # type: ignore[arg-type]


def test_nothing_runs_without_a_store() -> None:
    execution = Execution([], Settings(), None)
    assert execution.todo == []
    with pytest.raises(ValueError, match="no store"):
        execution.prepare(1)


@pytest.mark.parametrize(
    ("device", "threads", "cells", "cores", "jobs"),
    [("cpu", 1, 10, 2, 2), ("cpu", 1, 1, 2, 1), ("cpu", 2, 10, 2, 1), ("cpu", 1, 99, 64, 8), ("cuda", 1, 9, 16, 1)],
)
def test_jobs_where_nobody_says(
    device: str, threads: int, cells: int, cores: int, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.api.execution.cores", lambda: cores)
    assert usual_jobs(Settings(device=device, threads=threads), cells) == jobs


def test_load_records_is_one_line_a_record(real_store: Path, results: Results) -> None:
    assert len(api.load_records(real_store)) == len(results.records)
    assert all(isinstance(record, Record) for record in results.records)


def test_a_launcher_that_does_not_exist_is_named_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no launcher 'cloud'"):
        api.run("ntl", where=api.Where("cloud"), store=tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        (api.Where("local", address="auto"), "--address does not go with --launcher local"),
        (api.Where("local", gpus=0.5), "--gpus-per-cell does not go with --launcher local"),
        (api.Where("ray", slurm={"mem": "4"}), "--slurm does not go with --launcher ray"),
    ],
)
def test_what_a_launcher_does_not_read_is_refused(where: api.Where, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        api.run("ntl", where=where)
