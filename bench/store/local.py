"""A private folder of this machine, for what need not outlive a run: nodes' stores, caches beside a shared store."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from bench.store.disk import StoreError


def folder() -> Path:
    """The folder, in that of temporary files; only this user can read it.

    Raises:
        StoreError: it cannot be made, or is another user's.
    """
    place = Path(tempfile.gettempdir()) / f"lockbench-{os.getuid()}"
    remedy = "Set TMPDIR to a folder of your own."
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        state = place.lstat()
    except OSError as error:
        raise StoreError(f"{place} cannot be made: {error.strerror}.", remedy) from None
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise StoreError(f"{place} is not this user's own folder.", remedy)
    return place
