"""What the slow plugins share: a helper beside them, which travels with them."""

from __future__ import annotations

import os
from pathlib import Path


def note(folder: str, what: str) -> None:
    """Note in ``folder``, where one is given, that this process does ``what``."""
    if folder:
        (Path(folder) / f"{what}-{os.getpid()}").write_text("")
