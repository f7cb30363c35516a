"""Markdown and docstrings as HTML for the page; whatever is not ours is escaped."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

HERE = Path(__file__).resolve().parents[1]
DOCS = {"flags": "Red flags", "metrics": "Metrics", "threat-models": "Threat models"}
"""Pages of ``docs/reference/`` that explain what the tables print; a wheel carries them as ``reports/docs/``."""


def doc(name: str) -> tuple[str, set[str]]:
    """The page ``docs/reference/NAME.md``, as `page` has it."""
    return page(f"reference/{name}.md")


def page(path: str) -> tuple[str, set[str]]:
    """A page under ``docs/`` as HTML, and its anchors; links to pages that are not shown become text."""
    places = (HERE / "docs" / Path(path).name, HERE.parent / "docs" / path)
    file = next((place for place in places if place.exists()), None)
    if file is None:
        return f"<p>The text of docs/{escape(path)} is not part of this installation.</p>", set()
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(file.read_text(encoding="utf-8"))
    anchors: set[str] = set()
    for heading, inside in itertools.pairwise(tokens):
        if heading.type == "heading_open":
            anchor = _anchor(inside.content)
            heading.attrSet("id", anchor)
            anchors.add(anchor)
        _links(inside.children or [])
    html = parser.renderer.render(tokens, parser.options, {})
    # A wide table scrolls inside its own container, so that a phone's page does not.
    html = html.replace("<table>", '<div class="scroll" tabindex="0" role="region" aria-label="table"><table>')
    return html.replace("</table>", "</table></div>"), anchors


def _anchor(text: str) -> str:
    """The anchor that a heading gets, as on the usual code hosts."""
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def _links(children: list[Token]) -> None:
    closing: list[bool] = []
    for token in children:
        if token.type == "link_open":
            target, _, anchor = str(token.attrGet("href") or "").partition("#")
            stem = target.removesuffix(".md").removeprefix("../reference/")
            shown = not target or stem in DOCS or target.startswith("https://")
            if shown and stem in DOCS:
                token.attrSet("href", f"{stem}.html" + (f"#{anchor}" if anchor else ""))
            closing.append(shown)
            if not shown:
                token.tag, token.attrs = "span", {}
        elif token.type == "link_close" and not closing.pop():
            token.tag = "span"


def inline(text: str) -> Markup:
    """``text`` with `code` in backticks marked as such, everything else escaped."""
    parts = re.split(r"`+([^`]+)`+", text)
    pieces = (Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(parts))
    return Markup("").join(pieces)


def breakable(text: str) -> Markup:
    """A name that a narrow column breaks between its parts, not within them."""
    return Markup("<wbr>").join(part for part in re.split(r"(?=\[)|(?<=[=,])", text) if part)


def paragraphs(text: str) -> Markup:
    """A docstring as paragraphs; indented blocks keep their lines."""
    return Markup("").join(_paragraph(block) for block in re.split(r"\n\s*\n", text.strip("\n")) if block.strip())


def _paragraph(block: str) -> Markup:
    lines = block.splitlines()
    if all(line.startswith("    ") for line in lines if line.strip()):
        return Markup("<pre>{}</pre>").format("\n".join(line[4:] for line in lines))
    return Markup("<p>{}</p>").format(inline(" ".join(line.strip() for line in lines)))


def items(texts: Iterable[str]) -> list[Markup]:
    """Each text with its code marked."""
    return [inline(text) for text in texts]
