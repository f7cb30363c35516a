"""`bench submit` and `bench leaderboard`: one real cell, run again, tells what was measured from what was made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import submissions
from places import PLUGINS
from submissions import Entry

from bench import metrics

Bench = Callable[..., object]
FILES = [f"--plugin={PLUGINS / name}.py" for name in ("tint", "quick_lock", "tiny")]


@pytest.fixture(scope="module")
def cell(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of one real cell: a quick lock on digits without an attack."""
    place = tmp_path_factory.mktemp("cell")
    done = bench(
        "run", "--lock", "quick-lock", "--attack", "none", "--task", "digits", "--model", "tiny", "--device", "cpu",
        "-p", "task.size=16", "-p", "task.victim_steps=10", "-p", "lock.steps=4", "--entropy", "plan",
        "--store", str(place / "runs"), *FILES,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    file = place / "cell.zip"
    assert bench("export", str(place / "runs"), str(file)).returncode == 0  # type: ignore[attr-defined]
    file.with_suffix(".toml").write_text(submissions.CARD)
    return file


def _copy(file: Path, folder: Path) -> Path:
    for ending in (".zip", ".toml"):
        (folder / f"cell{ending}").write_bytes(file.with_suffix(ending).read_bytes())
    return folder / "cell.zip"


def test_a_rerun_of_an_honest_cell_gives_the_same_answers(bench: Bench, cell: Path) -> None:
    done = bench("submit", str(cell), "--choice", "3", "--exact", *FILES)
    text = " ".join(done.stdout.split())  # type: ignore[attr-defined]
    assert "✓ rerun: the cell says the same when it is run here" in text, text
    assert "drawn with --choice 3 from 1" in text
    assert "the same answers" in text
    assert "the hash is the same" in text
    assert done.returncode == 1  # type: ignore[attr-defined]
    assert "refused: seeds, controls" in text  # one seed, no row under attack


def test_a_number_that_was_made_up_in_every_part_is_found_by_a_rerun_alone(
    bench: Bench, cell: Path, tmp_path: Path
) -> None:
    file = _copy(cell, tmp_path)

    def perfect(entries: list[Entry]) -> None:
        """All authorised images right, with evidence, interval and key conditions that agree."""
        for value, arrays in entries:
            labels = arrays["test_labels"]
            low, high = metrics.image_interval(np.ones(len(labels), bool))
            best = {"value": 100.0, "n": len(labels), "low": round(low, 4), "high": round(high, 4)}
            for name in ("UP", "UP_shipped"):
                value[name], arrays[f"pred/{name}"] = {**best, "metric": "accuracy"}, labels.copy()
            for condition in value["conditions"]:
                if condition["kind"] == "right":
                    condition["accuracy"] = {**best, "metric": "accuracy"}
                    arrays["pred/condition/right"] = labels.copy()

    submissions.rewritten(file, perfect)
    done = bench("submit", str(file), "--rerun", "none", *FILES)
    assert "✓ evidence" in done.stdout  # type: ignore[attr-defined]
    assert "✓ settings" in done.stdout  # type: ignore[attr-defined]
    assert "– rerun: no cell was run again" in done.stdout  # type: ignore[attr-defined]
    done = bench("submit", str(file), *FILES)
    text = " ".join(done.stdout.split())  # type: ignore[attr-defined]
    assert "✗ rerun: UP is" in text, text
    assert "and 100.00 there" in text


def test_code_of_an_archive_is_run_only_where_the_reviewer_names_it(bench: Bench, cell: Path) -> None:
    done = bench("submit", str(cell))
    text = " ".join(done.stdout.split())  # type: ignore[attr-defined]
    assert "– rerun: no cell was run again, since none can be run from what is installed here" in text, text
    assert "✗ plugins: quick_lock (source" in text
    done = bench("submit", str(cell), *FILES, "--rerun", "none")
    assert "✓ plugins: 3 modules from outside, each beside its source" in " ".join(done.stdout.split())  # type: ignore[attr-defined]


def test_markdown_goes_to_a_pull_request_and_a_wrong_cell_is_named(bench: Bench, cell: Path, tmp_path: Path) -> None:
    done = bench("submit", str(cell), "--rerun", "none", "--format", "md")
    assert done.stdout.startswith("## cell.zip: refused: ")  # type: ignore[attr-defined]
    done = bench("submit", str(cell), "--rerun", "ffff", *FILES)
    assert done.returncode == 2  # type: ignore[attr-defined]
    assert "0 records have a hash that begins with 'ffff'" in done.stderr  # type: ignore[attr-defined]
    done = bench("submit", str(tmp_path / "gone.zip"))
    assert done.returncode == 2  # type: ignore[attr-defined]


def test_sums_and_build_make_a_site(bench: Bench, cell: Path, tmp_path: Path) -> None:
    records = tmp_path / "records"
    records.mkdir()
    _copy(cell, records)
    assert "2 files" in bench("leaderboard", "sums", str(records)).stdout  # type: ignore[attr-defined]
    done = bench("leaderboard", "build", "--records", str(records), "--out", str(tmp_path / "site"))
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    assert (tmp_path / "site" / "locks" / "quick-lock.html").exists()
