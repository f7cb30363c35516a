"""What is fetched over a network: one line says what, how large and from where, before it is.

The line goes to the logger ``bench.fetching``. The command line shows it; a process that runs stages sends it on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.datasets.facts import size_words

_LOG = logging.getLogger("bench.fetching")
_LOG.setLevel(logging.INFO)


def announce(what: str, size: int | None, place: str) -> None:
    """Say that ``what`` is fetched from ``place``.

    Args:
        size: bytes; None where nobody states them.
    """
    _LOG.info("fetching %s (%s) from %s", what, "size not stated" if size is None else size_words(size), place)


@contextmanager
def heard(hear: Callable[[str], None]) -> Iterator[None]:
    """In the block ``hear``, and nobody else, gets the lines of this process."""
    handler = _Ear(hear)
    before = _LOG.propagate
    _LOG.addHandler(handler)
    _LOG.propagate = False
    try:
        yield
    finally:
        _LOG.propagate = before
        _LOG.removeHandler(handler)


class _Ear(logging.Handler):
    def __init__(self, hear: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one line on."""
        self._hear(record.getMessage())
