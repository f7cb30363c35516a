"""Keyed images made ahead of time: while a victim trains in its process, this one edits what will be needed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

import torch

from bench.contracts import Images, Key

CHUNK = 64
"""Images between two looks at whether to stop."""


@contextlib.contextmanager
def keying(key: Key, sets: Sequence[Images]) -> Iterator[None]:
    """While the block runs, a thread applies ``key`` to ``sets``, so that its edits are in the cache when needed.

    It changes no number: an edit depends on its own image alone, and what the thread did not come to is made later.

    Args:
        key: one that keeps its edits in the session's cache.
        sets: in the order in which they will be needed.
    """
    over, threads = threading.Event(), torch.get_num_threads()

    def work() -> None:
        torch.set_num_threads(threads)
        # What goes wrong here goes wrong again where the images are needed, and is reported there.
        with contextlib.suppress(Exception):
            for images in sets:
                for batch in images.batches(CHUNK):
                    if over.is_set():
                        return
                    key(batch.images)

    worker = threading.Thread(target=work, daemon=True, name="keying ahead")
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()
