"""An invalid result is shown as invalid with its reason: never as a verdict, a number, a rank, or not at all."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_records import CURVE, FakeStore, baselines, calibration, exactly, measured, printed, record, world

import bench
from bench import plan
from bench.plan import ensemble
from bench.records import Condition, Flag, Record
from bench.store import Store
from reports.page import charts, curves, site
from reports.rows import ensemble as worst
from reports.rows.aggregate import rows
from reports.rows.budget_surface import captions as surface_captions
from reports.rows.budget_surface import surfaces
from reports.text import trials
from reports.text.captions import captions
from reports.text.groups import grouped
from reports.text.tables import render

REASONS = ("not-finite", "wrong-shape")


def invalid(
    lock: str = "ntl", attack: str = "prompt-search", replicate: int = 0, reason: str = "not-finite", **more: Any
) -> Record:
    """A record whose numbers are what a judge makes of NaN: the floor everywhere."""
    floor = {"UP": measured(10.0), "LP": 10.0, "RP": 10.0, "curve": CURVE}
    condition = Condition(kind="right", what="k", accuracy=exactly(10.0))
    return record(
        lock, attack, replicate, status="invalid", error="the scores are not finite",
        flags=[Flag(name=reason, detail="why")], conditions=[condition], **{**floor, **more},
    )  # fmt: skip


@pytest.mark.parametrize("reason", REASONS)
def test_every_format_says_invalid_and_why_and_prints_no_number_of_it(reason: str, tmp_path: Path) -> None:
    table = rows([*world(), invalid(reason=reason)])
    (row,) = [r for r in table if r.lock_name == "ntl"]
    assert (row.verdict, row.reason, row.broken) == ("invalid", reason, None)
    assert {name for name, value in row.values.items() if value is not None} <= {
        "oracle", "victim_authorised", "floor", "public_baseline",
    }  # fmt: skip
    assert not row.conditions
    assert row.curve is None
    for fmt in ("md", "latex", "terminal"):
        text = printed(table, 200) if fmt == "terminal" else render(table, fmt)
        assert f"invalid: {reason}" in text
        assert "Key conditions of ntl" not in text
    (line,) = [line for line in csv.DictReader(io.StringIO(render(table, "csv"))) if line["lock"] == "ntl"]
    assert line["verdict"] == f"invalid: {reason}"
    (entry,) = [entry for entry in json.loads(render(table, "json")) if entry["lock"] == "ntl"]
    assert entry["status"] == "invalid"
    for found in (line, entry):
        assert [found[name] or None for name in ("UP", "LP", "RP", "advantage", "recovery")] == [None] * 5
    page = site.write(FakeStore([*world(), invalid(reason=reason)]), tmp_path / "page").read_text(encoding="utf-8")
    assert f"invalid: {reason}" in page


def test_a_row_with_an_invalid_seed_says_so(tmp_path: Path) -> None:
    made = [*world((20.0, 21.0), (30.0, 30.0, 30.0)), invalid("modellock", replicate=2)]
    table = rows(made)
    assert [r.verdict for r in table if r.lock_name == "modellock"] == ["not broken by this attack", "invalid"]
    for text in (render(table, "md"), render(table, "csv"), printed(table, 300)):
        assert "not broken by this attack; seed 2 invalid" in text
    page = site.write(FakeStore(made), tmp_path / "page").read_text(encoding="utf-8")
    assert "not broken by this attack; seed 2 invalid" in page


def test_ranks_name_what_does_not_count() -> None:
    locks = [record(lock, replicate=i, RP=rp + i) for lock, rp in (("ntl", 40.0), ("map", 70.0)) for i in range(3)]
    made = [*locks, *calibration(), *baselines(30.0, 30.0, 30.0), *(invalid("ntl", "finetune", i) for i in range(3))]
    (line,) = [line for line in captions(grouped(rows(made))[0]) if line.startswith("Ranks")]
    assert "Without what does not count: ntl (edit) × finetune" in line
    only = rows([*world(), *(invalid("ntl", replicate=i) for i in range(3))])
    assert not any("ntl" in line for line in captions(grouped(only)[0]) if line.startswith("Ranks"))


def test_an_invalid_member_of_an_ensemble_is_named() -> None:
    listed = ensemble.read()
    threat = listed.threats[0]
    made = []
    for i, member in enumerate(threat.members):
        cell = None
        try:
            cell = plan.make_cell("modellock", member.attack, "digits", "vit", {**threat.params, **member.params})
        except Exception:
            continue
        base = record() if len(made) != 1 else invalid("modellock")
        base.cell = cell
        base.RP, base.RP_validation = exactly(40.0 + i), exactly(40.0 + i)
        base.provenance.hash = f"h{i}"
        made.append(base.model_copy(update={"row_key": cell.row_key()}))
        if len(made) == 4:
            break
    name = made[1].cell.attack.name
    ((_, case),) = worst.worst_cases(made)
    (member,) = case.left_out
    assert member.startswith(name)
    assert case.left_out[member] == {0: "invalid: not-finite"}
    assert member not in case.missing
    assert case.chosen[0] != member
    baseline = record("none", "from-scratch", RP=30.0, threat=made[0].cell.threat.values())
    table = rows([*made, baseline, *calibration()])
    text = render(table, "csv")
    assert "1 member not counted" in text
    (headline,) = [row for row in json.loads(render(table, "json")) if row["ensemble"] is not None]
    assert len(headline["ensemble"]["row_keys"]) == 3
    assert f"{member} does not count: seed 0 invalid: not-finite" in " ".join(captions(grouped(table)[0]))


def test_charts_and_surfaces_name_what_is_not_drawn() -> None:
    shares = [record("ntl", threat={"share": s}, RP=50.0, curve=CURVE) for s in (0.01, 0.05)]
    public = [record("none", "from-scratch", RP=30.0, threat={"share": s}) for s in (0.01, 0.05)]
    made = [*shares, *public, *calibration(), invalid("ntl", threat={"share": 0.1})]
    table = rows(made)
    (surface,) = surfaces(table)
    assert surface.left == ("labelled share of unauthorised images 0.1: invalid, not-finite",)
    assert "Without what does not count" in surface_captions([surface])[0]
    (group,) = grouped(table)
    chart = charts.trade_off(group, {})
    assert chart is not None
    assert "ntl (edit) × prompt-search (invalid: not-finite)" in chart.caption
    assert all("0.1" not in point.words for c in curves.recovery_curves(group) for s in c.series for point in s.points)


def test_trials_leave_out_what_is_invalid_and_say_so() -> None:
    settings = {"split": "judge-validation", "attack_explicit": {"rate": 0.1}}
    good = [record("ntl", replicate=i, RP=60.0, **settings) for i in (1000, 1001)]
    other = [
        record("ntl", replicate=i, RP=50.0, split="judge-validation", attack_explicit={"rate": 0.2})
        for i in (1000, 1001)
    ]
    bad = invalid("map", replicate=1000, **settings)
    (group,) = trials.trials([*good, *other, bad])
    assert group.table["rate 0.1"] == {"ntl (digits, edit)": 60.0}
    assert group.lost == ("rate 0.1, map (digits, edit): seed 1000 invalid: not-finite",)
    half = [good[0], invalid("ntl", replicate=1001, **settings), *other]
    (group,) = trials.trials(half)
    assert group.table["rate 0.1"] == {}, "a mean over the seeds that went well flatters"
    assert group.best is None
    assert "invalid: not-finite" in trials.render(half, "md")
    trials.render([bad], "md")


def test_load_records_has_no_number_of_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    for r in [*world(), invalid()]:
        store.put(r, {})
    frame = bench.load_records(tmp_path / "s")
    line = frame[frame.status == "invalid"].iloc[0]
    assert line.reason == "not-finite"
    numbers = [line[name] for name in ("UP", "LP", "RP", "RP_low", "advantage", "recovery", "authorised_after")]
    assert all(x is None or np.isnan(x) for x in numbers)
    assert line.oracle == 90.0
