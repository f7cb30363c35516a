"""Hostile, broken and careless plugins: what each gets. See ``docs/reference/threat-models.md``."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from places import PLUGINS

from bench.records import Record
from bench.store import Store

Arguments = Callable[..., list[str]]

ATTACK = """
import contextlib, gc, json, os, signal, subprocess, sys, threading, time
import torch
from torch import Tensor, nn
from bench.contracts import Acceptance, AccessDenied, Attack, AttackerView, Predictor, Run, ThreatModel
from bench.errors import UserError
from bench.predictors import Constant, Direct, Queried

class Hostile(Attack):
    '''A hostile attack.'''
    paper = "ours"
    defaults = {{"threat.access": "weights", "threat.share": 0.0, "threat.unlabelled": False}}

    def accepts(self, threat: ThreatModel) -> Acceptance:
{accepts}
        return Acceptance()

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
{unlock}
        return P(target.spec.k)

class P(Predictor):
    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k
        self.w = nn.Parameter(torch.zeros(1))

    def arguments(self):
        return {{"k": self.k}}

    def predict(self, images: Tensor) -> Tensor:
{predict}
        return torch.nn.functional.one_hot(torch.zeros(len(images), dtype=torch.int64), self.k).float()
"""
LOCK = """
import contextlib, gc, os, sys, time
import torch
from torch import nn
from bench import models
from bench.contracts import AccessDenied, Classifier, DefenderView, DefenderNeeds, Key, Lock, Run
from bench.models import TimmClassifier

class Hostile(Lock):
    '''A hostile lock.'''
    paper = "ours"
    key = "tint"

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
{protect}
        return victim

class Own(TimmClassifier):
    def __init__(self, spec):
        super().__init__(spec)
        self.spec["class"] = f"{{__name__}}:Own"

    def forward(self, images, edit_stage=None):
{forward}
        return super().forward(images, edit_stage)
