"""What mkdocs calls while it builds: a notebook of ``docs/`` becomes a page, with the outputs that it holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter


def on_files(files: Files, config: Any) -> Files:
    """Add ``NAME.md`` for every ``NAME.ipynb``. Nothing is executed, and nothing is written beside the notebook."""
    for notebook in [file for file in files if file.src_uri.endswith(".ipynb")]:
        source = Path(config.docs_dir, notebook.src_uri)
        text, _ = MarkdownExporter().from_filename(str(source))
        link = f"\n\n[The notebook as a file]({source.name}).\n"
        files.append(File.generated(config, f"{notebook.src_uri.removesuffix('.ipynb')}.md", content=text + link))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links to a notebook, which code hosts show as it is, lead to its page."""
    return markdown if page.file.generated_by else re.sub(r"(\]\([^)]*)\.ipynb\)", r"\1.md)", markdown)
