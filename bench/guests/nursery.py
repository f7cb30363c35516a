"""The nursery: a process that starts clean, imports for seconds once, and forks a guest whenever one is due.

It is executed, not forked, with a command line and an environment that hold nothing of the run. Between it and each
guest stands a *keeper*, which outlives the guest. The keeper collects what the guest prints. It ends the guest, and
all that the guest has started, when the harness lets go of the leash or dies. Where a keeper is killed itself, the
nursery sees off what it has left.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import resource
import secrets
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator
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


ALIVE = b"."
"""The first byte that a keeper sends over the leash: from now on the guest's end is its own doing."""
_SEEN_OFF = 5.0
"""Seconds in which everything that a guest has started must be gone."""


def main(descriptor: int, preloaded: list[str]) -> None:
    """Serve requests that come over the socket ``descriptor`` until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with the harness, and says nothing of its own
    _prctl(_SUBREAPER, 1)  # what a killed keeper leaves behind becomes this process's child
    with _bound_to(descriptor):
        for module in preloaded:
            importlib.import_module(module)
    control = socket.socket(fileno=descriptor)
    keepers = _Keepers()
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(keepers.wake, select.POLLIN)
    while True:
        ready = {at for at, _ in poller.poll()}
        if keepers.wake in ready:
            keepers.bury()
        if control.fileno() in ready and not _serve(control, keepers):
            keepers.await_all()
            return


def _serve(control: socket.socket, keepers: _Keepers) -> bool:
    """Fork a keeper for the next request; whether there was one."""
    data, descriptors, _, _ = socket.recv_fds(control, _READ, 2)
    if not data:
        return False
    folder = str(Path(tempfile.gettempdir()) / f"guest-{secrets.token_hex(6)}")
    pid = os.fork()
    if pid == 0:
        control.close()
        keepers.forget()
        code = 1
        try:
            leash, wire = descriptors
            _keep(json.loads(data), leash, wire, folder)
            code = 0
        finally:
            os._exit(code)
    keepers.add(pid, folder)
    for each in descriptors:
        os.close(each)
    return True


@contextlib.contextmanager
def _bound_to(descriptor: int) -> Iterator[None]:
    """End this process when the other end of the socket ``descriptor`` is closed, as long as the block runs.

    The thread that waits for it ends with the block, so that there is none at a fork.
    """
    over, end = os.pipe()
    poller = select.poll()
    poller.register(descriptor, 0)  # errors and the other end's closing alone
    poller.register(over, 0)

    def watch() -> None:
        if descriptor in {at for at, _ in poller.poll()}:
            os._exit(1)

    watcher = threading.Thread(target=watch, daemon=True, name="end with harness")
    watcher.start()
    try:
        yield
    finally:
        os.close(end)
        watcher.join()
        os.close(over)


class _Keepers:
    """The keepers at work, and what is left of those that were killed."""

    def __init__(self) -> None:
        self._folders: dict[int, str] = {}
        self._left: list[str] = []
        self.wake, self._woken = os.pipe()
        """``wake`` can be read when a child has ended."""
        for end in (self.wake, self._woken):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)

    def forget(self) -> None:
        """For a process just forked: it keeps one guest, and no keepers."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(self.wake)
        os.close(self._woken)

    def add(self, pid: int, folder: str) -> None:
        """A keeper and the folder of its guest."""
        self._folders[pid] = folder

    def bury(self) -> bool:
        """Reap what has ended, and end what killed keepers have left; whether any child remains."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.wake, _READ):
                pass
        while (pid := _reaped()) > 0:
            folder = self._folders.pop(pid, None)
            if folder is not None and Path(folder).exists():  # the keeper was killed
                self._left.append(folder)
        strangers = _kill_children(but=self._folders)
        if not strangers:
            for folder in self._left:
                shutil.rmtree(folder, ignore_errors=True)
            self._left.clear()
        return pid == 0

    def await_all(self) -> None:
        """Wait until the last keeper has ended; with the harness gone, each ends now."""
        poller = select.poll()
        poller.register(self.wake, select.POLLIN)
        while self.bury():
            poller.poll(_LOOK)


def _reaped() -> int:
    """A child that has ended; 0: those that are left run; -1: there is none."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0]
    except ChildProcessError:
        return -1


def _keep(request: dict[str, Any], leash: int, wire: int, folder: str) -> None:
    """Run one guest and see it off."""
    for each in (signal.SIGTERM, signal.SIGHUP):  # it ends with the harness, and not before it has cleaned up
        signal.signal(each, signal.SIG_IGN)
    os.setsid()
    _prctl(_SUBREAPER, 1)  # what the guest leaves behind becomes this process's child
    reports = socket.socket(fileno=leash)
    with contextlib.suppress(OSError):
        reports.sendall(ALIVE)
    try:
        Path(folder).mkdir(mode=0o700)
        report = _seen_through(request, leash, wire, folder)
    except OSError as error:
        report = {"log": f"no process could be started: {error}"}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        reports.sendall(json.dumps(report).encode())


def _seen_through(request: dict[str, Any], leash: int, wire: int, folder: str) -> dict[str, Any]:
    """Fork the guest, wait for its end or bring it about; the report."""
    output, guests = os.pipe()
    keeper = os.getpid()
    guest = os.fork()
    if guest == 0:
        os._exit(_guest(request, keeper, wire, guests, folder))
    os.close(wire)
    os.close(guests)
    log = _Log()
    status, usage = _watch(guest, leash, output, log)
    if status is None:
        _kill(guest)
        _, status, usage = os.wait4(guest, 0)
    _end_all(guest)
    _drain(output, log)
    per_mb = 1 << 20 if sys.platform == "darwin" else 1 << 10  # macOS counts bytes, Linux kilobytes
    return {
        "exit": os.waitstatus_to_exitcode(status),
        "peak_memory_mb": round(usage.ru_maxrss / per_mb, 1) if usage else None,
        "log": log.text(),
    }


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


def _kill(guest: int) -> None:
    """Kill the guest and its process group."""
    for end in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            end(guest, signal.SIGKILL)


def _end_all(guest: int) -> None:
    """Kill whatever the guest, which has ended, has left: its process group, and all that has escaped from it.

    A child of a child becomes this process's own once its parent is dead, so that none is left when no child is.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(guest, signal.SIGKILL)
    deadline = time.monotonic() + _SEEN_OFF
    while time.monotonic() < deadline:
        _kill_children(but=())
        while (pid := _reaped()) > 0:
            pass
        if pid < 0:
            return
        time.sleep(0.001)


def _kill_children(but: Collection[int]) -> int:
    """Kill this process's children apart from those named; how many there were."""
    left = [pid for pid in _children() if pid not in but]
    for pid in left:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return len(left)


def _children() -> list[int]:
    own = os.getpid()
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{own}/children").read_text().split()]
    except OSError:  # a kernel built without it, or no Linux
        return [int(at.name) for at in Path("/proc").glob("[0-9]*") if _parent(at) == own]


def _parent(process: Path) -> int | None:
    try:
        return int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return None


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
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)
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
