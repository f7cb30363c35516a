"""What stands between reports and a terminal: no emoji codes, nothing invisible, ASCII where it knows no more.

A terminal that knows ASCII alone (``LANG=C``, ``PYTHONIOENCODING=ascii``) gets ``+/-`` for ``±`` rather than an error.
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterable
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from bench.legible import visible
from reports.text.escaping import ascii_text

_HANDLER = "lockbench-plain"


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return ascii_text(error.object[error.start : error.end]), error.end


codecs.register_error(_HANDLER, _plain)


def tolerant(stream: IO[str]) -> None:
    """Let ``stream`` write in plain letters what its encoding lacks, instead of raising."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None and getattr(stream, "errors", "") in ("strict", "backslashreplace"):
        reconfigure(errors=_HANDLER)


class Screen(Console):
    """A console that reads no emoji codes, and writes what does not show as escapes.

    Args:
        settings: of `rich.console.Console`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"highlight": False, "emoji": False, **settings})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of ``renderable``: their text is visible, and plain where the terminal asks for it."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(visible(segment.text, keep="\n"), segment.style)


for _stream in (sys.stdout, sys.stderr):
    tolerant(_stream)
