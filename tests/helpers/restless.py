"""Guests that do not end of themselves. Each says first who it is: its process, those it started, and its folder."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

from bench.guests.wire import Wire


def answers(wire: Wire) -> None:
    _say(wire)


def sleeps(wire: Wire) -> None:
    _say(wire)
    time.sleep(10_000)


def computes(wire: Wire) -> None:
    _say(wire)
    while True:
        pass


def ignores(wire: Wire) -> None:
    """No signal that can be ignored ends it."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    _say(wire)
    time.sleep(10_000)


def forks(wire: Wire) -> None:
    """A child in its group, and a daemon in a session of its own."""
    _say(wire, _child(), _child(alone=True))
    time.sleep(10_000)


def escapes(wire: Wire) -> None:
    """As `forks`; and its keeper's death is not its own."""
    ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
    forks(wire)


def _child(alone: bool = False) -> int:
    pid = os.fork()
    if pid == 0:
        if alone:
            os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(10_000)
        os._exit(0)
    return pid


def _say(wire: Wire, *started: int) -> None:
    Path("left").write_text("behind")
    processes = [os.getpid(), os.getppid(), *started]
    wire.send("result", {"processes": processes, "keeper": os.getppid(), "folder": str(Path.cwd())})