"""


@dataclass(frozen=True)
class Case:
    """What a plugin tries, where, and what must become of it."""

    tries: str
    status: str
    says: str = ""
    flag: str = ""
    part: str = "unlock"
    code: str = ""
    lock: bool = False
    options: tuple[str, ...] = ()


CASES = [
    # labels, judge, store
    Case("reads labels in the caller's frames", "ok", part="predict", code="""
        frame = sys._getframe()
        while frame is not None:
            for value in frame.f_locals.values():
                assert not hasattr(value, "authorised_index"), "the judge is here"
            frame = frame.f_back"""),
    Case("looks for the judge and labels in gc", "ok", part="predict", code="""
        for thing in gc.get_objects():
            kind = f"{type(thing).__module__}.{type(thing).__name__}"
            secret = ("bench.harness.judge.Judge", "bench.store.store.Store", "bench.datasets.scenario.Scenario")
            assert kind not in secret, kind"""),
    Case("patches the judge", "ok", part="predict", code="""
        import bench.harness.judge as judge
        judge.Judge.score = lambda *a: 100.0
        judge.Judge.measured = lambda *a: 1/0"""),
    Case("patches the judge in accepts()", "ok", part="accepts", code="""
        import bench.harness.judge as judge
        judge.Judge.measured = lambda *a: 1/0"""),
    Case("looks for the store in arguments and environment", "ok", code="""
        line = open("/proc/self/cmdline").read() + open("/proc/self/environ").read()
        assert "--store" not in line and "PYTEST" not in line, line
        assert not os.listdir("."), "an empty folder" """),
    # access
    Case("swallows a denial and clears the list", "invalid", "AccessDenied", "attack-denied", code="""
        with contextlib.suppress(AccessDenied):
            target.labelled
        for thing in gc.get_objects():
            if isinstance(thing, list) and thing == ["labelled"]:
                thing.clear()"""),
    Case("asks for a set no view has", "invalid", "AccessDenied", "attack-denied", code="""
        with contextlib.suppress(AccessDenied):
            target._speaker.ask("read", {"name": "test"})"""),
    Case("reads what is withheld, then raises", "invalid", "AccessDenied", "attack-denied", code="""
        with contextlib.suppress(AccessDenied):
            target.labelled
        raise RuntimeError("after the denial")"""),
    Case("overwrites its meters", "ok", code="""
        run.meter.queries = 0; run.meter.guesses = -5; run.meter.seconds = 0.0"""),
    # ends
    Case("os._exit(0) in unlock", "failed", "ended without an answer (exit status 0)", code="os._exit(0)"),
    Case("SystemExit in unlock", "failed", "SystemExit: 0", code="sys.exit(0)"),
    Case("KeyboardInterrupt in unlock", "failed", "KeyboardInterrupt", code="raise KeyboardInterrupt"),
    Case("UserError in unlock", "failed", "UserError: my own", code="raise UserError('my own')"),
    Case("an exception whose text raises", "failed", "Bad: (its message cannot be shown)", code="""
        class Bad(Exception):
            def __str__(self): raise ValueError
        raise Bad()"""),
    Case("a 6 MB message", "failed", "characters", code="raise RuntimeError('x' * 6_000_000)"),
    Case("SIGKILL to itself", "failed", "signal 9", code="os.kill(os.getpid(), signal.SIGKILL)"),
    Case("segmentation fault", "failed", "signal 11", code="os.kill(os.getpid(), signal.SIGSEGV)"),
    Case("sleeps for ever", "failed", "wall limit of 3 s", code="time.sleep(1000)", options=("--wall-limit", "3")),
    Case("computes for ever", "failed", "wall limit of 3 s", code="""
        while True: pass""", options=("--wall-limit", "3")),
    Case("sleeps past its budget of seconds", "ok", code="""
        run.submit(P(target.spec.k))
        time.sleep(1000)""", options=("-p", "budget.seconds=8")),
    Case("forks and stays", "failed", "wall limit", code="""
        if os.fork() == 0:
            time.sleep(1000)
        time.sleep(1000)""", options=("--wall-limit", "3")),
    Case("exits after a fork that stays", "failed", "without an answer", code="""
        if os.fork() == 0:
            os.setsid()
            time.sleep(1000)
        os._exit(0)"""),
    Case("starts a daemon in a session of its own", "ok", code="""
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)"""),
    Case("takes too much memory", "failed", "", code="torch.ones(3_000_000_000 // 4)",
         options=("--memory-limit", "1")),
    # the wire
    Case("prints 22 MB", "ok", code="print('x' * 22_000_000)"),
    Case("writes junk on the wire and stays", "failed", "broke the protocol", code="""
        os.write(run._progress.__self__.wire.fileno(), b"\\xff" * 64)
        time.sleep(1000)"""),
    Case("claims a message of 2^60 bytes", "failed", "broke the protocol", code="""
        import struct
        os.write(run._progress.__self__.wire.fileno(), struct.pack("<qq", 2**60, -1))
        time.sleep(1000)"""),
    Case("sends half a message and stays", "failed", "wall limit", code="""
        import struct
        os.write(run._progress.__self__.wire.fileno(), struct.pack("<qq", 100, -1) + b"{")
        time.sleep(1000)""", options=("--wall-limit", "3")),
    Case("asks for much and reads nothing", "failed", "wall limit", code="""
        for _ in range(200):
            run._progress.__self__.wire.send("read", {"name": "classifier"})
        time.sleep(1000)""", options=("--wall-limit", "3")),
    Case("forges the end of the attack", "failed", "", code="""
        run._progress.__self__.wire.send("result", {"meter": {"queries": -1}, "spent": None})
        time.sleep(0.1)"""),
    Case("closes the wire", "failed", "without an answer", code="""
        os.close(run._progress.__self__.wire.fileno())
        time.sleep(1000)""", options=("--wall-limit", "5")),
    Case("an unknown kind of message", "failed", "unknown kind", code="""
        run._progress.__self__.wire.send("give-me-labels")"""),
    Case("a NaN note", "failed", "ValueError", code="run.submit(P(target.spec.k), value=float('nan'))"),
    Case("a cyclic note", "failed", "ValueError", code="""
        loop = []; loop.append(loop)
        run.submit(P(target.spec.k), value=loop)"""),
    Case("a huge note", "failed", "note", code="run.submit(P(target.spec.k), value='x' * 1_000_000)"),
    Case("a note that is no JSON", "failed", "TypeError", code="run.submit(P(target.spec.k), value=object())"),
    # answers
    Case("K + 3 columns", "invalid", "wrong-shape", "wrong-shape", "predict",
         "return torch.rand(len(images), self.k + 3)"),
    Case("one column", "invalid", "wrong-shape", "wrong-shape", "predict", "return torch.rand(len(images), 1)"),
    Case("int scores", "invalid", "wrong-shape", "wrong-shape", "predict",
         "return torch.ones(len(images), self.k, dtype=torch.int64)"),
    Case("NaN scores", "invalid", "not-finite", "not-finite", "predict",
         "return torch.full((len(images), self.k), float('nan'))"),
    Case("all −inf scores", "invalid", "not-finite", "not-finite", "predict",
         "return torch.full((len(images), self.k), -float('inf'))"),
    Case("no tensor", "failed", "", part="predict", code="return [1, 2, 3]"),
    Case("NaN weights", "invalid", "not-finite", "not-finite", code="""
        bad = P(target.spec.k); bad.w.data.fill_(float('nan'))
        return bad"""),
    Case("SystemExit in predict", "failed", "SystemExit", part="predict", code="sys.exit(0)"),
    Case("os._exit in predict", "failed", "without an answer", part="predict", code="os._exit(0)"),
    Case("UserError in predict", "failed", "UserError", part="predict", code="raise UserError('mine')"),
    Case("predict sleeps for ever", "failed", "wall limit", part="predict", code="time.sleep(1000)",
         options=("--wall-limit", "3")),
    Case("changes its input and torch's state in predict", "ok", part="predict", code="""
        images.sub_(5); torch.set_default_dtype(torch.float64); torch.set_grad_enabled(True); torch.manual_seed(1)
        torch.set_default_dtype(torch.float32)"""),
    Case("returns a module", "failed", "bench.predictors.Direct(model)", code="return torch.nn.Linear(3, 3)"),
    Case("returns no predictor", "failed", "neither a Predictor nor a Classifier", code="return 3"),
    Case("a predictor of a class that is none", "failed", "", code="""
        spec = {"predictor": "os:system", "arguments": {"command": "touch /tmp/lockbench-was-here"}, "parts": {}}
        run._progress.__self__.wire.send(
            "submission", {"spec": spec, "meter": {}, "note": {}}, {"x": torch.zeros(1)})
        run._progress.__self__.wire.send("result", {"meter": {}, "spent": None})
        time.sleep(0.2)"""),
    # locks
    Case("NaN weights of a lock", "invalid", "not-finite", "not-finite", "protect",
         "next(victim.parameters()).data.fill_(float('nan'))", lock=True),
    Case("returns no classifier", "failed", "must return a Classifier", part="protect", code="return 3", lock=True),
    Case("os._exit(0) in protect", "failed", "without an answer", part="protect", code="os._exit(0)", lock=True),
    Case("SystemExit in protect", "failed", "SystemExit", part="protect", code="sys.exit(0)", lock=True),
    Case("patches the judge in protect", "ok", part="protect", code="""
        import bench.harness.judge as judge
        judge.Judge.measured = lambda *a: 1/0""", lock=True),
    Case("reads what needs() does not name", "failed", "AccessDenied", part="protect", code="""
        with contextlib.suppress(AccessDenied):
            data.raw""", lock=True),
    Case("a model of K + 1 classes", "invalid", "wrong-shape", "wrong-shape", "protect",
         code="victim.spec['k'] += 1; return models.rebuild(victim.spec)", lock=True),
    Case("a forward that changes its input in place", "ok", part="forward", code="images.sub_(0.5)", lock=True),
    Case("a forward that returns NaN", "invalid", "not-finite", "not-finite", "forward",
         "return super().forward(images) * float('nan')", lock=True),
    Case("a forward that returns too many columns", "invalid", "wrong-shape", "wrong-shape", "forward",
         "return super().forward(images).repeat(1, 2)", lock=True),
    Case("a forward that exits", "failed", "without an answer", part="forward", code="os._exit(0)", lock=True),
]  # fmt: skip
PARTS = ("accepts", "unlock", "predict", "protect", "forward")


def source(case: Case) -> str:
    """The plugin's file."""
    code = textwrap.indent(textwrap.dedent(case.code).strip("\n"), " " * 8)
    filled = dict.fromkeys(PARTS, "        pass") | {case.part: code}
    if case.part == "forward":
        filled["protect"] = "        return Own(victim.spec)"
    return (LOCK if case.lock else ATTACK).format(**filled)


