"""Kills at random moments: ``python tests/benchmarks/kills.py --kills 100``.

Each run starts in a fresh store. At a random moment one of its processes gets a signal. Five seconds after its end
nothing of it may be left. The same command is then run to its end, and its records must be those of a run that nobody
disturbed, bit for bit. The suite is the small one of the tests, and an attack that forks children which stay.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

import families
import small_suite
from places import PLUGINS
from processes import until

from bench.cli.stopping import LINE
from bench.store import Store

ROLES = ("main", "worker", "guest", "keeper", "nursery")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
GONE, HANGS = 5.0, 300.0
"""Seconds after which nothing may be left, and after which a run hangs."""
NOT_MEASURED = {"meter", "lock_meter", "provenance", "key_ms_per_image", "curve", "key"}
FORKING = """
[[row]]
locks = ["none"]
attacks = ["forking"]
tasks = ["{task}"]
models = ["tiny"]
controls = false
params = {{ "task.size" = 16, "lock.key" = "tint" }}
"""


def _listen() -> None:
    """A shell starts what runs in the background with Ctrl-C ignored; a run in a terminal is not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class Tally:
    """What was counted."""

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0


class Trial:
    """One store and the runs into it."""

    def __init__(self, folder: Path, suite: Path, jobs: int) -> None:
        self.folder, self.jobs = folder, jobs
        self.store, self.tmp = folder / "store", folder / "tmp"
        self.tmp.mkdir(parents=True)
        files = [*small_suite.arguments(suite, self.store), f"--plugin={PLUGINS / 'forking.py'}"]
        self.command = [sys.executable, "-m", "bench.cli", *files, "--jobs", str(jobs)]

    def start(self) -> subprocess.Popen[str]:
        """Start the run."""
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "TMPDIR": str(self.tmp), "PYTHONPATH": path}
        return subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment, start_new_session=True, preexec_fn=_listen,
        )  # fmt: skip

    def finish(self) -> tuple[int, str]:
        """Run to the end; exit status and what was printed."""
        run = self.start()
        try:
            out, err = run.communicate(timeout=HANGS)
        except subprocess.TimeoutExpired:
            self.clear()
            return -1, "hangs"
        return run.returncode, out + err

    def clear(self) -> None:
        """End whatever is left."""
        for pid in families.family(self.tmp):
            os.kill(pid, signal.SIGKILL)

    def results(self) -> list[tuple[str, dict[str, Any]]]:
        """What was measured, by row and seed."""
        store, found = Store(self.store, write=False), []
        for record in store.records():
            values = {k: v for k, v in record.model_dump().items() if k not in NOT_MEASURED}
            values["curve"] = [p["RP"] for p in record.model_dump()["curve"]]
            evidence = {k: (v.dtype.str, v.shape, v.tobytes()) for k, v in store.evidence(record).items()}
            found.append((f"{record.row_key}/{record.cell.replicate}", values | {"evidence": evidence}))
        return sorted(found, key=lambda pair: pair[0])


def kill(trial: Trial, role: str, number: signal.Signals, after: float, tally: Tally) -> bool:
    """Kill one process of a run; whether there was one to kill."""
    run = trial.start()
    begin, found = time.monotonic(), []
    time.sleep(after)
    while run.poll() is None and not found:
        found = [run.pid] if role == "main" else families.of_role(role, trial.tmp)
        time.sleep(0.005)
    chosen = random.choice(found) if found else 0
    if not found or run.poll() is not None:
        trial.clear()
        run.communicate()
        return False
    try:
        os.kill(chosen, number)
    except ProcessLookupError:
        trial.clear()
        run.communicate()
        return False
    at = time.monotonic()
    print(f"  {role} {number.name} after {at - begin:.1f} s, --jobs {trial.jobs}", flush=True)
    try:
        run.wait(GONE if role == "main" else HANGS)
    except subprocess.TimeoutExpired:
        wrong(tally, "hangs", f"{role} {number.name}")
    if role == "main":
        tally.slowest = max(tally.slowest, time.monotonic() - at)
    if not until(lambda: not families.family(trial.tmp), GONE):
        wrong(tally, "orphans", "\n".join(map(str, families.family(trial.tmp).values())))
        trial.clear()
    out, err = run.communicate()
    if role == "main" and number != signal.SIGKILL:
        said = [line for line in err.splitlines() if line.strip() and " · " not in line]
        if (run.returncode, said) not in ((128 + number, [LINE]), (0, [])):
            wrong(tally, "answers", f"{number.name}: exit {run.returncode}: {err}")
    if "Traceback" in out + err or "defect of LockBench" in out + err:
        wrong(tally, "tracebacks", err)
    if left := list(trial.tmp.glob("guest-*")):
        wrong(tally, "folders", str(left))
    return True


