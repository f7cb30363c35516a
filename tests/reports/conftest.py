"""A real browser for the pages and the leaderboard."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

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
