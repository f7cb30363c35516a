"""What an attacker knows of a key, in the form that the harness takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.editors.settings import MINIATURE, EditSettings


def edit_settings(known: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of an edit from the known parts of its key; what is not known is the default of the editor.

    Args:
        known: of an edit key: ``editor``, ``settings`` and ``geometry``, the side that images are squashed to.
    """
    parts = {"editor": known.get("editor", MINIATURE), **known.get("settings", {})}
    if "geometry" in known:
        parts["size"] = known["geometry"]
    return EditSettings.from_json(parts).to_json()
