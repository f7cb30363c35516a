"""Locks of a store: ``flock`` where machines see each other's, and files with a heartbeat where they do not.

``flock`` leaves nothing behind: a process that dies holds its locks no more. Some network file systems refuse it, and
some keep it to one machine. There a lock is a file beside the other (`filelock.SoftFileLease`): its holder touches it,
and who waits takes it over when its process is dead, or when nobody has touched it for `LEASE` seconds.

What holds for a store stands in its mark, so that every machine does the same. The environment variable
``LOCKBENCH_LOCKS`` (``flock`` or ``soft``) decides for a new store.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UserError

if TYPE_CHECKING:
    from filelock import SoftFileLease

FLOCK, SOFT = "flock", "soft"
VARIABLE = "LOCKBENCH_LOCKS"
LEASE = 60.0
"""Seconds after which a lock file that nobody has touched is taken over."""
POLL = 0.25
"""Seconds between two looks at a lock file."""
IN_USE = "in-use.lock"
"""The lock that whoever may write holds together, and whoever repairs alone."""
SUFFIX = ".lease"
MARK = "lockbench.json"
PROBE = ".flock-"
"""How the name of a file begins that tries out whether a file system has locks."""
REFUSED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)
"""What a file system says that has no ``flock``."""


def chosen(root: Path) -> str:
    """The locks of a new store in the folder ``root``.

    Raises:
        UserError: the environment names others than there are.
    """
    named = os.environ.get(VARIABLE, "")
    if named not in ("", FLOCK, SOFT):
        raise UserError(f"{VARIABLE} is '{named}'.", f"Set it to {FLOCK} or {SOFT}, or not at all.")
    return named or (SOFT if _is_local_only(*_mount(root)) or not _flocks(root) else FLOCK)


_shares: dict[Path, SoftFileLease] = {}
"""By store, the lock file that says that this process may write to it."""
_kinds: dict[tuple[Path, int], str] = {}


def kind(root: Path) -> str:
    """The locks of the store at ``root``: what its mark says, else `FLOCK`."""
    mark = root / MARK
    try:
        at = (root, mark.stat().st_mtime_ns)
        if at not in _kinds:
            _kinds[at] = SOFT if json.loads(mark.read_bytes()).get("locks") == SOFT else FLOCK
        return _kinds[at]
    except (OSError, ValueError, AttributeError, RecursionError):
        return FLOCK


@contextmanager
def exclusive(root: Path, file: Path) -> Iterator[None]:
    """While no other process holds the lock ``file`` of the store at ``root``; waits for it."""
    if kind(root) == SOFT:
        with _lease(file).acquire(poll_interval=POLL):
            yield
        return
    with file.open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


@contextmanager
def taken(root: Path, file: Path) -> Iterator[bool]:
    """Take the lock ``file`` for the block; False where another process does. A lock that is not there is nobody's."""
    with _flocked(file) as free:
        if not free or kind(root) != SOFT:
            yield free
            return
        from filelock import Timeout

        lease = _lease(file)
        try:
            lease.acquire(blocking=False)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lease.release()


def create(root: Path, file: Path) -> Callable[[], None] | None:
    """Hold the new lock ``file``, and return what ends that; None where another took the file for a dead one's."""
    if kind(root) == SOFT:
        lease = _lease(file)
        lease.acquire(poll_interval=POLL)
        return lease.release
    opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        if file.exists() and os.path.samestat(file.stat(), os.fstat(opened)):
            return lambda: _end(file, opened)
    except BaseException:
        _end(file, opened)
        raise
    os.close(opened)
    return None


def share(root: Path) -> Callable[[], None]:
    """From now on this process may write to the store at ``root``; what ends that. Waits while it is repaired."""
    if kind(root) == SOFT:
        if root not in _shares:  # until the process ends: a lease that a finaliser released could wait for itself
            with exclusive(root, root / "locks" / IN_USE):
                lease = _lease(root / "locks" / f"in-use-{uuid.uuid4().hex}.lock")
                lease.acquire(poll_interval=POLL)
            _shares[root] = lease
            atexit.register(lease.release)
        return lambda: None
    opened = os.open(root / "locks" / IN_USE, os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(opened, fcntl.LOCK_SH)
    return lambda: os.close(opened)


@contextmanager
def alone(root: Path) -> Iterator[bool]:
    """For the block, nobody else may write to the store at ``root``; False where one may just now."""
    if kind(root) == SOFT:
        with taken(root, root / "locks" / IN_USE) as free:
            yield free and all(_is_free(root, file) for file in (root / "locks").glob(f"in-use-*{SUFFIX}"))
        return
    opened = os.open(root / "locks" / IN_USE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield _try(opened)
    finally:
        os.close(opened)


def name_of(file: Path) -> str:
    """The name of the lock that ``file`` belongs to, whether it is a lock or beside one; empty: to none."""
    name = file.name.partition(SUFFIX)[0]
    return name.removesuffix(".lock") if SUFFIX in file.name or file.suffix == ".lock" else ""


def _is_free(root: Path, lease: Path) -> bool:
    with taken(root, lease.with_suffix(".lock")) as free:
        return free


def _lease(file: Path) -> SoftFileLease:
    from filelock import SoftFileLease

    return SoftFileLease(file.with_suffix(SUFFIX), lease_duration=LEASE, thread_local=False)


@contextmanager
def _flocked(file: Path) -> Iterator[bool]:
    try:
        opened = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        yield True
        return
    except OSError:
        yield False
        return
    try:
        yield _try(opened)
    finally:
        os.close(opened)


def _try(opened: int) -> bool:
    """Whether the open file is ours now, and nobody else's."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def _end(file: Path, opened: int) -> None:
    with suppress(OSError):
        file.unlink()
    os.close(opened)


def _flocks(folder: Path) -> bool:
    """Whether the file system of ``folder`` has ``flock`` at all."""
    probe = folder / f"{PROBE}{uuid.uuid4().hex}"
    try:
        with probe.open("w") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError as error:
        return error.errno not in REFUSED
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def _mount(folder: Path, table: Path = Path("/proc/self/mountinfo")) -> tuple[str, frozenset[str]]:
    """Type and options of the file system that ``folder`` lies on; empty where the system does not say."""
    found: tuple[int, str, frozenset[str]] = (-1, "", frozenset())
    place = str(folder.resolve())
    with suppress(OSError):
        for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
            before, _, after = line.partition(" - ")
            own, last = before.split(), after.split()
            if len(own) < 6 or len(last) < 3:
                continue
            point = own[4].replace("\\040", " ")
            if place == point or place.startswith(point.rstrip("/") + "/"):
                options = frozenset([*own[5].split(","), *last[2].split(",")])
                found = max(found, (len(point), last[0], options), key=lambda each: each[0])
    return found[1], found[2]


def _is_local_only(type: str, options: frozenset[str]) -> bool:
    """Whether other machines do not see the ``flock`` of a file system of that type and options."""
    if type in ("nfs", "nfs4"):
        return not options.isdisjoint({"nolock", "local_lock=flock", "local_lock=all"})
    if type == "lustre":
        return "flock" not in options
    return type in ("cifs", "smb3", "smbfs", "beegfs", "afs") or type.startswith("fuse.")
