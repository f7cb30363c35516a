"""What the project measured of a plugin and keeps with it: `bench show` prints it. No torch here."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "measured"
"""Files that commands of the project wrote. ``NAME.json`` is about the plugin NAME."""


def write(lines: list[str], page: str) -> str:
    """The content of a plugin's file.

    Args:
        lines: what was measured, in words.
        page: the document that names the commands.
    """
    return json.dumps({"page": page, "lines": lines}, indent=1, ensure_ascii=False) + "\n"


def of_plugin(name: str) -> list[str]:
    """What was measured of the plugin ``name``, and where the commands stand; nothing where nothing is kept."""
    file = FOLDER / f"{name}.json"
    if not file.is_file():
        return []
    content = json.loads(file.read_text(encoding="utf-8"))
    return [*content["lines"], f"commands and all numbers: {content['page']}"]
