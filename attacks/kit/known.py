"""What an attacker knows of a key, in the form that the harness takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.editors.settings import MINIATURE, defaults


def edit_settings(known: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of an edit from the known parts of its key; what is not known is the default of the editor.

    Args:
        known: of an edit key: ``editor``, ``settings`` and ``geometry``, the side that images are squashed to.
    """
    editor = known.get("editor", MINIATURE)
    size = {"size": known["geometry"]} if "geometry" in known else {}
    return {**defaults(editor).to_json(), **known.get("settings", {}), **size, "editor": editor}
