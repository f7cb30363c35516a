"""The leaderboard of this repository in a real browser: widths, colours of both schemes, links by keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from places import ROOT

from reports.board import site

CONTRASTS = (ROOT / "tests" / "reports" / "page" / "contrast.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site.write(ROOT / "leaderboard" / "records", tmp_path_factory.mktemp("board") / "site").index.parent


def test_every_page_at_phone_width(tab: Any, board: Path) -> None:
    tab.set_viewport_size({"width": 390, "height": 844})
    for file in sorted(board.rglob("*.html")):
        tab.goto(file.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390, file.name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(tab: Any, board: Path, scheme: str) -> None:
    tab.emulate_media(color_scheme=scheme)
    for name in ("index.html", "locks/modellock.html", "attacks/finetune.html", "join.html"):
        tab.goto((board / name).as_uri())
        assert tab.evaluate(CONTRASTS) == [], name


def test_a_cell_leads_to_its_row(tab: Any, board: Path) -> None:
    tab.goto((board / "index.html").as_uri())
    matrix = tab.locator("table.matrix").first
    assert matrix.bounding_box()["y"] < 900, "it is seen without scrolling"
    cell = matrix.locator("a.spot").first
    words = cell.get_attribute("aria-label")
    assert "seeds" in words
    cell.focus()
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/locks/*.html#row-*")
    anchor = tab.url.partition("#")[2]
    assert tab.locator(f"[id='{anchor}']").is_visible()
