"""The models that plugins run, as parts of an identity: folders of the pack, editors, folders of the user.

No torch here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench import registry
from bench.errors import UserError
from bench.hashing import folder_digest
from bench.miniature import PACK
from bench.paths import user_path
from bench.plugin_source import PluginInfo

PACKED = "pack:"
"""Prefix of a folder of the miniature pack."""
CLIP = "clip"
"""The parameter, and asset, of every plugin that lets a user choose its CLIP."""
MINIATURE = "miniature"
"""The name of the pack's CLIP."""


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
    return _content_of_path(asset)


def located(info: PluginInfo, params: Mapping[str, Any]) -> dict[str, Any]:
    """``params`` of the plugin ``info``, files and folders by their full path: it runs in another working directory.

    Raises:
        UserError: what no path can be.
    """
    out = dict(params)
    for name in info.files:
        if out.get(name):
            out[name] = str(user_path(str(out[name])).resolve())
    for name in info.assets:
        if name in out:
            out[name] = _located(name, str(out[name]))
    return out


def _located(asset: str, text: str) -> str:
    is_name = text == MINIATURE if asset == CLIP else registry.current().get("editor", text) is not None
    folder = user_path(text)
    return str(folder.resolve()) if not is_name and folder.is_dir() else text


def content_of_clip(clip: str) -> Any:
    """What decides the content of the CLIP ``clip``: of a folder its files; a name of open_clip stands for itself."""
    return folder_digest(PACK / CLIP) if clip == MINIATURE else _content_of_path(clip)


def _content_of_path(text: str) -> Any:
    folder = user_path(text)
    return folder_digest(folder) if folder.is_dir() else text


def of(info: PluginInfo, params: Mapping[str, Any]) -> dict[str, Any]:
    """The content of each asset of the plugin ``info`` under ``params``, by the asset's name."""
    contents = {}
    for name in info.assets:
        value = str(params[name]) if name in info.params else name
        contents[name] = content_of_clip(value) if name == CLIP else content(value)
    return contents


def check(info: PluginInfo) -> None:
    """Whether the folders of the pack that the plugin ``info`` runs are here.

    Raises:
        UserError: one is not.
    """
    for asset in info.assets:
        name = asset.removeprefix(PACKED)
        if name != asset and not (PACK / name).is_dir():
            raise UserError(
                f"{info.kind} '{info.name}' needs '{name}' of the miniature pack, which is not here.",
                "Install the package anew, or make the pack: python -m tools.miniature.train --out FOLDER.",
            )
