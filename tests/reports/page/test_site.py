"""The HTML page: its links, its numbers, its escaping, and its behaviour in a real browser."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from example_records import CURVE, FakeStore, N, measured, record, world
from markupsafe import escape
from places import ROOT

from bench import registry
from bench.errors import UserError
from bench.records import Condition, Flag, Measured, Record
from reports.page import charts, curves, draw_plotly, palette, prose
from reports.page import plugin_page as plugin_pages
from reports.page import site as html
from reports.rows.aggregate import current, rows
from reports.rows.row import Row
from reports.text.formatting import HEADINGS, digits, interval, number
from reports.text.groups import costly as is_costly
from reports.text.groups import grouped

EVIL = '<script>alert("x")</script>'
FLAGS = [Flag(name="lp-below-floor", detail="LP 2.0 is below"), Flag(name="made-up", detail='a "flag" of <no> page')]


def everything() -> list[Record]:
    """Two seeds of several locks: cheap and costly, failed, lacking controls, and one with a hostile name."""
    conditions = [
        Condition(
            kind="right", what="with oil pastel", accuracy=Measured(value=88.0, n=N, low=85, high=91), shipped=87
        ),
        Condition(kind="near", label=EVIL, what=EVIL, accuracy=Measured(value=71.25, n=200, low=65, high=77)),
    ]
    result = world((80.04, 61.23), (30.0, 24.0), LP_shipped=measured(4.25), curve=CURVE, flags=FLAGS)
    for i in (0, 1):
        result += [
            record("modellock", "none", i, RP=None, conditions=conditions),
            record("ntl", "finetune", i, RP=34.5 + i, threat={"wordlist": "none"}, curve=CURVE),
            record("map", "finetune", i, RP=100.0, UP=measured(60.0), threat={"wordlist": "none"}),
            record(EVIL, "prompt-search", i, RP=9.5, oracle=90.0, conditions=conditions, classes=[EVIL, "b"]),
        ]
    for lock in ("ntl", "map", EVIL):
        result.append(record(lock, "none", RP=None, conditions=conditions))
    result.append(record("sophon", RP=None, status="failed", error=f"it broke: {EVIL}\nand more"))
    result += [record("cuti", scenario="shapes", lock_explicit={"steps": 7})]
    for i in (0, 1):
        pair = record("ntl", "none", i, RP=None, scenario="digits:fonts")
        pair.cell.key.name = "domain"
        pair.row_key = pair.cell.row_key()
        result.append(pair)
    return result


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
def made() -> list[Record]:
    return everything()


@pytest.fixture(scope="module")
def site(made: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "page"
    html.write(FakeStore(made, samples=True), out)
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    return {file.name: Page(file) for file in site.glob("*.html")}


class TestPages:
    def test_every_lock_and_attack_and_scenario_has_one(self, pages: dict[str, Page], made: list[Record]) -> None:
        named = {"lock-modellock", "lock-ntl", "attack-prompt-search", "attack-none", "scenario-digits-vit", "index"}
        assert {f"{name}.html" for name in named} <= set(pages)
        locks = {r.cell.lock.name for r in made}
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

    def test_numbers_agree_with_rows_to_the_last_digit(self, pages: dict[str, Page], made: list[Record]) -> None:
        table = rows(made, FakeStore(made, samples=True).evidence)
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

    def test_rows_that_lack_controls_show_no_number(self, pages: dict[str, Page], made: list[Record]) -> None:
        (row,) = [r for r in rows(made) if r.lock_name == "cuti"]
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

    def test_blocks(self, made: list[Record], tmp_path: Path) -> None:
        built = html.Site(FakeStore(made), current(made), tmp_path)
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
    def test_replaces_its_own_page_whole(self, made: list[Record], tmp_path: Path) -> None:
        out = tmp_path / "page"
        html.write(FakeStore(made), out)
        (out / "stale.html").write_text("old")
        html.write(FakeStore(made[:2]), out)
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
    def test_plotly_takes_every_figure(self, made: list[Record]) -> None:
        seen = set()
        for group in grouped(rows(made)):
            some = [charts.trade_off(group, {}), charts.drops(group), *charts.conditions(group)]
            for chart in [*some, *curves.recovery_curves(group)]:
                if chart is not None:
                    figure = draw_plotly.figure(chart)
                    go.Figure(figure)
                    assert "<script" not in json.dumps(figure, allow_nan=False)
                    seen.add(chart.id.split("-")[0])
        assert seen == {"trade", "drops", "curve", "conditions"}

    def test_the_public_baseline_is_a_line_of_every_curve(self, made: list[Record]) -> None:
        (group,) = [g for g in grouped(rows(made)) if g.scenario == "digits"]
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


CHROMIUM = os.environ.get("LOCKBENCH_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS_OF_CHROMIUM = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: install one, or name it in LOCKBENCH_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        launched = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS_OF_CHROMIUM)
        yield launched
        launched.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A tab that fails its test where the page said anything on the console or asked for more than files."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)  # a busy machine takes its time over plotly's 5 MB
    text_: list[str] = []
    wish: list[str] = []
    page.on("console", lambda message: text_.append(message.text))
    page.on("pageerror", lambda error: text_.append(str(error)))
    page.on("dialog", lambda dialog: (text_.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("requestfailed", lambda request: text_.append(f"failed {request.url}"))
    page.on("request", lambda request: wish.append(request.url))
    yield page
    context.close()
    assert text_ == []
    assert [url for url in wish if not url.startswith(("file://", "data:", "blob:"))] == []


CONTRASTS = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


class TestBrowser:
    def test_sorts_numbers_with_what_is_missing_last(self, tab: Any, site: Path) -> None:
        tab.goto((site / "scenario-digits-vit.html").as_uri())
        body = "table.board tbody:nth-of-type(1) td[data-field=RP]"
        read = f"[...document.querySelectorAll('{body}')].map((c) => c.dataset.value)"
        before = tab.evaluate(read)
        heading = tab.locator("table.board thead th", has=tab.get_by_role("button", name="RP", exact=True))
        pinned = read.replace("tbody:nth-of-type(1)", "tbody.pinned")
        for direction in ("ascending", "descending"):
            heading.get_by_role("button").click()
            assert heading.get_attribute("aria-sort") == direction
            known = [float(x) for x in tab.evaluate(read) if x]
            assert len(set(known)) > 2
            assert known == sorted(known, reverse=direction == "descending")
            controls = [x == "" for x in tab.evaluate(pinned)]
            assert True in controls
            assert controls == sorted(controls), "what is missing comes last in either direction"
        heading.get_by_role("button").click()
        assert heading.get_attribute("aria-sort") == "none"
        assert tab.evaluate(read) == before

    def test_filters_hide_rows_but_no_control(self, tab: Any, site: Path) -> None:
        tab.goto((site / "index.html").as_uri())
        rows_shown = "tbody:not(.pinned) tr[data-row]:visible"
        controls = tab.locator("section.group:visible tbody.pinned tr[data-row]:visible").count()
        everything = tab.locator(rows_shown).count()
        tab.locator("select[name=lock]").select_option("ntl")
        shown = tab.locator(rows_shown)
        assert 0 < shown.count() < everything
        assert set(shown.evaluate_all("(found) => found.map((r) => r.dataset.lock)")) == {"ntl"}
        assert tab.locator("tr[data-lock=destroyed]:visible").count() > 0
        tab.get_by_role("button", name="Clear").click()
        tab.locator("input[name=text]").fill("PROMPT-search")
        assert set(tab.locator(rows_shown).evaluate_all("(f) => f.map((r) => r.dataset.attack)")) == {"prompt-search"}
        tab.locator("input[name=text]").fill("nothing has this in it")
        assert tab.locator("section.group:visible").count() == 0
        assert tab.locator("#nothing").is_visible()
        tab.get_by_role("button", name="Clear").click()
        tab.wait_for_function("document.getElementById('nothing').hidden")
        assert tab.locator(rows_shown).count() == everything
        assert tab.locator("section.group:visible tbody.pinned tr[data-row]:visible").count() == controls
        tab.locator("select[name=scenario]").select_option("shapes")
        assert tab.locator("section.group:visible").count() == 1

    def test_keyboard(self, tab: Any, site: Path) -> None:
        tab.goto((site / "scenario-digits-vit.html").as_uri())
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.className") == "skip"
        for _ in range(40):
            tab.keyboard.press("Tab")
            if tab.evaluate("document.activeElement.matches('thead button')"):
                break
        assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        tab.keyboard.press("Enter")
        assert tab.evaluate("document.activeElement.closest('th').getAttribute('aria-sort')") == "ascending"

    def test_every_page_at_phone_width(self, tab: Any, site: Path) -> None:
        tab.set_viewport_size({"width": 390, "height": 844})
        for file in sorted(site.glob("*.html")):
            tab.goto(file.as_uri())
            if file.name.startswith("scenario"):
                tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")  # draws every chart
                tab.wait_for_function("[...document.querySelectorAll('.chart')].every((c) => c.querySelector('svg'))")
            wide = tab.evaluate("document.documentElement.scrollWidth")
            assert wide <= 390, file.name

    def test_the_page_leads_with_the_matrix(self, tab: Any, site: Path) -> None:
        tab.goto((site / "index.html").as_uri())
        matrix, board = (tab.locator(f"table.{name}").first.bounding_box() for name in ("matrix", "board"))
        assert matrix["y"] < 900, "it is seen without scrolling"
        assert matrix["y"] + matrix["height"] < board["y"]

    def test_cells_of_the_matrix_are_reached_and_seen_by_keyboard(self, tab: Any, site: Path) -> None:
        tab.goto((site / "index.html").as_uri())
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.className") == "skip"
        wanted = tab.evaluate("[...document.querySelectorAll('a.spot')].map((cell) => cell.getAttribute('aria-label'))")
        seen: list[str] = []
        for _ in range(200):
            tab.keyboard.press("Tab")
            if tab.evaluate("document.activeElement.matches('a.spot')"):
                seen.append(tab.evaluate("document.activeElement.getAttribute('aria-label')"))
                assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            if len(seen) == len(wanted):
                break
        assert seen == wanted, "in the order of reading"
        assert any("without the model 27.0 %" in text for text in seen)
        tab.keyboard.press("Enter")
        tab.wait_for_url("**/lock-*.html#row-*")

    def test_the_matrix_at_phone_width_names_every_attack(self, tab: Any, site: Path) -> None:
        tab.set_viewport_size({"width": 390, "height": 844})
        tab.goto((site / "index.html").as_uri())
        for cell in tab.locator("a.spot").all():
            box = cell.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 390, "no cell needs scrolling sideways"
            assert cell.locator(".attack").is_visible()
        assert tab.locator("table.matrix").first.evaluate("(t) => t.getAttribute('role')") == "table"

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("width", [390, 1280])
    def test_contrast(self, tab: Any, site: Path, scheme: str, width: int) -> None:
        """Every text of the pages has 4.5:1 against what lies behind it, and every frame of a cell 3:1."""
        tab.emulate_media(color_scheme=scheme)
        tab.set_viewport_size({"width": width, "height": 844})
        for name in ("index.html", "scenario-digits-vit.html", "lock-modellock.html"):
            tab.goto((site / name).as_uri())
            low = tab.evaluate(CONTRASTS)
            assert low == [], name

    def test_shape_and_words_say_what_colour_says(self, tab: Any, site: Path) -> None:
        tab.goto((site / "index.html").as_uri())
        styles = "(cells) => [...new Set(cells.map((c) => getComputedStyle(c).borderTopStyle))]"
        kinds = {kind: tab.locator(f"td .spot.{kind}") for kind in ("broken", "undecided", "not-broken")}
        assert kinds["undecided"].evaluate_all(styles) == ["dashed"]
        assert all("?" in text for text in kinds["undecided"].all_inner_texts())
        paper = "(cells) => [...new Set(cells.map((c) => getComputedStyle(c).backgroundColor))]"
        assert kinds["not-broken"].evaluate_all(paper) == ["rgba(0, 0, 0, 0)"]
        assert "rgba(0, 0, 0, 0)" not in kinds["broken"].evaluate_all(paper)
        assert all("back" in text for text in kinds["broken"].all_inner_texts())
        assert "the public baseline does as well" in tab.locator(".key").first.inner_text()

    def test_notes_are_folded_and_unfold_by_keyboard_and_on_paper(self, tab: Any, site: Path) -> None:
        tab.goto((site / "index.html").as_uri())
        notes = tab.locator("figure.table details.notes")
        assert notes.count() > 0
        assert not any(notes.evaluate_all("(found) => found.map((n) => n.open)"))
        assert not notes.first.locator("li").first.is_visible()
        notes.first.locator("summary").focus()
        tab.keyboard.press("Enter")
        assert notes.first.locator("li").first.is_visible()
        tab.keyboard.press("Enter")
        tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert all(notes.evaluate_all("(found) => found.map((n) => n.open)"))
        tab.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert not any(notes.evaluate_all("(found) => found.map((n) => n.open)"))

    def test_charts_follow_the_scheme(self, tab: Any, site: Path) -> None:
        tab.goto((site / "scenario-digits-vit.html").as_uri())
        tab.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        tab.wait_for_selector(".chart .xtitle")
        colour = "getComputedStyle(document.querySelector('.chart .xtitle')).fill"
        light = tab.evaluate(colour)
        tab.emulate_media(color_scheme="dark")
        tab.wait_for_function(f"{colour} !== '{light}'")
        assert tab.evaluate(colour) != light


def test_row_type_is_what_the_page_reads() -> None:
    """The page reads these of a row; a rename must be seen here and not in a browser."""
    assert {"row_key", "values", "drops", "curve", "flags", "flag_details"} <= set(Row.__dataclass_fields__)
    assert set(html.COLUMNS) <= set(HEADINGS)
