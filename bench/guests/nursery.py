"""The nursery: a process that starts clean, imports for seconds once, and forks a guest whenever one is due.

It is executed, not forked, with a command line and an environment that hold nothing of the run. Between it and each
guest stands a *keeper*, which outlives the guest. The keeper collects what the guest prints. It ends the guest, and
all that the guest has started, when the harness lets go of the leash or dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import select
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.guests.failure import describe
from bench.guests.wire import Wire, WireClosed

LOG = 200_000
"""Characters kept of what a guest prints: the first and the last half."""
_PDEATHSIG, _SUBREAPER = 1, 36
_LOOK = 50
"""Milliseconds between looks at a guest where the system cannot wait for it and for a socket at once."""
_READ = 1 << 16


def main(descriptor: int, preloaded: list[str]) -> None:
    """Serve requests that come over the socket ``descriptor`` until it is closed."""
    control = socket.socket(fileno=descriptor)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are buried as they end
    for module in preloaded:
        importlib.import_module(module)
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, _READ, 2)
        if not data:
            return
        if os.fork() == 0:
            control.close()
            code = 1
            try:
                _keep(json.loads(data), *descriptors)
                code = 0
            finally:
                os._exit(code)
        for each in descriptors:
            os.close(each)


def _keep(request: dict[str, Any], leash: int, wire: int) -> None:
    """Run one guest and see it off."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    _prctl(_SUBREAPER, 1)  # what the guest leaves behind becomes this process's child
    folder = tempfile.mkdtemp(prefix="guest-")
    output, guests = os.pipe()
    keeper = os.getpid()
    guest = os.fork()
    if guest == 0:
        os._exit(_guest(request, keeper, wire, guests, folder))
    os.close(wire)
    os.close(guests)
    log = _Log()
    status, usage = _watch(guest, leash, output, log)
    _end_all(guest)
    if status is None:
        _, status, usage = os.wait4(guest, 0)
    _drain(output, log)
    shutil.rmtree(folder, ignore_errors=True)
    per_mb = 1 << 20 if sys.platform == "darwin" else 1 << 10  # macOS counts bytes, Linux kilobytes
    report = {
        "exit": os.waitstatus_to_exitcode(status),
        "peak_memory_mb": round(usage.ru_maxrss / per_mb, 1) if usage else None,
        "log": log.text(),
    }
    with contextlib.suppress(OSError):
        socket.socket(fileno=leash).sendall(json.dumps(report).encode())


def _watch(guest: int, leash: int, output: int, log: _Log) -> tuple[int | None, Any]:
    """Wait until the guest ends or the leash is let go; its status and usage, or None where it still runs."""
    poller = select.poll()
    poller.register(leash, select.POLLIN)
    poller.register(output, select.POLLIN)
    waited = os.pidfd_open(guest) if hasattr(os, "pidfd_open") else None
    if waited is not None:
        poller.register(waited, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poller.poll(None if waited is not None else _LOOK)}
        if output in ready:
            data = os.read(output, _READ)
            if not data:
                poller.unregister(output)
            log.add(data)
        if leash in ready:
            return None, None
        if waited is None or waited in ready:
            pid, status, usage = os.wait4(guest, os.WNOHANG)
            if pid:
                return status, usage


def _end_all(guest: int) -> None:
    """Kill the guest, its process group, and whatever has escaped from it."""
    for end in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            end(guest, signal.SIGKILL)
    for _ in range(1000):  # a child of a child becomes this process's own once its parent is dead
        left = _children(guest)
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _children(but: int) -> list[int]:
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    except OSError:
        return []
    return [int(pid) for pid in text.split() if int(pid) != but]


def _drain(output: int, log: _Log) -> None:
    os.set_blocking(output, False)
    with contextlib.suppress(BlockingIOError):
        while data := os.read(output, _READ):
            log.add(data)


class _Log:
    """The first and the last of what was printed."""

    def __init__(self) -> None:
        self._first, self._last, self._cut = bytearray(), bytearray(), 0

    def add(self, data: bytes) -> None:
        room = LOG // 2 - len(self._first)
        self._first += data[: max(0, room)]
        self._last += data[max(0, room) :]
        over = len(self._last) - LOG // 2
        if over > 0:
            del self._last[:over]
            self._cut += over

    def text(self) -> str:
        gap = f"\n… {self._cut:,} bytes left out …\n" if self._cut else ""
        return self._first.decode(errors="replace") + gap + self._last.decode(errors="replace")


def _guest(request: dict[str, Any], keeper: int, wire: int, output: int, folder: str) -> int:
    """Everything the guest's process does; its exit status."""
    os.setpgid(0, 0)
    _prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != keeper:
        return 1
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.closerange(3, wire)
    os.closerange(wire + 1, 4096)
    os.chdir(folder)
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit_memory(request.get("memory_gb"))
    speaks = Wire(socket.socket(fileno=wire))
    try:
        module, _, name = request["entry"].partition(":")
        getattr(importlib.import_module(module), name)(speaks)
    except WireClosed:
        return 1
    except BaseException as error:  # SystemExit and KeyboardInterrupt included: a guest does not end the run
        with contextlib.suppress(BaseException):
            speaks.send("error", describe(error))
        return 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                stream.flush()
    return 0


def _limit_memory(gigabytes: float | None) -> None:
    """Let this process allocate so much more than it holds already."""
    if gigabytes is None:
        return
    held = 0
    with contextlib.suppress(OSError, ValueError, IndexError):
        held = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    most = held + int(gigabytes * 1e9)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _prctl(option: int, value: int) -> None:
    """Linux alone has it; elsewhere the process group has to do."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
