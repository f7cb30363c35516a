"""How long the pages of a report take in a browser: ``python tests/benchmarks/page_in_browser.py FOLDER``.

``FOLDER`` is what ``bench report --html FOLDER`` wrote. It needs Chromium, on the path or in LOCKBENCH_CHROMIUM.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = os.environ.get("LOCKBENCH_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
PAGES = ("index.html", "scenario-*.html", "lock-*.html", "attack-*.html")


def lines(folder: Path, tab: Any) -> Iterator[str]:
    """A line of a table for the largest page of each kind in ``folder``, and one for what is done to a table."""
    for pattern in PAGES:
        file = max(folder.glob(pattern), key=lambda f: f.stat().st_size)
        start = time.perf_counter()
        tab.goto(file.as_uri())
        seconds = time.perf_counter() - start
        elements = tab.evaluate("document.querySelectorAll('*').length")
        yield f"| {file.name} | {file.stat().st_size / 1000:,.0f} | {elements:,} | {seconds:.1f} |"
        if pattern.startswith("scenario"):
            start = time.perf_counter()
            tab.locator("table.board thead th").get_by_role("button", name="RP", exact=True).click()
            yield f"| – its table, sorted | | | {time.perf_counter() - start:.1f} |"
            start = time.perf_counter()
            tab.locator("input[name=text]").fill("finetune")
            yield f"| – its table, filtered | | | {time.perf_counter() - start:.1f} |"


def main() -> None:
    """Print the table."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--headless=new", "--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        print("| page | kB | elements | s |\n|---|---|---|---|")
        for line in lines(Path(sys.argv[1]), tab):
            print(line, flush=True)
        browser.close()


if __name__ == "__main__":
    main()
