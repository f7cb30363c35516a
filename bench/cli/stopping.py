"""What becomes of a signal that asks a command to stop: one line, within seconds, whatever the command is doing.

The first signal raises `Stopped` where the command is at work, so that it lets go of locks, workers and plugins'
processes. Where that takes too long, or a library swallows it, a thread ends the process. Later signals change nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import Any, NoReturn

LINE = "stopped. The same command continues where it stopped."
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 0.8
"""Seconds that a command has to stop in order."""


class Stopped(BaseException):
    """The command is to stop. No plugin's failure: nothing that catches `Exception` catches it."""


_asked: int | None = None
_once = threading.Lock()


def listen() -> None:
    """From now on signals stop this process in order. One that is ignored, as under ``nohup``, stays ignored."""
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    for each in SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, _ask)
    sys.unraisablehook = _unraisable
    threading.Thread(target=_watch, args=(wake,), daemon=True, name="end after signal").start()


def asked() -> bool:
    """Whether a signal has asked this process to stop."""
    return _asked is not None


def leave() -> NoReturn:
    """Answer, and end this process at once: Python's own goodbye to torch takes longer than a reader waits."""
    code = answer()
    with contextlib.suppress(BaseException):
        guests = sys.modules.get("bench.guests.process")
        if guests is not None:
            guests.stop()
        sys.stdout.flush()
    os._exit(code)


def answer() -> int:
    """Say that the command has stopped; the exit status. No standard library buffer or console is in the way."""
    if _once.acquire(blocking=False):  # the thread and the command may both come here
        with contextlib.suppress(OSError):
            # A terminal shows ^C at the end of a line, and may have no cursor.
            before = "\x1b[?25h\n" if os.isatty(2) else ""
            os.write(2, f"{before}{LINE}\n".encode())
    return 128 + (_asked or signal.SIGINT)


def _ask(number: int, _frame: Any) -> None:
    global _asked
    if _asked is None:
        _asked = number
        raise Stopped


def _watch(wake: int) -> None:
    """End the process some time after the first signal. Reads what the signal writes even where Python is busy."""
    global _asked
    number = 0
    while number not in SIGNALS:
        number = os.read(wake, 1)[0]
    threading.Event().wait(PATIENCE)
    _asked = _asked or number
    os._exit(answer())


_usual = sys.unraisablehook


def _unraisable(what: sys.UnraisableHookArgs) -> None:
    """A signal that comes while Python runs a destructor is no error: the thread ends the process."""
    if not isinstance(what.exc_value, Stopped):
        _usual(what)