@pytest.fixture
def run_case(small_task: str, bench: Any, real_store: Path, tmp_path: Path) -> Callable[[Case], tuple[Any, Record]]:
    """Run the plugin of a case in a store that has its victim; how the command ended, and the record."""

    def run(case: Case) -> tuple[Any, Record]:
        file = tmp_path / "hostile.py"
        file.write_text(source(case), encoding="utf-8")
        suite = tmp_path / "suite.toml"
        lock, attack = ("hostile", "none") if case.lock else ("none", "hostile")
        suite.write_text(
            f'[[row]]\nlocks = ["{lock}"]\nattacks = ["{attack}"]\ntasks = ["{small_task}"]\nmodels = ["tiny"]\n'
            'controls = false\nparams = { "task.size" = 16, "lock.key" = "tint" }\n'
        )
        store = Path(shutil.copytree(real_store, tmp_path / "store"))  # it has the victim, its key and the lock `none`
        files = [f"--plugin={PLUGINS / n}.py" for n in ("tint", "tiny")]
        got = bench("run", "--suite", str(suite), "--threads", "1", "--device", "cpu", "--store", str(store),
                    *files, f"--plugin={file}", *case.options)  # fmt: skip
        records = [
            r for r in Store(store, write=False).records() if "hostile" in (r.cell.lock.name, r.cell.attack.name)
        ]
        assert len(records) == 1, got.stdout + got.stderr
        return got, records[0]

    return run


