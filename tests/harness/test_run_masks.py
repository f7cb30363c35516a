"""A run on masks, from the command line to its record, and every number of it again without any code of the project."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from places import PLUGINS
from safetensors.numpy import load_file


def _pictures(root: Path) -> str:
    """60 pictures of a red or a blue square on noise, with their masks; one row of each is not judged."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for i in range(60):
        image = rng.integers(0, 90, (16, 16, 3), dtype=np.uint8)
        mask = np.zeros((16, 16), dtype=np.uint8)
        x, y = rng.integers(0, 8, 2)
        image[y : y + 8, x : x + 8, 2 * (i % 2)] += 150
        mask[y : y + 8, x : x + 8] = 1 + i % 2
        mask[0] = 255
        Image.fromarray(image).save(root / "images" / f"{i:02d}.png")
        Image.fromarray(mask).save(root / "masks" / f"{i:02d}.png")
    (root / "classes.txt").write_text("background\nred\nblue\n")
    return f"folder-seg:{root}"


def _mean_iou(counts: np.ndarray) -> float:
    """From (K, K + 1) pixels by true and predicted class."""
    scores = []
    for c in range(len(counts)):
        union = counts[c].sum() + counts[:, c].sum() - counts[c, c]
        if union:
            scores.append(counts[c, c] / union)
    return 100 * float(np.mean(scores))


@pytest.fixture(scope="module")
def store(bench: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a lock under the patch key and an attack. It trains, since every stage's output is under test."""
    root = tmp_path_factory.mktemp("masks")
    (root / "suite.toml").write_text(f"""about = "Masks."
tasks = ["{_pictures(root / "squares")}"]
models = ["tiny-masks"]
seeds = 1
[[row]]
locks = ["modellock"]
attacks = ["none", "norm-adaptation"]
params = {{ "lock.key" = "patch", "lock.steps" = 3, "attack.steps" = 2, "task.size" = 16 }}
public_baseline = {{ "attack.trials" = 1, "attack.steps" = 5 }}
""")
    done = bench(
        "run", "--suite", str(root / "suite.toml"), "--threads", "1", "--jobs", "1", "--store", str(root / "store"),
        f"--plugin={PLUGINS / 'tiny_masks.py'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    return root / "store"


def _records(store: Path) -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    return [
        (json.loads(file.read_text()), load_file(file.parent / "evidence.safetensors"))
        for file in sorted(store.glob("records/*/record.json"))
    ]


def test_every_number_can_be_had_again_from_the_record(store: Path) -> None:
    records = _records(store)
    assert len(records) == 6
    for record, evidence in records:
        assert record["status"] == "ok"
        assert record["metric"] == "mIoU"
        numbers = 0
        for name in ("victim_authorised", "oracle", "UP", "LP", "UP_shipped", "LP_shipped", "RP", "authorised_after"):
            measured, counts = record[name], evidence.get(f"confusion/{name}")
            if measured is None:
                continue
            assert counts is not None
            assert len(counts) == measured["n"] == len(evidence["test_index"])
            assert _mean_iou(counts.sum(0)) == pytest.approx(measured["value"], abs=1e-3)
            # The same images, drawn again and again: the ends of the interval.
            rng = np.random.default_rng(1)
            draws = [_mean_iou(counts[rng.integers(len(counts), size=len(counts))].sum(0)) for _ in range(1000)]
            assert measured["low"] == pytest.approx(np.percentile(draws, 2.5), abs=2.5)
            assert measured["high"] == pytest.approx(np.percentile(draws, 97.5), abs=2.5)
            numbers += 1
        assert numbers >= 7


def test_the_floor_is_in_the_record(store: Path) -> None:
    for record, evidence in _records(store):
        counts = evidence["confusion/floor"]
        assert _mean_iou(counts.sum(0)) == pytest.approx(record["floor"], abs=1e-3)
        true = counts.sum((0, 2))
        assert record["floor"] >= 100 * true.max() / true.sum() / 3 - 1e-3, "no mask of one class is better"
        judged = counts.sum((1, 2))
        assert (judged == 16 * 15).all(), "a row of every mask is not judged"


def test_tables_and_page_speak_of_miou(store: Path, bench: Callable[..., Any], tmp_path: Path) -> None:
    done = bench("report", "--store", str(store), "--details")
    assert done.returncode == 0, done.stderr
    assert "mIoU over the K real classes" in done.stdout
    assert "ccuracies" not in done.stdout
    done = bench("report", "--store", str(store), "--html", str(tmp_path / "page"))
    assert done.returncode == 0, done.stderr
    pages = "".join(file.read_text() for file in (tmp_path / "page").glob("*.html"))
    assert "the true masks" in pages
    assert "Masks lie over the images" in pages
    assert "mIoU" in pages


def test_a_record_shows_each_class(store: Path, bench: Callable[..., Any]) -> None:
    record, evidence = next((r, e) for r, e in _records(store) if r["cell"]["lock"]["name"] == "modellock")
    done = bench("show", record["provenance"]["hash"], "--store", str(store))
    counts = evidence["confusion/UP"].sum(0)
    red = 100 * counts[1, 1] / (counts[1].sum() + counts[:, 1].sum() - counts[1, 1])
    (line,) = [line.split() for line in done.stdout.splitlines() if line.startswith("red ")]
    assert f"{red:.1f}" in line
