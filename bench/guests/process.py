"""Starting a guest's process, speaking with it, and ending it. No torch here before tensors are sent."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bench.guests import child
from bench.guests.failure import GuestFailed
from bench.guests.nursery import ALIVE
from bench.guests.wire import Message, Wire, WireClosed, WireFault

if TYPE_CHECKING:
    from torch import Tensor

    from bench.contracts import Images

PRELOADED = ["bench.guests.preload"]
"""What the nursery imports once, so that a guest does not: imports are most of its start."""
PASSED = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "VIRTUAL_ENV",
    "HF_HOME",
    "HF_HUB_CACHE",
    "TORCH_HOME",
    "XDG_CACHE_HOME",
    "LOCKBENCH_DATA",
)
"""What a guest's environment has of the run's, where it is set."""
PASSED_LIKE = ("OMP_", "MKL_", "OPENBLAS_", "GOMP_", "KMP_")
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONHASHSEED": "0",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
}
"""What every guest's environment has. Some imports ask torch whether there is a GPU. Through the CUDA runtime that
initialises CUDA, and no process forked afterwards can use a GPU. Through the driver's library it does not."""
PATIENCE = 10.0
"""Seconds in which a keeper must have seen off its guest."""
START = 600.0
"""Seconds in which a guest must have started; the nursery's imports are most of them."""


@dataclass(frozen=True)
class Limits:
    """What a guest may take.

    Args:
        seconds: wall seconds of a stage, or of one answer of a predictor; None: no limit.
        memory_gb: 10^9 bytes that it may allocate; None: no limit.
    """

    seconds: float | None = 7200.0
    memory_gb: float | None = None


_limits = Limits()


def use(limits: Limits) -> None:
    """From now on, guests of this process run under ``limits``."""
    global _limits
    _limits = limits


def current() -> Limits:
    """The limits of this process's guests."""
    return _limits


