"""The models that plugins run, as parts of an identity: folders of the pack, editors, folders of the user.

No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import registry
from bench.hashing import folder_digest
from bench.miniature import PACK
from bench.plugin_source import PluginInfo

PACKED = "pack:"
"""Prefix of a folder of the miniature pack."""


def content(asset: str) -> Any:
    """What decides the content of ``asset``, as JSON.

    Args:
        asset: ``pack:NAME`` for a folder of the pack, the name of an editor plugin, a folder, or a name of a hub.
    """
    if asset.startswith(PACKED):
        return folder_digest(PACK / asset.removeprefix(PACKED))
    editor = registry.current().get("editor", asset)
    if editor is not None:
        return of(editor, {})
    folder = Path(asset).expanduser()
    return folder_digest(folder) if folder.is_dir() else asset


def of(info: PluginInfo, params: Mapping[str, Any]) -> dict[str, Any]:
    """The content of each asset of the plugin ``info`` under ``params``, by the asset's name."""
    return {name: content(str(params[name]) if name in info.params else name) for name in info.assets}
