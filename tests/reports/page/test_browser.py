"""The HTML page in a real browser: widths, keyboard, colours of both schemes, folded notes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from example_records import FakeStore, record, world

from reports.page import site as site_pages

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
        # Text of what is below the fold: the browser lays it out late, and inner text would depend on when.
        assert all("?" in text for text in kinds["undecided"].all_text_contents())
        paper = "(cells) => [...new Set(cells.map((c) => getComputedStyle(c).backgroundColor))]"
        assert kinds["not-broken"].evaluate_all(paper) == ["rgba(0, 0, 0, 0)"]
        assert "rgba(0, 0, 0, 0)" not in kinds["broken"].evaluate_all(paper)
        assert all("back" in text for text in kinds["broken"].all_text_contents())
        assert "the public baseline does as well" in tab.locator(".key").first.text_content()

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


class TestManyRows:
    @pytest.fixture(scope="class")
    def many(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A page whose tables are longer than what is shown at once, as the page of 10,000 rows is."""
        limits = pytest.MonkeyPatch()
        limits.setattr(site_pages, "LARGE", 10)
        limits.setattr(site_pages.Site, "page_length", 4)
        records = world((80.0,), (30.0,))
        for i in range(10):
            records += [
                record("ntl", "finetune", RP=40.0 + i, attack_explicit={"steps": i}, threat={"wordlist": "none"})
            ]
        out = tmp_path_factory.mktemp("many") / "page"
        site_pages.write(FakeStore(records), out)
        limits.undo()
        return out

    def test_the_first_page_lists_the_tables(self, tab: Any, many: Path) -> None:
        tab.goto((many / "index.html").as_uri())
        assert tab.locator("table.board").count() == 0
        counts = tab.locator("table.contents tbody tr td").all_text_contents()
        assert int(counts[0]) == 2
        assert sum(map(int, counts[3:])) == 11
        tab.locator("table.contents tbody a").first.click()
        assert tab.locator("table.board").count() == 1

    def test_a_long_table_shows_more_on_demand(self, tab: Any, many: Path) -> None:
        tab.goto((many / "scenario-digits-vit.html").as_uri())
        shown = tab.locator("tbody:not(.pinned) tr[data-row]:visible")
        controls = tab.locator("tbody.pinned tr[data-row]:visible").count()
        assert shown.count() == 4
        assert controls > 0
        more = tab.get_by_role("button", name="Show 4 more")
        assert "The first 4 of 11 rows" in tab.locator(".paging output").text_content()
        more.focus()
        tab.keyboard.press("Enter")
        assert shown.count() == 8
        tab.get_by_role("button", name="Show 3 more").click()
        assert shown.count() == 11
        assert not tab.locator(".paging").is_visible()
        assert tab.locator("tbody.pinned tr[data-row]:visible").count() == controls

    def test_sorting_and_filters_reach_the_rows_out_of_sight(self, tab: Any, many: Path) -> None:
        tab.goto((many / "scenario-digits-vit.html").as_uri())
        tab.locator("table.board thead th").get_by_role("button", name="RP", exact=True).click()
        read = "[...document.querySelectorAll('tbody:not(.pinned) tr[data-row]')].filter((r) => !r.hidden)"
        values = f"{read}.map((r) => Number(r.querySelector('[data-field=RP]').dataset.value))"
        assert tab.evaluate(values) == [40.0, 41.0, 42.0, 43.0]
        tab.locator("input[name=text]").fill("steps=9")
        assert tab.evaluate(values) == [49.0]
        tab.locator("input[name=text]").fill("nothing has this in it")
        assert tab.locator("#nothing").is_visible()
        tab.get_by_role("button", name="Clear").click()
        tab.wait_for_function("document.getElementById('nothing').hidden")
        assert len(tab.evaluate(values)) == 4

    def test_without_a_script_the_table_is_whole(self, browser: Any, many: Path) -> None:
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto((many / "scenario-digits-vit.html").as_uri())
        assert page.locator("tbody:not(.pinned) tr[data-row]:visible").count() == 11
        context.close()
