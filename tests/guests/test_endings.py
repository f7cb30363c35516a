"""What is left of a run, of a guest and of its keeper when one of them is killed: nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from limits import HANGS
from places import ROOT
from processes import runs, until

from bench.cli.stopping import LINE
from bench.guests import process
from bench.guests.failure import GuestFailed
from bench.guests.process import Guest

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
RESTLESS = ["sleeps", "computes", "ignores", "forks"]
HARNESS = """
import json, signal, sys
from bench.cli import stopping
from bench.guests import process

stopping.listen()
process.PRELOADED = sys.argv[2:]
try:
    process.start()
    print(process._nursery._process.pid, flush=True)
    with process.Guest("restless:" + sys.argv[1], "attack restless") as guest:
        print(json.dumps(dict(guest.call("go", {}).body)), flush=True)
        guest.call("go", {})
except stopping.Stopped:
    stopping.leave()
"""
SLOW_IMPORT = """
import sys, time

class Slow:
    def find_spec(self, name, *_):
        if name == "typer":
            print("importing", flush=True)
            try:
                time.sleep(10_000)
            except BaseException as error:
                if sys.argv[1] == "raised": raise
                if sys.argv[1] == "converted": raise ImportError(name) from None
                time.sleep(10_000)

sys.meta_path.insert(0, Slow())
import bench.cli
bench.cli.main()
"""


def start(program: str, *arguments: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "helpers")])
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background has it ignored
    )  # fmt: skip


def line(program: subprocess.Popen[str]) -> str:
    assert program.stdout is not None
    return program.stdout.readline()


def none_left(nursery: int, guest: dict[str, Any]) -> bool:
    return until(lambda: not any(map(runs, [nursery, *guest["processes"]])) and not Path(guest["folder"]).exists())


@pytest.mark.parametrize("entry", RESTLESS)
def test_a_harness_that_is_killed_leaves_no_process_and_no_folder(entry: str) -> None:
    harness = start(HARNESS, entry)
    nursery, guest = int(line(harness)), json.loads(line(harness))
    assert all(map(runs, [nursery, *guest["processes"]]))
    harness.kill()
    assert none_left(nursery, guest)
    harness.communicate()


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("entry", RESTLESS)
def test_a_signal_ends_a_run_with_one_line(entry: str, number: signal.Signals, times: int) -> None:
    harness = start(HARNESS, entry)
    nursery, guest = int(line(harness)), json.loads(line(harness))
    for _ in range(times):
        harness.send_signal(number)
    assert (harness.wait(HANGS), harness.communicate()[1]) == (128 + number, LINE + "\n")
    assert none_left(nursery, guest)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_nursery_that_still_imports_ends_with_its_harness(number: signal.Signals) -> None:
    harness = start(HARNESS, "sleeps", "asleep")
    nursery = int(line(harness))
    assert line(harness) == "importing\n"
    harness.send_signal(number)
    harness.wait(HANGS)
    assert until(lambda: not runs(nursery))
    assert harness.communicate()[1] == ("" if number == signal.SIGKILL else LINE + "\n")


@pytest.mark.parametrize("answer", ["raised", "converted", "swallowed"])
def test_a_signal_ends_a_command_that_still_imports_whatever_becomes_of_the_exception(answer: str) -> None:
    command = start(SLOW_IMPORT, answer)
    assert line(command) == "importing\n"
    command.send_signal(signal.SIGINT)
    assert (command.wait(HANGS), command.communicate()[1]) == (130, LINE + "\n")


@pytest.fixture
def nursery(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The number of this process's nursery, which imports nothing beforehand."""
    process.stop()
    monkeypatch.setattr(process, "PRELOADED", [])
    process.start()
    yield _nursery()
    process.stop()


def _nursery() -> int:
    started = process._nursery._process
    assert started is not None
    return started.pid


def test_what_a_guest_has_started_ends_with_it(nursery: int) -> None:
    with Guest("restless:forks", "attack restless") as guest:
        body = dict(guest.call("go", {}).body)
        assert all(map(runs, body["processes"]))
    assert not any(map(runs, body["processes"][2:])), "its keeper has seen them off before it reported"
    assert not Path(body["folder"]).exists()
    assert guest.ending.exit == -signal.SIGKILL


def test_a_nursery_that_was_killed_is_started_anew(nursery: int) -> None:
    for before in range(2):
        with Guest("restless:answers", "attack restless") as guest:
            guest.call("go", {})
        assert (_nursery() == nursery) is not bool(before)
        os.kill(_nursery(), signal.SIGKILL)


def test_a_guest_whose_nursery_dies_before_the_fork_is_started_by_the_next(nursery: int) -> None:
    os.kill(nursery, signal.SIGSTOP)

    def end() -> None:
        time.sleep(0.2)  # by now the request is on its way, and if not, the test is only an easier one
        os.kill(nursery, signal.SIGKILL)

    threading.Thread(target=end).start()
    with Guest("restless:answers", "attack restless") as guest:
        assert guest.call("go", {}).kind == "result"
    assert _nursery() != nursery


@pytest.mark.parametrize("entry", ["sleeps", "forks", "escapes"])
def test_what_a_killed_keeper_leaves_is_seen_off(entry: str, nursery: int) -> None:
    with Guest(f"restless:{entry}", "attack restless") as guest:
        body = dict(guest.call("go", {}).body)
        os.kill(body["keeper"], signal.SIGKILL)
        with pytest.raises(GuestFailed, match=r"attack restless ended without an answer \(its keeper is gone"):
            guest.call("go", {})
    assert until(lambda: not any(map(runs, body["processes"])) and not Path(body["folder"]).exists())
    assert runs(nursery)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_keeper_ends_with_its_guest_and_not_before(number: signal.Signals, nursery: int) -> None:
    with Guest("restless:sleeps", "attack restless") as guest:
        body = dict(guest.call("go", {}).body)
        os.kill(body["keeper"], number)
    assert guest.ending.exit == -signal.SIGKILL
    assert not Path(body["folder"]).exists()
