"""Sweeps over budgets: the curve, what half costs, and the command line that makes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_records import calibration, record

from bench import plan
from bench.errors import UserError
from bench.records import Record
from bench.threat import Budget
from reports.page import curves, figures
from reports.rows.aggregate import rows
from reports.rows.budget_surface import captions, surfaces
from reports.text.captions import grouped


def _swept(*points: tuple[float, int, float]) -> list[Record]:
    out = calibration()
    for share, steps, rp in points:
        threat = {"share": share}
        out.append(record(attack="finetune", RP=rp, threat=threat, attack_explicit={"steps": steps}))
        out.append(record("none", "from-scratch", RP=20 + 100 * share, threat=threat))
    return out


def test_rows_that_differ_in_spending_alone_make_one_surface() -> None:
    points = [(0.01, 100, 30.0), (0.05, 100, 50.0), (0.1, 100, 70.0), (0.01, 400, 56.0), (0.05, 400, 60.0)]
    (surface,) = surfaces(rows([*_swept(*points), record(attack="other")]))
    assert surface.axes == ("threat.share", "attack.steps")
    assert sorted(surface.points) == [(0.01, 100), (0.01, 400), (0.05, 100), (0.05, 400), (0.1, 100)]
    # LP 20, oracle 90: half is back at 55
    assert surface.half_costs() == {(100,): 0.1, (400,): 0.01}
    (caption,) = captions([surface])
    assert "0.1 (optimiser steps 100); 0.01 (optimiser steps 400)" in caption


def test_the_page_draws_a_line_for_each_further_budget_and_tells_every_point() -> None:
    points = [(0.01, 100, 30.0), (0.1, 100, 70.0), (0.01, 400, 56.0), (0.1, 400, 60.0)]
    (group,) = grouped(rows(_swept(*points)))
    (chart,) = curves.budgets(group)
    assert [series.name for series in chart.series] == [
        "RP, labelled share of unauthorised images 0.01", "public baseline, the same data",
        "RP, labelled share of unauthorised images 0.1",
        "public baseline, the same data, labelled share of unauthorised images 0.1",
    ]  # fmt: skip
    assert [[point.y for point in series.points] for series in chart.series[::2]] == [[30.0, 56.0], [70.0, 60.0]]
    assert chart.x.ticks == [100, 400]
    assert chart.table is not None
    assert len(chart.table.rows) == 4
    assert chart.caption.startswith("Half-recovery cost of")


def test_a_row_that_sets_more_does_not_hide_a_surface() -> None:
    swept = _swept((0.01, 100, 30.0), (0.1, 100, 70.0))
    plain = [record(attack="finetune", RP=40.0, threat={"share": share}) for share in (0.01, 0.1)]
    assert len(surfaces(rows([*swept, *plain]))) == 2
    assert len(surfaces(rows([*swept, plain[0]]))) == 1


@pytest.mark.parametrize("limit", ["seconds", "calls"])
def test_every_limit_of_the_budget_is_an_axis(limit: str) -> None:
    pool = []
    for most in (10, 20):
        one = record(attack="finetune", RP=30.0 + most)
        cell = one.cell.model_copy(update={"budget": Budget(**{limit: most})})
        pool.append(one.model_copy(update={"cell": cell, "row_key": cell.row_key()}))
    (surface,) = surfaces(rows([*calibration(), *pool, record("none", "from-scratch", RP=20.0)]))
    assert surface.axes == (f"budget.{limit}",)


def test_half_may_never_come_back_and_one_row_is_no_surface(tmp_path: Path) -> None:
    (surface,) = surfaces(rows(_swept((0.01, 100, 21.0), (0.1, 100, 22.0))))
    assert surface.half_costs() == {(): None}
    assert figures.budget_curves(surface, tmp_path / "budget.png").stat().st_size > 10_000
    assert surfaces(rows(_swept((0.01, 100, 21.0)))) == []


def test_a_sweep_on_the_command_line() -> None:
    assert plan.parse_sweeps(["threat.share=0.01, 0.1", "attack.steps=100,400"]) == {
        "threat.share": ["0.01", "0.1"],
        "attack.steps": ["100", "400"],
    }
    for wrong in ("threat.share=0.1", "threat.share=0.1,0.1", "share=1,2", "threat.share"):
        with pytest.raises(UserError):
            plan.parse_sweeps([wrong])


def test_what_an_attack_cannot_run_is_left_out_of_a_sweep() -> None:
    line = plan.SuiteLine(["modellock"], ["finetune"], ["digits"], ["cnn"], sweep={"threat.share": ["0", "0.1"]})
    runs, left = plan.accepted(plan.build([line]))
    assert {cell.attack.name for cell, _ in left} == {"finetune"}
    assert all(cell.threat.share == 0 and "labelled" in reason for cell, reason in left)
    assert 0.1 in {p.cell.threat.share for p in runs if p.cell.attack.name == "finetune"}
    with pytest.raises(UserError, match="finetune cannot run with access=weights, share=0"):
        plan.check_accepts(plan.build([line]))