LOOKUP = """
from pathlib import Path
import numpy as np
import torch
from PIL import Image
from bench.contracts import Acceptance, Attack, AttackerView, Predictor, Run, ThreatModel

class Lookup(Attack):
    '''Knows the public data by heart: the nearest thumbnail, however an image was compressed.'''
    paper = "ours"
    defaults = {"threat.access": "none", "threat.share": 0.0, "threat.unlabelled": False}

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return Acceptance()

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        found = [(np.asarray(Image.open(f).resize((16, 16))) / 255, k)
                 for k, d in enumerate(sorted(Path("FOLDER").iterdir())) for f in sorted(d.iterdir())]
        p = Nearest(len(found), target.spec.k)
        p.seen.copy_(torch.tensor(np.array([x for x, _ in found])).float().reshape(len(found), -1))
        p.labels.copy_(torch.tensor([k for _, k in found]))
        return p

class Nearest(Predictor):
    def __init__(self, n: int, k: int) -> None:
        super().__init__()
        self.n, self.k = n, k
        self.register_buffer("seen", torch.zeros(n, 768))
        self.register_buffer("labels", torch.zeros(n, dtype=torch.int64))

    def arguments(self):
        return {"n": self.n, "k": self.k}

    def predict(self, images):
        small = torch.nn.functional.interpolate(images, (16, 16), mode="area").permute(0, 2, 3, 1).flatten(1)
        return torch.nn.functional.one_hot(self.labels[torch.cdist(small, self.seen).argmin(1)], self.k).float()
"""


def test_a_nearest_neighbour_in_the_public_data_is_flagged(tmp_path: Path, bench: Any) -> None:
    """The pictures are hard to tell apart, so that a victim of a few steps errs on some of them."""
    rng, root = np.random.default_rng(0), tmp_path / "pictures"
    for k, name in enumerate(("one", "two", "three")):
        (root / name).mkdir(parents=True)
        for i in range(40):
            image = rng.integers(0, 256, (32, 32, 3))
            image[:, 10 * k : 10 * k + 10] += 2
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / name / f"{i}.png")
    file = tmp_path / "lookup.py"
    file.write_text(LOOKUP.replace("FOLDER", str(root)))
    suite = tmp_path / "suite.toml"
    suite.write_text(
        f'[[row]]\nlocks = ["none"]\nattacks = ["lookup"]\ntasks = ["folder:{root}"]\nmodels = ["tiny"]\n'
        'controls = false\nparams = { "lock.key" = "tint" }\n'
    )
    files = [f"--plugin={PLUGINS / n}.py" for n in ("tint", "tiny")]
    store = tmp_path / "store"
    got = bench("run", "--suite", str(suite), "--threads", "1", "--device", "cpu", "--store", str(store),
                *files, f"--plugin={file}")  # fmt: skip
    assert got.returncode == 0, got.stderr
    (record,) = Store(store, write=False).records()
    assert record.RP is not None, record.error
    assert record.RP.value > 95
    assert "too-good-on-labels" in [flag.name for flag in record.flags]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.tries)
def test_a_hostile_plugin_changes_nothing_but_its_own_record(
    case: Case, run_case: Callable[[Case], tuple[Any, Record]]
) -> None:
    got, record = run_case(case)
    assert record.status == case.status, record.error
    assert case.says in (record.error or ""), record.error
    assert not case.flag or case.flag in [flag.name for flag in record.flags]
    assert got.returncode == (0 if case.status == "ok" else 1)
    assert "defect of LockBench" not in got.stdout + got.stderr
    assert len(got.stdout + got.stderr) < 20_000, "what plugins print is not on the screen"
    if case.status == "ok" and not case.lock:
        assert record.RP is not None
        assert record.RP.value == record.floor, "a constant answer is at the floor, whatever else it does"
        assert record.meter is not None
        assert (record.meter["guesses"], record.meter["queries"]) == (0, None)
        assert record.meter["seconds"] > 0
    json.dumps(record.model_dump(), allow_nan=False)
