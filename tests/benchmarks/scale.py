"""The harness at scale: a plan of 10,000 cells, a store of 100,000 records, and what the commands take on them.

Run with ``python tests/benchmarks/scale.py [--records 100000] [--html]``. It fills a store in the folder of temporary
files with made-up records of real cells, times each command in a process of its own, prints a table, and removes the
store. Seconds are wall seconds, with those of the processor beside them; memory is the peak of the process.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from bench import plan, registry
from bench.records import Cell, Condition, CurvePoint, Flag, Measured, Provenance, Record
from bench.store import Store, identity
from bench.store.reading import EVIDENCE, RECORD
from bench.store.settings import PLAN, Settings
from bench.store.sums import SUMS, Sum

TASKS, MODELS, SIZES = ("digits", "digits-m", "fonts", "shapes"), ("vit", "cnn"), tuple(range(32, 120, 8))
IMAGES = 100
PLANNED = 10_000


@dataclass(frozen=True)
class Usage:
    """What a command took: seconds of the wall and of the processor, and 2^20 bytes at its peak."""

    wall: float
    processor: float
    megabytes: float
    status: int


def suite(folder: Path, places: int, seeds: int) -> Path:
    """A suite on the first ``places`` of task, model and size: every lock and attack that fit."""
    plugins = registry.current()
    names = {kind: [n for n, i in plugins.all(kind).items() if i.role == "method" and not i.guest and not i.purpose
                    and "classification" in i.tasks] for kind in ("lock", "attack")}  # fmt: skip
    lines = []
    for size, task, model in itertools.islice(itertools.product(SIZES, TASKS, MODELS), places):
        lines += [
            "[[row]]", f"locks = {json.dumps(names['lock'])}", f"attacks = {json.dumps(names['attack'])}",
            f'tasks = ["{task}"]', f'models = ["{model}"]', 'unfit = "leave"', f"seeds = {seeds}",
            *([f'params = {{"task.size" = {size}}}'] if size != 32 else []), "",
        ]  # fmt: skip
    file = folder / f"scale-{places}-{seeds}.toml"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def cells_of(file: Path) -> list[Cell]:
    """The cells of the suite ``file``."""
    return [planned.cell for planned in plan.build(plan.read_suite(str(file)))]


def fill(root: Path, cells: Sequence[Cell]) -> None:
    """Write a store with a sound record of each of ``cells``: numbers are made up, identities are real."""
    store, settings, rng = Store(root, entropy=PLAN), Settings(entropy=PLAN), np.random.default_rng(0)
    labels, index = np.arange(IMAGES, dtype=np.uint8) % 10, np.arange(IMAGES, dtype=np.int32)
    for i, cell in enumerate(cells):
        own = identity.of(cell, settings)
        right = {name: int(rng.integers(low, high)) for name, low, high in
                 (("UP", 80, 95), ("LP", 8, 30), ("RP", 10, 90), ("oracle", 85, 95))}  # fmt: skip
        evidence = {"test_index": index, "test_labels": labels}
        evidence |= {f"pred/{name}": (labels + (index >= n)) % 10 for name, n in right.items()}
        _put(store.root / "records" / own.record, _record(cell, own, right, i), save(evidence))


def _record(cell: Cell, own: identity.Identity, right: dict[str, int], number: int) -> Record:
    measured = {name: Measured(value=100.0 * n / IMAGES, n=IMAGES, low=100 * n / IMAGES - 8, high=100 * n / IMAGES + 8)
                for name, n in right.items()}  # fmt: skip
    attacked = cell.attack.purpose != "no-attack"
    kinds = ("right", "none", "near", "wrong", "random", "partial")
    stages = ("victim", "key", "protected", "judged", "unlocked")
    return Record(
        cell=cell, row_key=cell.row_key(), floor=10.0, UP=measured["UP"], LP=measured["LP"], UP_shipped=measured["UP"],
        LP_shipped=measured["LP"], oracle=measured["oracle"], victim_authorised=measured["oracle"],
        RP=measured["RP"] if attacked else None, RP_validation=measured["RP"] if attacked else None,
        authorised_after=measured["UP"],
        conditions=[] if attacked else [Condition(kind=k, what=f"the {k} key", accuracy=measured["LP"]) for k in kinds],
        curve=[CurvePoint(meter={"steps": 50 * j, "guesses": j, "queries": 0}, RP=measured["RP"].value, n=IMAGES,
                          validation=measured["RP"].value, note={"step": j}) for j in range(8)] if attacked else [],
        meter={"steps": 400, "guesses": 8, "queries": 0, "edited": 0, "seconds": 12.5, "peak_memory_mb": 120.0},
        lock_meter={"steps": 300, "seconds": 40.0}, key={"method": cell.key.name, "prompt": "with oil pastel"},
        flags=[Flag(name="up-not-above-lp", detail="made up")] if number % 50 == 0 else [],
        classes=[str(k) for k in range(10)], defender_needs={"unlabelled": True}, selected={"note": {}, "by": "last"},
        provenance=Provenance(
            hash=own.record, parents={stage: own.hashes[stage] for stage in stages}, inputs=own.inputs,
            seeds=own.seeds, data_fingerprint="0" * 20, versions=identity.versions(), machine="x86_64 cpu", threads=1,
            seconds=dict.fromkeys(stages, 10.0), command="bench run --suite scale",
            created=f"2026-01-01T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}.000",
        ),
    )  # fmt: skip


def _put(folder: Path, record: Record, evidence: bytes) -> None:
    """As `Store.put`, without its locks, which nobody contends for here."""
    contents = {RECORD: (record.model_dump_json(indent=1) + "\n").encode(), EVIDENCE: evidence}
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    known = {name: Sum.of(contents[name]) for name in sorted(contents)}
    sums = {name: {"sha256": own.sha256, "bytes": own.size} for name, own in known.items()}
    (folder / SUMS).write_text(json.dumps({"files": sums}, indent=1) + "\n", encoding="utf-8")


def usage(*command: str, log: Path) -> Usage:
    """What a process with ``command`` takes."""
    start = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, *command], stdout=out, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    return Usage(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, process.returncode)


PLANNING = """
import sys
from bench import plan
from bench.store import identity
from bench.store.settings import Settings
cells = [p.cell for p in plan.build(plan.read_suite(sys.argv[1]))]
print(len({identity.of(cell, Settings()).record for cell in cells}), "records")
"""


def measure(records: int, seeds: int, folder: Path, html: bool) -> Iterator[tuple[str, Usage]]:
    """What each command takes on a store of ``records`` records in ``folder``, as it is measured."""
    few = suite(folder, 1, seeds)
    one = len(cells_of(few))
    ten = suite(folder, -(-PLANNED // one), seeds)
    yield f"plan {len(cells_of(ten)):,} cells", usage("-c", PLANNING, str(ten), log=folder / "plan.txt")
    store = folder / "store"
    cells = cells_of(suite(folder, -(-records // one), seeds))
    # Place by place, so that the rows of all but the last have all their seeds.
    fill(store, sorted(cells, key=lambda cell: (cell.size, cell.scenario, cell.model))[:records])
    time.sleep(3)  # what was changed a moment ago is not entered into the index
    bench = ("-m", "bench.cli")
    commands = {
        "status, the index to be made": ("status",),
        "status": ("status",),
        f"run, {one:,} cells, all done": ("run", "--suite", str(few), "--device", "cpu"),
        "report, all rows to be made": ("report",),
        "report": ("report",),
        **({"report --html": ("report", "--html", str(folder / "page"))} if html else {}),
    }
    for name, command in commands.items():
        yield name, usage(*bench, *command, "--store", str(store), log=folder / f"{command[0]}.txt")


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=5, help="records of a row")
    parser.add_argument("--html", action="store_true", help="write the page too")
    parser.add_argument("--keep", type=Path, help="a folder to work in, which is not removed")
    chosen = parser.parse_args()
    folder = chosen.keep or Path(tempfile.mkdtemp(prefix="lockbench-scale-"))
    folder.mkdir(exist_ok=True)
    try:
        print(f"| {chosen.records:,} records | wall s | processor s | peak MiB |\n|---|---|---|---|", flush=True)
        for name, used in measure(chosen.records, chosen.seeds, folder, chosen.html):
            failed = f" (exit status {used.status})" if used.status else ""
            print(f"| {name}{failed} | {used.wall:.1f} | {used.processor:.1f} | {used.megabytes:.0f} |", flush=True)
    finally:
        if chosen.keep is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
