"""What the gate catches: ``python tests/benchmarks/gate_catches.py baselines/ci.json --work DIR``.

Each case is one silent change of code, made in a copy of the sources, as a careless commit would make it: no parameter
of a row says so. The suite is then run on two seeds and gated against the baseline. Nothing is retried: one run a case.
The first case changes nothing, and must hold.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("bench", "locks", "attacks", "reports", "pyproject.toml")
HEAD = 'about = "One case of gate_catches.py."\ntasks = ["digits"]\nmodels = ["cnn"]\nseeds = 2\ncontrols = false\n'


@dataclass(frozen=True)
class Case:
    """``old`` becomes ``new`` wherever it stands in ``file``; ``suite`` is a name, or the rows of one."""

    name: str
    file: str = ""
    old: str = ""
    new: str = ""
    suite: str = "ci-minute"


CASES = (
    Case("nothing changed"),
    Case(
        "decoys 5 % -> 0", "locks/modellock.py", "edit_share: float = param(0.95", "edit_share: float = param(1.0",
    ),
    Case(
        "alpha 0.5 -> 0.3", "bench/keys/edit.py", "alpha: float = param(0.5", "alpha: float = param(0.3",
        '[[row]]\nlocks = ["modellock"]\nattacks = ["none"]\n',
    ),
    Case(
        "prompt search: a quarter of its guesses", "attacks/prompt_search.py",
        "self._halve(guesses)", "self._halve(guesses[: len(guesses) // 4])",
        '[[row]]\nlocks = ["modellock"]\nattacks = ["prompt-search"]\n',
    ),
    Case(
        "the lock returns the victim", "locks/modellock.py",
        "        return model\n", '        return models.widen(victim, extra, run.seed("extra"))\n',
    ),
    Case(
        "logit surgery returns the locked model", "attacks/logit_surgery.py",
        "        base = spread(", "        return inner\n        base = spread(",
    ),
)  # fmt: skip


def run(case: Case, baseline: Path, work: Path) -> tuple[int, float, str]:
    """Exit status of the gate, seconds of the run, and what the gate printed."""
    copy = work / "sources"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    for name in SOURCES:
        of = ROOT / name
        if of.is_dir():
            shutil.copytree(of, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(of, copy / name)
    if case.file:
        text = (copy / case.file).read_text()
        if case.old not in text:
            raise SystemExit(f"{case.name}: {case.old!r} no longer stands in {case.file}; mend this case")
        (copy / case.file).write_text(text.replace(case.old, case.new))
    suite = case.suite
    if suite.startswith("["):
        file = work / "case.toml"
        file.write_text(HEAD + "\n" + suite)
        suite = str(file)
    store = work / case.name.replace(" ", "-").replace("%", "").replace(">", "")
    shutil.rmtree(store, ignore_errors=True)
    env = {**os.environ, "PYTHONPATH": str(copy), "COLUMNS": "150"}
    bench = [sys.executable, "-m", "bench.cli"]
    start = time.monotonic()
    result = subprocess.run(
        [*bench, "run", "--suite", suite, "--jobs", "2", "--threads", "1", "--store", str(store)],
        cwd=copy, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.monotonic() - start
    if not store.exists():
        raise SystemExit(result.stdout[-2000:] + result.stderr[-2000:])
    judged = subprocess.run(
        [*bench, "gate", str(baseline.resolve()), "--suite", suite, "--candidate", str(store)],
        cwd=copy, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return judged.returncode, seconds, judged.stdout + judged.stderr


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("baseline", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder for copies and stores")
    parser.add_argument("--case", default="", help="only cases whose name contains this")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    work = args.work.resolve()
    message, wrong = [], 0
    for case in CASES:
        if args.case not in case.name:
            continue
        status, seconds, words = run(case, args.baseline, work)
        print(f"== {case.name}\n{words}", flush=True)
        expected = 1 if case.file else 0
        wrong += status != expected
        message.append(
            f"{case.name:42} exit {status} ({'as it should' if status == expected else 'WRONG'})  {seconds:.0f} s"
        )
    print("\n".join(message))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
