"""What a chart specifies is what is drawn."""

from __future__ import annotations

import json

import plotly.graph_objects as go
import pytest
from example_records import CURVE, exactly, measured, record, world

from bench.records import Condition
from reports.page import charts, curves, draw_png, palette
from reports.page.chart_spec import Bar, Chart
from reports.page.draw_plotly import figure
from reports.rows.aggregate import rows
from reports.text.groups import grouped


def _charts() -> list[Chart]:
    records = world((80.0, 61.0), (30.0, 24.0), curve=CURVE)
    for i in (0, 1):
        for lock in ("ntl", "map"):
            pair = record(lock, "none", i, RP=None, scenario="digits:fonts", UP=measured(80.0 + i), LP=20.0)
            pair.cell.key.name = "domain"
            pair.row_key = pair.cell.row_key()
            records.append(pair)
    out: list[Chart | None] = []
    for group in grouped(rows(records)):
        out += [charts.trade_off(group, {}), charts.drops(group)]
        out += [*curves.recovery_curves(group), *charts.conditions(group)]
    return [chart for chart in out if chart is not None]


def test_plotly_gets_every_point_and_level() -> None:
    for chart in _charts():
        drawing = figure(chart)
        go.Figure(drawing)
        json.dumps(drawing, allow_nan=False)
        scatter = [trace for trace in drawing["data"] if trace["type"] == "scatter"]
        points = [([p.x for p in series.points], [p.y for p in series.points]) for series in chart.series]
        assert [(list(trace["x"]), list(trace["y"])) for trace in scatter] == points
        assert len(drawing["layout"].get("shapes", ())) == len(chart.levels)


def test_locks_on_two_domains_are_no_controls() -> None:
    (chart,) = (chart for chart in _charts() if chart.id == "drops")
    assert [series.name for series in chart.series] == ["map (domain)", "ntl (domain)"]
    assert palette.NEUTRAL not in {series.colour for series in chart.series}


def test_lines_are_told_apart_without_their_colour() -> None:
    looks = {(palette.symbol(i), palette.dash(i)) for i in range(16)}
    assert len(looks) == 16


@pytest.mark.parametrize("what", ["none", "no key", ""])
def test_the_condition_without_a_key_is_named_once(what: str) -> None:
    own = Condition(kind="none", what=what, accuracy=exactly(20.0))
    (group,) = grouped(rows(world(conditions=[own])))
    bar = charts.condition_bars(group, group.lock_rows()[0]).bars[0]
    assert draw_png._label(bar) == "none  (no key)"
    assert "none (none)" not in draw_png._label(Bar("none", "none", bar.value, "#000000", ""))
