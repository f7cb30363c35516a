"""The HTML page: its links, its numbers, its escaping."""

from __future__ import annotations

import json
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import plotly.graph_objects as go
import pytest
from example_records import FakeStore, measured, record, world
from example_site import EVIL
from markupsafe import escape
from places import ROOT

from bench import registry
from bench.errors import UserError
from bench.records import Record
from reports.page import charts, curves, draw_plotly, palette, prose
from reports.page import plugin_page as plugin_pages
from reports.page import site as html
from reports.rows.aggregate import current, rows
from reports.rows.row import Row
from reports.text.formatting import HEADINGS, digits, interval, number
from reports.text.groups import costly as is_costly
from reports.text.groups import grouped


class Page(HTMLParser):
    """Tags, identifiers, links and the board's cells of one file."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.handlers: list[str] = []
        self.cells: dict[tuple[str, str], str] = {}
        self._row = ""
        self._field: str | None = None
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        match = dict(attrs)
        self.ids += [match["id"]] if match.get("id") else []
        self.links += [v for k, v in attrs if k in ("href", "src") and v]
        self.handlers += [k for k, _ in attrs if k.startswith("on")]
        if tag == "script":
            self.scripts.append(match)
        if tag == "tr":
            self._row = match.get("data-row") or ""
        if tag == "td":
            self._field = match.get("data-field")
            if self._field:
                self.cells[self._row, self._field] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "td":
            self._field = None

    def handle_data(self, data: str) -> None:
        if self._field:
            self.cells[self._row, self._field] += f" {data}"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    return {file.name: Page(file) for file in site.glob("*.html")}


class TestPages:
    def test_every_lock_and_attack_and_scenario_has_one(self, pages: dict[str, Page], records: list[Record]) -> None:
        named = {"lock-modellock", "lock-ntl", "attack-prompt-search", "attack-none", "scenario-digits-vit", "index"}
        assert {f"{name}.html" for name in named} <= set(pages)
        locks = {r.cell.lock.name for r in records}
        assert sum(name.startswith("lock-") for name in pages) == len(locks)

    def test_every_link_ends_somewhere(self, site: Path, pages: dict[str, Page]) -> None:
        for name, page in pages.items():
            assert len(page.ids) == len(set(page.ids)), name
            for link in page.links:
                if link == "data:,":
                    continue
                assert "//" not in link, (name, link)
                target, _, anchor = link.partition("#")
                assert (site / (target or name)).is_file(), (name, link)
                if anchor:
                    assert anchor in pages[target or name].ids, (name, link)

    def test_numbers_agree_with_rows_to_the_last_digit(self, pages: dict[str, Page], records: list[Record]) -> None:
        table = rows(records, FakeStore(records, samples=True).evidence)
        cells = pages["index.html"].cells
        seen = 0
        for row in table:
            at = f"row-{row.row_key[:12]}" + ("" if row.status == "ok" else f"-{row.status}")
            for field in ("UP", "LP", "RP", "oracle", "public_baseline", "advantage", "recovery", "LP_shipped"):
                value = row.values[field]
                if (at, field) not in cells:  # no row of the table has it
                    assert value is None
                    continue
                n = digits(field)
                wanted = number(None) if value is None else f"{number(value.mean, n)} {interval(value, n)}"
                assert cells[at, field].split() == wanted.replace("-", "−").split(), (row.lock, field)
                seen += value is not None
        assert seen > 60

    def test_rows_that_lack_controls_show_no_number(self, pages: dict[str, Page], records: list[Record]) -> None:
        (row,) = [r for r in rows(records) if r.lock_name == "cuti"]
        cells = pages["index.html"].cells
        assert row.missing
        assert {cells[f"row-{row.row_key[:12]}", name].strip() for name in ("RP", "advantage", "recovery")} == {"—"}

    def test_nothing_hostile_comes_through(self, site: Path, pages: dict[str, Page]) -> None:
        for name, page in pages.items():
            text = (site / name).read_text()
            assert "<script>alert" not in text
            assert all(s.get("src") or s.get("type") == "application/json" for s in page.scripts)
            assert not page.handlers
        assert "&lt;script&gt;alert" in (site / "index.html").read_text()

    def test_loads_plotly_once_and_only_where_it_draws(self, site: Path) -> None:
        assert [f.name for f in (site / "assets").iterdir() if f.stat().st_size > 10**6] == ["plotly.min.js"]
        assert "plotly.min.js" in (site / "scenario-digits-vit.html").read_text()
        assert "plotly" not in (site / "index.html").read_text()

    def test_captions_say_what_they_must(self, site: Path) -> None:
        for name in ("index", "scenario-digits-vit", "lock-modellock", "attack-prompt-search"):
            text = (site / f"{name}.html").read_text()
            for words in ("Test images:", "n = 400", "Intervals:", "Controls present:", "Selection rules:"):
                assert words in text, (name, words)
        assert "Missing control: " in (site / "lock-cuti.html").read_text()

    def test_blocks(self, records: list[Record], tmp_path: Path) -> None:
        built = html.Site(FakeStore(records).evidence, current(records), tmp_path)
        (group,) = [g for g in built.groups if g.scenario == "digits"]
        ranked, costly, failed, controls = group.blocks()
        assert {r.lock_name for r in ranked.rows} == {"modellock", "ntl", EVIL}
        assert {r.lock_name for r in costly.rows} == {"map"}
        assert [r.status for r in failed.rows] == ["failed"]
        assert {"destroyed", "permuted-logits"} <= {r.lock_name for r in controls.rows}
        assert controls.pinned

    def test_flag_without_a_page_of_its_own_is_explained_by_the_judge(self, pages: dict[str, Page]) -> None:
        assert {"lp-below-floor", "flag-made-up"} <= set(pages["flags.html"].ids)

    def test_docs_are_whole_and_a_wheel_carries_them(self) -> None:
        root = ROOT
        wheel = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
        for name in prose.DOCS:
            assert len(str(prose.doc(name)[0])) > 1000
            assert wheel["force-include"][f"docs/reference/{name}.md"] == f"reports/docs/{name}.md"

    def test_the_style_has_the_palette(self, site: Path) -> None:
        text = (site / "assets" / "page.css").read_text()
        assert f".right img {{ border-color: {palette.RIGHT}; }}" in text
        assert "{{" not in text

    def test_gallery(self, site: Path) -> None:
        text = (site / "scenario-digits-vit.html").read_text()
        assert "raw: the answers of prompt-search" in text
        assert f"after a near key ({escape(EVIL)}): the locked model’s answers" in text
        assert len(list((site / "samples").iterdir())) == 4, "equal images share a file"

    def test_an_empty_store(self, tmp_path: Path) -> None:
        assert "No records to show yet" in html.write(FakeStore([]), tmp_path / "p").read_text()

    def test_published_numbers_have_their_provenance(self, site: Path) -> None:
        text = (site / "lock-map.html").read_text()
        assert '<span class="mark">second-hand</span>' in text
        assert '<span class="mark">digitised</span>' in (site / "lock-modellock.html").read_text()
        info = registry.current().get("lock", "ntl")
        assert info is not None
        for table in plugin_pages.published(info, []):
            assert {line["lock"] for line in table.rows} == {"NTL"}
            assert {line["ours"] for line in table.rows} == {plugin_pages.NOT_RUN}

    def test_ours_stands_beside_a_published_number_of_the_same_pair(self) -> None:
        ours = record("ntl", "none", RP=None, scenario="CIFAR10:STL10")
        info = registry.current().get("lock", "ntl")
        assert info is not None
        match = plugin_pages.published(info, rows([ours]))
        lines = [x for t in match for x in t.rows if x.get("pair") == "CIFAR10:STL10" and x["attack"] == "none"]
        assert [line["ours"] for line in lines] == ["UP 88.0 [86.0, 90.0], LP 20.0 [18.0, 22.0] (vit)"]


class TestFolder:
    def test_replaces_its_own_page_whole(self, records: list[Record], tmp_path: Path) -> None:
        out = tmp_path / "page"
        html.write(FakeStore(records), out)
        (out / "stale.html").write_text("old")
        html.write(FakeStore(records[:2]), out)
        assert not (out / "stale.html").exists()
        assert [p.name for p in tmp_path.iterdir()] == ["page"]

    def test_refuses_what_it_did_not_make(self, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("keep me")
        with pytest.raises(UserError, match="not empty") as caught:
            html.write(FakeStore([]), tmp_path)
        assert "--html" in str(caught.value.remedy)
        assert (tmp_path / "mine.txt").read_text() == "keep me"
        with pytest.raises(UserError, match="no folder"):
            html.write(FakeStore([]), tmp_path / "mine.txt")

    def test_a_failure_leaves_the_old_page(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        out = tmp_path / "page"
        html.write(FakeStore([]), out)
        monkeypatch.setattr(html.Site, "build", lambda self: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(UserError, match="No space left"):
            html.write(FakeStore([]), out)
        assert (out / "index.html").exists()
        assert [p.name for p in tmp_path.iterdir()] == ["page"]


class TestCharts:
    def test_plotly_takes_every_figure(self, records: list[Record]) -> None:
        seen = set()
        for group in grouped(rows(records)):
            some = [charts.trade_off(group, {}), charts.drops(group), *charts.conditions(group)]
            for chart in [*some, *curves.recovery_curves(group)]:
                if chart is not None:
                    figure = draw_plotly.figure(chart)
                    go.Figure(figure)
                    assert "<script" not in json.dumps(figure, allow_nan=False)
                    seen.add(chart.id.split("-")[0])
        assert seen == {"trade", "drops", "curve", "conditions"}

    def test_the_public_baseline_is_a_line_of_every_curve(self, records: list[Record]) -> None:
        (group,) = [g for g in grouped(rows(records)) if g.scenario == "digits"]
        for chart in curves.recovery_curves(group):
            assert any(mark.name.startswith("public baseline: 27.0") for mark in chart.marks)

    def test_worst_case_is_chosen_on_judge_validation_where_it_is_known(self) -> None:
        result = [*world(), record(attack="finetune", RP=70.0)]
        table = rows(result)
        keys = {r.attack_name: r.row_key for r in table if r.lock_name == "modellock"}
        (by_test,) = [w for w in charts.worst_cases(table, {}) if w.row.lock_name == "modellock"]
        scores = {keys["prompt-search"]: 60.0, keys["finetune"]: 65.0}
        (blind,) = [w for w in charts.worst_cases(table, scores) if w.row.lock_name == "modellock"]
        assert (by_test.row.attack_name, by_test.by) == ("prompt-search", "test images")
        assert (blind.row.attack_name, blind.by) == ("finetune", "judge-validation images")

    def test_pareto_front(self) -> None:
        assert charts.pareto_front([(10, 80), (20, 90), (30, 85), (10, 70)]) == [(10, 80), (20, 90)]

    @pytest.mark.parametrize(("up", "costly"), [(84.1, False), (84.0, False), (83.9, True)])
    def test_six_points(self, up: float, costly: bool) -> None:
        (row, *_) = rows([record(UP=measured(up), victim_authorised=measured(90.0))])
        assert is_costly(row) is costly


def test_row_type_is_what_the_page_reads() -> None:
    """The page reads these of a row; a rename must be seen here and not in a browser."""
    assert {"row_key", "values", "drops", "curve", "flags", "flag_details"} <= set(Row.__dataclass_fields__)
    assert set(html.COLUMNS) <= set(HEADINGS)
