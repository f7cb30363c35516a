"""The editor of the miniature pack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench import miniature
from bench.contracts import EditorSource
from bench.errors import UserError


class Miniature(EditorSource):
    """A small InstructPix2Pix that comes with the package; it works on 32-pixel images without guidance."""

    title = "miniature editor"
    paper = "ours, after Brooks et al., InstructPix2Pix, CVPR 2023"
    assets = ("pack:editor",)

    def folder(self) -> Path:
        folder = miniature.PACK / "editor"
        if not folder.is_dir():
            raise UserError("The miniature pack is not here.", "Make it: python -m tools.miniature.train --out FOLDER.")
        return folder

    def settings(self) -> dict[str, Any]:
        return {}
