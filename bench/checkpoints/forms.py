"""The forms of a checkpoint's file: safetensors, or an archive of `torch.save`. No torch here."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from bench.errors import UserError

SAFETENSORS, TORCH = "safetensors", "torch"
HEADER = 100_000_000
"""Most bytes of the header of a safetensors file."""
_PICKLE = b"\x80"
"""First byte of an archive of `torch.save` before torch 1.6."""


def check_form(path: Path) -> str:
    """`SAFETENSORS` or `TORCH`, as the file's first bytes say; nothing of it is unpickled.

    Raises:
        UserError: neither: an empty file, a pointer of Git LFS, a page that was downloaded in its place, ….
        OSError: it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(64)
        stream.seek(0)
        if size == 0:
            raise UserError(f"{path} is empty.", "Copy or download the checkpoint again.")
        if head.startswith(b"version https://git-lfs"):
            raise UserError(f"{path} is a pointer of Git LFS, not the file itself.", "Run: git lfs pull")
        if zipfile.is_zipfile(path) or head[:1] == _PICKLE:
            return TORCH
        if head[8:9] == b"{" and _is_safetensors(stream.read(8), stream.read(min(HEADER, size)), size):
            return SAFETENSORS
    if head.lstrip()[:1] == b"<":
        raise UserError(f"{path} is a web page, not a checkpoint.", "Download the file itself.")
    if head.startswith(b"PK"):
        raise UserError(f"{path} is cut short.", "Copy or download the checkpoint again.")
    raise UserError(
        f"{path} is no safetensors file and no archive of torch.save.", "Save the weights as .safetensors or .pth."
    )


def _is_safetensors(length: bytes, header: bytes, size: int) -> bool:
    n = int.from_bytes(length, "little")
    if n > min(HEADER, size - 8):
        return False
    try:
        return isinstance(json.loads(header[:n]), dict)
    except ValueError:
        return False
