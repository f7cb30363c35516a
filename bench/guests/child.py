"""A process of the project's own: started clean, with one end of a socket. No torch here."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent


def start(
    module: str, *arguments: Any, environment: Mapping[str, str] | None = None
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start ``main(descriptor, *arguments)`` of ``module`` in a new Python; the process, and our end of the socket.

    Args:
        module: of the project.
        arguments: literals.
        environment: of the process; None: this one's.
    """
    ours, theirs = socket.socketpair()
    call = ", ".join(map(repr, (theirs.fileno(), *arguments)))
    program = f"import sys; sys.path[:] = {places()!r}; from {module} import main; main({call})"
    process = subprocess.Popen(
        [sys.executable, "-s", "-P", "-c", program],
        env=environment,
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in a terminal is the harness's to answer
    )
    theirs.close()
    return process, ours


def places() -> list[str]:
    """Where a process of the project finds its modules: the project first, the working directory not at all."""
    return [str(ROOT), *(place for place in sys.path if place and Path(place).resolve() != ROOT)]