class _Nursery:
    """The process that forks guests, started when it is first needed and again when it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        with self._lock:
            if self._process is not None and self._owner == os.getpid() and self._process.poll() is None:
                return
            self._owner = os.getpid()
            self._process, self._control = child.start("bench.guests.nursery", PRELOADED, environment=environment())

    def request(self, config: Mapping[str, Any], descriptors: list[int]) -> None:
        for attempt in (0, 1):
            self.start()
            assert self._control is not None
            try:
                socket.send_fds(self._control, [json.dumps(config).encode()], descriptors)
                return
            except OSError:  # it was killed; a new one is started
                if attempt:
                    raise GuestFailed("the process that starts plugins has died twice") from None
                self.stop()

    def stop(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
        self._process = self._control = None


_nursery = _Nursery()
atexit.register(_nursery.stop)


def start() -> None:
    """Start the nursery if it is not running; it imports on another core while this process does."""
    _nursery.start()


def stop() -> None:
    """End the nursery; the next guest starts another."""
    _nursery.stop()


def environment() -> dict[str, str]:
    """The environment of a guest: what Python and torch need, and nothing of the run."""
    passed = {k: v for k, v in os.environ.items() if k in PASSED or k.startswith(PASSED_LIKE)}
    return {**passed, **ENVIRONMENT}


@dataclass(frozen=True)
class Ending:
    """How a guest ended: exit status, what it printed, and the most memory it held, in 2^20 bytes."""

    exit: int | None = None
    log: str = ""
    peak_memory_mb: float | None = None


Reply = tuple[str, Mapping[str, Any], "Mapping[str, Tensor | Images] | None"]
Handler = Callable[[Message], "Reply | None"]


class Guest:
    """A process that runs a plugin. Leaving the ``with`` block ends it and all that it has started.

    Args:
        entry: ``module:function`` of this project, called in the process with its `Wire`.
        what: names the plugin in errors, e.g. ``attack prompt-search``.
        limits: None: those of this process.
    """

    def __init__(self, entry: str, what: str, limits: Limits | None = None) -> None:
        self.what, self._limits = what, limits or _limits
        self._entry = entry
        self.ending = Ending()

    def __enter__(self) -> Guest:
        if not (self._begin() or self._begin()):  # the nursery was killed between the request and the fork
            raise GuestFailed("the process that starts plugins has died twice")
        self.started = time.monotonic()
        return self

    def _begin(self) -> bool:
        """Whether the process has started."""
        ours, theirs = socket.socketpair()
        self._leash, leash = socket.socketpair()
        self.wire = Wire(ours)
        try:
            request = {"entry": self._entry, "memory_gb": self._limits.memory_gb}
            _nursery.request(request, [leash.fileno(), theirs.fileno()])
        finally:
            theirs.close()
            leash.close()
        self._leash.settimeout(START)
        with contextlib.suppress(OSError):
            if self._leash.recv(1) == ALIVE:
                return True
        self.wire.close()
        self._leash.close()
        return False

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def end(self) -> Ending:
        """End the process, if it has not ended; how it ended."""
        self.wire.close()
        if self._leash.fileno() >= 0:
            with contextlib.suppress(OSError):
                self._leash.shutdown(socket.SHUT_WR)
            self.ending = self._reported()
            self._leash.close()
        return self.ending

    def _reported(self) -> Ending:
        data = bytearray()
        self._leash.settimeout(PATIENCE)
        with contextlib.suppress(OSError):
            while part := self._leash.recv(1 << 16):
                data += part
        try:
            return Ending(**json.loads(bytes(data)))
        except (ValueError, TypeError):
            return Ending()

    def call(
        self,
        kind: str,
        body: Mapping[str, Any],
        tensors: Mapping[str, Any] | None = None,
        handlers: Mapping[str, Handler] | None = None,
        until: str = "result",
        seconds: float | None = None,
    ) -> Message:
        """Send a message, then answer the guest's own until it sends the kind ``until``, which is returned.

        Args:
            kind, body, tensors: the message.
            handlers: by kind of message that the guest may send; each returns the reply, or None where none is due.
            until: kind of the message that ends the conversation.
            seconds: wall seconds from now, replies that it does not read included; None: the limit of the process.

        Raises:
            GuestFailed: it raised, died, took too long, or sent what is no message.
        """
        most = self._limits.seconds if seconds is None else seconds
        deadline = None if most is None else time.monotonic() + most
        reply: Reply | None = (kind, body, tensors)
        try:
            while True:
                if reply is not None:
                    with contextlib.suppress(WireClosed):  # what it said last may still be there to read
                        self.wire.send(*reply, deadline)
                message = self.wire.receive(deadline)
                if message.kind == until:
                    return message
                if message.kind == "error":
                    raise self._raised(message)
                handler = (handlers or {}).get(message.kind)
                if handler is None:
                    raise WireFault(f"a message of the unknown kind '{message.kind[:40]}'")
                reply = handler(message)
        except WireClosed:
            raise self._died() from None
        except WireFault as fault:
            raise self._failed(f"{self.what} broke the protocol: it sent {fault}") from None
        except TimeoutError:
            raise self._failed(f"{self.what} ran into the wall limit of {most:g} s", kind="TimeLimit") from None

    def _raised(self, message: Message) -> GuestFailed:
        text, where = str(message.body.get("message", "")), str(message.body.get("where", ""))
        shown = f"{text} ({where})" if where else text
        kind = str(message.body.get("type", ""))
        return self._failed(shown, str(message.body.get("traceback", "")), kind)

    def _died(self) -> GuestFailed:
        ending = self.end()
        last = ending.log.strip().splitlines()[-1:] if ending.log.strip() else []
        if ending.exit is None:
            how = "its keeper is gone"
        else:
            how = f"exit status {ending.exit}" if ending.exit >= 0 else f"signal {-ending.exit}"
        text = f"the process of {self.what} ended without an answer ({how})"
        return self._failed(": ".join([text, *last]))

    def _failed(self, text: str, traceback: str = "", kind: str = "") -> GuestFailed:
        return GuestFailed(text, traceback, self.end().log, kind)
