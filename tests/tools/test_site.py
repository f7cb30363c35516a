"""The generated pages of the site are those that the sources make."""

from __future__ import annotations

import pytest
import yaml
from places import DOCS, ROOT

from reports.tools import fidelity
from tools.site import cli, data_sets


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("reference/cli.md", cli.page),
        ("reference/data-sets.md", data_sets.page),
        ("explanation/fidelity.md", fidelity.page),
    ],
)
def test_a_generated_page_is_up_to_date(name: str, page) -> None:
    assert (DOCS / name).read_text(encoding="utf-8").strip() == page().strip(), "run `make docs` and commit the page"


def test_the_command_line_page_has_every_command_and_option() -> None:
    text = cli.page()
    for words in ("bench run", "bench report", "bench gate", "bench baseline save", "bench doctor"):
        assert f"\n## {words}\n" in text
    for option in ("--lock", "--dry-run", "--html", "--must-see"):
        assert f"`{option}" in text


def test_every_page_has_a_place_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    navigation = yaml.safe_load("nav:" + text.partition("\nnav:")[2])["nav"]
    listed = sorted(_leaves(navigation))
    pages = [*DOCS.rglob("*.md"), *(p.with_suffix(".md") for p in DOCS.rglob("*.ipynb"))]
    assert listed == sorted(p.relative_to(DOCS).as_posix() for p in pages)


def _leaves(entries: list) -> list[str]:
    """Files of a navigation, nested or not."""
    values = [value for entry in entries for value in entry.values()]
    return [name for value in values for name in ([value] if isinstance(value, str) else _leaves(value))]
