"""Both kinds of lock keep the same promises; the soft kind is tried on a plain disk, where it works too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.errors import UserError
from bench.store import locks, parts
from bench.store.store import Store

HOLD = """
import sys
from pathlib import Path
from bench.store import locks, parts
from bench.store.store import Store
store = Store(Path(sys.argv[1]))
with parts.lock(store.root, "x"), parts.new(store.root) as part:
    (part / "file").write_text("half made")
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=[locks.FLOCK, locks.SOFT])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv(locks.VARIABLE, request.param)
    monkeypatch.setattr(locks, "POLL", 0.02)
    store = Store(tmp_path / "s")
    monkeypatch.delenv(locks.VARIABLE)
    assert locks.kind(store.root) == request.param, "the mark says it"
    return store


@pytest.fixture
def holder(store: Store) -> Iterator[subprocess.Popen[str]]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process: subprocess.Popen[str] = subprocess.Popen([sys.executable, "-c", HOLD, str(store.root)], **pipes)  # type: ignore[call-overload]
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    assert process.stdin is not None
    process.stdin.close()
    process.stdout.close()


def test_one_holds_a_lock_at_a_time(store: Store) -> None:
    inside, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            with parts.lock(store.root, "y"):
                with lock:
                    inside += 1
                    most = max(most, inside)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_killed_process_holds_nothing(store: Store, holder: subprocess.Popen[str]) -> None:
    file = store.root / "locks" / "x.lock"
    with locks.taken(store.root, file) as free:
        assert not free
    assert store.leftovers() == [], "its maker lives"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with parts.lock(store.root, "x"):
        pass
    assert [p for p in store.leftovers() if p.is_dir()], "its maker is dead"
    store.clean()
    assert store.entries("tmp") == []
    assert store.strays() == []


def test_a_repair_waits_for_nobody(store: Store, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(UserError, match="a run is at work"), store.alone():
        pass


def test_an_artefact_is_made_once(store: Store) -> None:
    with store.making("key", "a" * 20) as part:
        assert part is not None
        (part / "x").write_text("1")
    with store.making("key", "a" * 20) as part:
        assert part is None
    assert store.entries("tmp") == []


def test_a_maker_that_was_overtaken_keeps_what_is_there(store: Store) -> None:
    """A soft lock may be taken from a maker that is only slow: the first result stays."""
    target = store.artefact("key", "b" * 20)
    with store.making("key", "b" * 20) as part:
        assert part is not None
        (part / "x").write_text("late")
        other = part.with_name("f" * 32)
        other.mkdir()
        (other / "x").write_text("first")
        from bench.store import sums

        sums.write(other)
        target.parent.mkdir(parents=True)
        other.rename(target)
    assert (target / "x").read_text() == "first"


def test_only_soft_locks_are_named_in_the_mark(tmp_path: Path) -> None:
    Store(tmp_path / "s", entropy="plan")
    assert "locks" not in (tmp_path / "s" / "lockbench.json").read_text()


def test_an_unknown_kind_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(locks.VARIABLE, "hard")
    with pytest.raises(UserError, match="hard"):
        Store(tmp_path / "s")


def test_machines_that_share_a_store_do_not_share_a_database(store: Store) -> None:
    inside = store.edits.is_relative_to(store.root)
    assert inside == (locks.kind(store.root) == locks.FLOCK)


@pytest.mark.parametrize(
    ("type", "options", "local"),
    [
        ("ext4", "rw", False),
        ("nfs4", "rw,vers=4.2,local_lock=none", False),
        ("nfs", "rw,vers=3,nolock", True),
        ("nfs", "rw,local_lock=flock", True),
        ("lustre", "rw,flock", False),
        ("lustre", "rw", True),
        ("cifs", "rw", True),
        ("fuse.sshfs", "rw", True),
        ("fuseblk", "rw", False),
    ],
)
def test_file_systems(type: str, options: str, local: bool, tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        f"23 22 0:50 / {tmp_path} rw,relatime - {type} server:/x {options}\n"
    )
    assert locks._is_local_only(*locks._mount(tmp_path, table)) is local
    assert locks._mount(Path(os.sep), table)[0] == "ext4"
