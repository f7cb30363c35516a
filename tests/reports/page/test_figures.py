"""Pictures as files, and the charts that they share with the page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from example_records import CURVE, calibration, record, the_row, world
from PIL import Image

from bench.errors import UserError
from bench.records import Record
from reports.page import curves, draw_plotly, draw_png, figures, palette, samples
from reports.page.charts import condition_bars, trade_off
from reports.rows.aggregate import rows
from reports.rows.budget_surface import surfaces
from reports.text.groups import grouped


class TestFigures:
    def test_samples_say_right_and_wrong_in_words(self) -> None:
        evidence = {"samples/raw": np.zeros((2, 3, 8, 8), np.uint8), "samples/labels": np.array([0, 1])}
        named = record(classes=["zero", "one"])
        (strip,) = samples.strips(named, evidence | {"samples/pred_raw": np.array([0, 0])}, "me", 8)
        marks = [("✓ zero", palette.RIGHT), ("✗ zero", palette.WRONG)]
        assert [figures._answer(sample) for sample in strip.samples] == marks
        (strip,) = samples.strips(named, evidence, "me", 1)
        assert [figures._answer(sample)[0] for sample in strip.samples] == ["no answer"]

    def test_an_attack_that_edits_nothing_answers_on_raw_images(self, tmp_path: Path) -> None:
        evidence = {"samples/raw": np.zeros((1, 3, 8, 8), np.uint8)}
        edited = evidence | {"samples/guess": evidence["samples/raw"]}
        _, guess = samples.strips(record(selected={"prompt": "with pastel"}), edited, "me", 8)
        assert guess.words == "edited with the guess “with pastel” of me: its answers"
        answered = evidence | {"samples/pred_guess": np.array([0])}
        assert samples.strips(record(), answered, "me", 8)[1].words == "raw: the answers of me"
        one = figures.sample_sheet(record(), evidence, tmp_path / "one.png")
        two = figures.sample_sheet(record(), answered, tmp_path / "two.png")
        with Image.open(one) as low, Image.open(two) as high:
            assert high.height > low.height

    def test_no_samples(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no sample images"):
            figures.sample_sheet(record(), {}, tmp_path / "a.png")

    def test_a_curve_needs_its_controls(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="bench run --lock none --attack from-scratch"):
            figures.guess_curve([record(curve=CURVE)], tmp_path / "a.png")
        assert figures.guess_curve(world(curve=CURVE), tmp_path / "a.png").exists()

    def test_a_curve_is_the_best_so_far(self) -> None:
        (curve,) = curves.best_curves(the_row(world(curve=CURVE)), "guesses").values()
        assert curve == [(1, 10.0), (2, 54.9), (4, 55.0), (9, 80.0)]

    def test_no_conditions(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no key conditions"):
            figures.conditions_bars([], tmp_path / "a.png")


def _swept(*points: tuple[float, int, float]) -> list[Record]:
    out = calibration()
    for share, steps, rp in points:
        threat = {"share": share}
        out.append(record(attack="finetune", RP=rp, threat=threat, attack_explicit={"steps": steps}))
        out.append(record("none", "from-scratch", RP=20 + 100 * share, threat=threat))
    return out


class TestBudgets:
    table = rows(_swept((0.01, 100, 30.0), (0.1, 100, 70.0), (0.01, 400, 56.0), (0.1, 400, 60.0)))

    def test_a_line_for_each_further_budget_and_every_point_in_words(self) -> None:
        (chart,) = curves.budgets(grouped(self.table)[0])
        share = "labelled share of un-?authorised images"
        patterns = [f"RP, {share} 0.01", "public baseline, the same data", f"RP, {share} 0.1"]
        for series, pattern in zip(chart.series, [*patterns, f"public baseline, .*, {share} 0.1"], strict=True):
            assert re.fullmatch(pattern, series.name)
        assert [[p.y for p in series.points] for series in chart.series[::2]] == [[30.0, 56.0], [70.0, 60.0]]
        assert chart.x.ticks == [100, 400]
        assert chart.table is not None
        assert len(chart.table.rows) == 4
        assert chart.caption.startswith("Half-recovery cost of")

    def test_as_a_file(self, tmp_path: Path) -> None:
        (surface,) = surfaces(self.table)
        assert figures.budget_curves(surface, tmp_path / "budget.png").stat().st_size > 10_000


def test_every_chart_can_be_drawn_both_ways(tmp_path: Path) -> None:
    table = rows(world((80.0, 70.0), (30.0, 24.0), curve=CURVE))
    (group,) = grouped(table)
    row = the_row(world((80.0, 70.0), (30.0, 24.0), curve=CURVE))
    charts = [trade_off(group, {}), curves.best_so_far(row, "guesses"), condition_bars(group, row)]
    charts += curves.recovery_curves(group)
    drawable = [chart for chart in charts if chart is not None]
    assert len(drawable) == 4
    for chart in drawable:
        figure = draw_plotly.figure(chart)
        assert len(figure["data"]) == len(chart.series) + bool(chart.bars)
        assert len(figure["layout"]["shapes"]) == len(chart.levels)
    assert draw_png.draw(drawable, tmp_path / "all.png").stat().st_size > 10_000
