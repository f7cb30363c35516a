"""Records as a DataFrame, and that importing bench needs neither pandas nor torch."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import example_records
import numpy as np
import pytest
from example_worlds import World
from places import DOCS

import bench
from bench.errors import UserError
from bench.records import PluginRef
from bench.store import Store
from bench.threat import Budget
from reports.rows.aggregate import rows


def test_a_line_a_record(tmp_path: Path) -> None:
    store, world = Store(tmp_path / "s"), World((0, 1), 1)
    for record in world.records:
        store.put(record, {})
    frame = bench.load_records(tmp_path / "s")
    assert len(frame) == len(world.records)
    line = frame[(frame.lock == "modellock") & (frame.attack == "prompt-search") & (frame.replicate == 1)].iloc[0]
    (source,) = [r for r in world.records if r.hash == line["hash"]]
    assert source.RP is not None
    assert (line.RP, line.RP_n, line.RP_low) == (source.RP.value, source.RP.n, source.RP.low)
    assert line["threat.share"] == 0.01
    assert line["budget.guesses"] == 64
    assert np.isnan(frame["RP_validation"].astype(float)).all()


def test_a_store_without_a_record_has_columns(tmp_path: Path) -> None:
    Store(tmp_path / "s")
    frame = bench.load_records(tmp_path / "s")
    assert len(frame) == 0
    assert {"status", "lock", "attack", "RP", "public_baseline"} <= set(frame.columns)


def test_every_setting_and_what_follows_from_the_controls_has_a_column(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    made = example_records.world((80.0, 61.0), (30.0, 24.0))
    own = made[0]
    own.cell.lock.params, own.cell.lock.explicit = {"alpha": 0.5, "steps": 3}, {"alpha": 0.5}
    own.cell.key.params = {"editor": "miniature"}
    own.cell.task_settings = {"task.size": 64}
    for r in made:  # controls of the same images
        r.cell.task_settings, r.row_key = own.cell.task_settings, r.cell.row_key()
        r.provenance.versions, r.provenance.seeds = {"torch": "2.9"}, {"lock": 7}
        r.provenance.seconds, r.provenance.machine = {"protected": 1.5, "scored": 0.5}, "x86_64 cpu"
        r.row_key = r.cell.row_key()
        store.put(r, {})
    frame = bench.load_records(tmp_path / "s").set_index("hash")
    line = frame.loc[own.hash]
    cell = own.cell
    settings = {
        **{f"lock.{k}": v for k, v in cell.lock.params.items()}, "key.editor": "miniature", "task.size": 64,
        **{f"threat.{k}": v for k, v in cell.threat.values().items()},
    }  # fmt: skip
    for name, value in settings.items():
        assert line[name] == value, name
    assert {f"budget.{name}" for name in Budget.params} <= set(frame.columns)
    assert line["settings"] == "lock.alpha=0.5, task.size=64"
    assert (line["public_baseline"], line["advantage"]) == (30.0, 50.0)
    assert line["recovery"] == pytest.approx((80 - 20) / (90 - 20))
    assert line["public_baseline_hash"] in frame.index
    assert (line["version.torch"], line["seed.lock"], line["seconds.scored"], line["seconds"]) == ("2.9", 7, 0.5, 2.0)
    assert line["machine"] == "x86_64 cpu"
    for name in ("UP", "LP", "RP", "oracle", "public_baseline", "advantage", "recovery"):
        assert {f"{name}_low", f"{name}_high"} <= set(frame.columns)
    (row,) = [r for r in rows(made) if r.row_key == own.row_key and r.lock_name == "modellock"]
    assert row.of_seed("advantage", 0) == line["advantage"]
    assert row.of_seed("recovery", 0) == line["recovery"]


def test_a_setting_without_effect_is_missing_and_the_key_that_was_drawn_is_there(tmp_path: Path) -> None:
    store, record = Store(tmp_path / "s"), World((0,), 1).records[0]
    record.cell.key = PluginRef(name="edit", params={"key_choice": "drawn", "prompt": "with oil pastel"})
    record.key = {"method": "edit", "prompt": "with picasso", "settings": {"alpha": 0.5}}
    record.row_key = record.cell.row_key()
    store.put(record, {})
    line = bench.load_records(tmp_path / "s").iloc[0]
    assert "key.prompt" not in line
    assert (line["key.key_choice"], line["key_value.prompt"], line["key_value.alpha"]) == ("drawn", "with picasso", 0.5)


def test_every_column_is_in_the_documentation(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    for record in World((0,), 1).records:
        store.put(record, {})
    page = (DOCS / "reference" / "reports.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w.]+)`", page.partition("## Records as a table")[2].partition("## Text")[0]))
    for column in bench.load_records(tmp_path / "s").columns:
        group = column.partition(".")[0]
        plain = re.sub(r"_(low|high|n)$", "", column)
        assert column in named or plain in named or f"{group}.NAME" in named or f"{group}.STAGE" in named, column


def test_errors_speak(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no store"):
        bench.load_records(tmp_path)
    with pytest.raises(AttributeError, match="no attribute 'load_record'"):
        _ = bench.load_record


def test_import_bench_is_light() -> None:
    code = "import sys, bench; sys.exit(any(m in sys.modules for m in ('torch', 'pandas', 'reports')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