def wrong(tally: Tally, kind: str, what: str) -> None:
    """Count what must not be, and show it."""
    tally.wrong[kind] += 1
    print(f"  WRONG {kind}: {what[:2000]}", flush=True)


def compare(trial: Trial, undisturbed: list[tuple[str, dict[str, Any]]], tally: Tally) -> None:
    """Run to the end and compare."""
    code, text = trial.finish()
    if code != 0:
        wrong(tally, "reruns", f"exit {code}: {text[-1500:]}")
    found = trial.results()
    names = Counter(name for name, _ in found)
    lost = [name for name, _ in undisturbed if name not in names]
    for kind, cases in (("lost", lost), ("doubled", [name for name, n in names.items() if n > 1])):
        if cases:
            wrong(tally, kind, str(cases))
    by_name = dict(found)
    for name, values in undisturbed:
        differ = [k for k, v in values.items() if name in by_name and by_name[name].get(k) != v]
        if differ:
            wrong(tally, "differ", f"{name}: {differ}")


def table(tally: Tally) -> str:
    """The counts."""
    lines = ["", f"{'':10}" + "".join(f"{s.name:>10}" for s in SIGNALS)]
    lines += [f"{role:10}" + "".join(f"{tally.kills[role, s.name]:>10}" for s in SIGNALS) for role in ROLES]
    kinds = ("lost", "doubled", "orphans", "hangs", "folders", "differ", "tracebacks", "answers", "reruns")
    lines += ["", f"kills {tally.kills.total()}: " + ", ".join(f"{kind} {tally.wrong[kind]}" for kind in kinds)]
    return "\n".join([*lines, f"slowest end of the main process: {tally.slowest:.2f} s"])


def main() -> None:
    """Kill, compare, count."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--kills", type=int, default=100)
    reader.add_argument("--seed", type=int, default=0)
    reader.add_argument("--minutes", type=float, default=1e9, help="start no kill after so many")
    chosen = reader.parse_args()
    random.seed(chosen.seed)
    begin, tally = time.monotonic(), Tally()
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        root = Path(name)
        (root / "pictures").mkdir()
        task, suite = small_suite.pictures(root / "pictures"), root / "small.toml"
        suite.write_text(small_suite.row(task) + FORKING.format(task=task))
        took = {}
        for jobs in (1, 2):
            whole = Trial(root / f"whole-{jobs}", suite, jobs)
            start = time.monotonic()
            code, text = whole.finish()
            assert code == 0, text
            took[jobs] = time.monotonic() - start
        undisturbed = Trial.results(whole)
        print(f"{len(undisturbed)} cells in {took[1]:.0f} s and, with --jobs 2, {took[2]:.0f} s", flush=True)
        turn = 0
        while tally.kills.total() < chosen.kills and time.monotonic() - begin < 60 * chosen.minutes:
            turn += 1
            jobs = 1 + turn % 2
            role = random.choice([r for r in ROLES if jobs == 2 or r != "worker"])
            number = random.choice(SIGNALS)
            trial = Trial(root / f"trial-{turn}", suite, jobs)
            if kill(trial, role, number, random.uniform(0.05, took[jobs]), tally):
                tally.kills[role, number.name] += 1
                compare(trial, undisturbed, tally)
            shutil.rmtree(trial.folder)
    print(table(tally))
    sys.exit(1 if tally.wrong else 0)


if __name__ == "__main__":
    main()
