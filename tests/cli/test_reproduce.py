"""`bench reproduce`: the recipes, what one needs, the run and its resumption, and the comparison."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_suite

from bench import datasets, plan, public_weights
from bench.plan.recipe import CHOICES

Bench = Callable[..., Any]


@pytest.fixture(scope="module")
def own(small_task: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The arguments of a recipe of one's own: the small suite with a table of facts."""
    choices = "\n".join(
        f'{name} = {{ theirs = "not known", ours = "small", source = "reconstruction" }}' for name in CHOICES
    )
    printed = f"""[[recipe.printed]]
file = "modellock_prompts.csv"
task = "{small_task}"
lock = "quick-lock"
lines = {{ concept = "zebra" }}
columns = {{ UP = "authorised", LP = "unauthorised" }}
"""
    row = small_suite.row(small_task).replace('["logit-surgery"]', '["none"]').replace(', "threat.share" = 0.2', "")
    file = tmp_path_factory.mktemp("recipe") / "mine.toml"
    file.write_text(
        f'about = "Mine."\nseeds = 2\n{row}controls = false\n\n[recipe]\npaper = "Me, 2026"\n'
        f'images = {{ "{small_task}" = 90 }}\n\n[recipe.choices]\n{choices}\n\n{printed}'
    )
    plugins = [f"--plugin={plugin}" for plugin in small_suite.FILES]
    return ["reproduce", str(file), "--threads", "1", "--device", "cpu", *plugins]


def test_without_a_name_the_recipes_are_listed(bench: Bench) -> None:
    got = bench("reproduce")
    assert got.returncode == 0
    for name in plan.recipe_names():
        assert name in got.stdout


def test_a_wrong_name_has_a_hint(bench: Bench) -> None:
    got = bench("reproduce", "ntl-digit")
    assert got.returncode == 2
    assert "no recipe 'ntl-digit'. Did you mean ntl-digits?" in got.stderr
    assert "is a suite without a [recipe]" in bench("reproduce", str(plan.SUITES / "quick.toml")).stderr
    assert "no format 'xml'" in bench("reproduce", "ntl-digits", "--format", "xml").stderr


def test_a_dry_run_says_what_is_needed_and_writes_nothing(bench: Bench, own: list[str], tmp_path: Path) -> None:
    got = bench(*own, "--dry-run", "--store", str(tmp_path / "s"))
    assert got.returncode == 0, got.stderr
    for word in ("not known", "reconstruction", "2 cells, 0 done", "TFLOP/s, an assumption", "GB of"):
        assert word in got.stdout, word
    assert not (tmp_path / "s").exists()


def test_a_dry_run_says_what_fetches_it_all_and_whether_it_fits(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOCKBENCH_DATA", "HF_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setattr(public_weights, "_has_any", lambda _repo, _files: False)
    got = bench("reproduce", "map-visda", "--dry-run", "--store", str(tmp_path / "s"))
    text = " ".join(got.stdout.split())
    assert "3 in map_average.csv; none can be compared: print is an average over tasks" in text
    assert "visda:train, visda:validation: Fetch train.tar" in text
    assert "on a connected machine run bench prepare map-visda" in text
    assert "6 missing, at least 9.8 GB" in text
    assert "GB free for the store" in text
    assert "counted on generated pictures in their place" in text + got.stderr
    assert "needs data that are not here: visda:train, visda:validation" in bench("reproduce", "map-visda").stderr


def test_data_without_a_plugin_is_said_before_anything_runs(bench: Bench, own: list[str], tmp_path: Path) -> None:
    text = Path(own[1]).read_text()
    task = text.partition('tasks = ["')[2].partition('"')[0]
    lacking = tmp_path / "lacking.toml"
    lacking.write_text(text.replace(task, "nowhere"))
    got = bench("reproduce", str(lacking), *own[2:], "--dry-run")
    assert got.returncode == 0
    assert "Unknown task 'nowhere'" in got.stdout
    assert "2 cells, 0 done" in got.stdout  # pictures stand in for it
    got = bench("reproduce", str(lacking), *own[2:], "--store", str(tmp_path / "s"))
    assert got.returncode == 2
    assert "needs data that are not here: nowhere: Unknown task 'nowhere'" in got.stderr
    assert not (tmp_path / "s").exists()
    got = bench("reproduce", str(lacking), *own[2:], "--store", str(tmp_path / "s"), "--show")
    assert got.returncode == 0, got.stderr  # what is only shown needs no data
    assert "there is no store" in got.stderr
    assert got.stdout.count("not measured") == 2
    assert not (tmp_path / "s").exists()


def test_what_is_shown_is_planned_once_and_looks_for_no_data(
    bench: Bench, own: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, built = plan.build, []
    monkeypatch.setattr(plan, "build", lambda *lines, **more: built.append(more) or build(*lines, **more))
    monkeypatch.setattr(datasets, "check", lambda task: pytest.fail(f"looked for {task}"))
    assert bench(*own, "--store", str(tmp_path / "s"), "--show").returncode == 0
    assert built == [{"to_run": False}]


def test_it_runs_compares_and_goes_on(bench: Bench, own: list[str], tmp_path: Path) -> None:
    """Two seeds of a tiny model: what is compared has to be measured first."""
    store = str(tmp_path / "s")
    first = bench(*own, "--seeds", "1", "--store", store)
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.count("1 of 2  not comparable: fewer seeds: 1 of 2") == 2
    second = bench(*own, "--store", store, "--format", "csv")
    assert "1 of 2 cells are in" in second.stdout
    lines = [line for line in second.stdout.splitlines() if line.startswith("modellock_prompts.csv")]
    assert len(lines) == 2
    assert all(line.endswith(',not comparable,"red flags: lock-is-a-no-op, up-not-above-lp"') for line in lines), lines
    third = bench(*own, "--store", store)
    assert "nothing to do: all 2 cells" in third.stdout
    assert "2 published numbers of Me, 2026" in third.stdout
    shown = bench(*own, "--store", store, "--show", "--format", "md")
    assert shown.stdout.startswith("| task |")
    assert shown.stdout.count("2 of 2") == 2
