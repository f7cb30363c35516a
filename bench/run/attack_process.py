"""The process an attack runs in: it holds the materialised view and nothing else.

Parent and child speak over a pipe in JSON and safetensors; nothing is unpickled. The child starts from a
clean fork server (no data set, key or store was ever in its memory), in an empty working directory, with
an environment stripped to what Python needs. The locked model behind its interface stays in the parent.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import load_file, save_file
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from bench.contracts import Images
from bench.run import forkserver as forks
from bench.training import Progress

KEPT_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "VIRTUAL_ENV",
)


@dataclass(frozen=True)
class Job:
    """All that an attack's process is given.

    Args:
        attack: name and parameters of the plugin, and the files of ``--plugin``.
        model: name of the victim's architecture, for the public model.
        spec: the task, as JSON.
        threat, budget: values of the threat model and budget.
        seed: of every random number of the attack.
        granted: image sets by name, as the threat model grants them.
        classifier: spec and weights of the locked model, white-box only.
        known: key parts.
        words: the filtered word list, or None.
        device, threads: where and with how many threads it computes.
    """

    attack: dict[str, Any]
    model: str
    spec: dict[str, Any]
    threat: dict[str, Any]
    budget: dict[str, Any]
    seed: int
    granted: Mapping[str, Images | tuple[Images, Images]]
    classifier: tuple[dict[str, Any], dict[str, Tensor]] | None
    known: dict[str, Any]
    words: list[str] | None
    device: str = "cpu"
    threads: int = 2

    def write(self, folder: Path) -> None:
        """The job as ``job.json`` and safetensors in ``folder``."""
        tensors: dict[str, Tensor] = {}
        for name, images in self.granted.items():
            for i, part in enumerate(images if isinstance(images, tuple) else (images,)):
                tensors[f"{name}/{i}/pixels"] = part.pixels.contiguous()
                if part.labels is not None:
                    tensors[f"{name}/{i}/labels"] = part.labels.contiguous()
        save_file(tensors, folder / "view.safetensors")
        if self.classifier is not None:
            save_file({k: v.contiguous().cpu() for k, v in self.classifier[1].items()}, folder / "model.safetensors")
        told = {k: getattr(self, k) for k in ("attack", "model", "spec", "threat", "budget", "seed", "known", "words")}
        told |= {"classifier": self.classifier and self.classifier[0], "device": self.device, "threads": self.threads}
        (folder / "job.json").write_text(json.dumps(told))


@dataclass
class Outcome:
    """What came back: every submission, the final predictor last, meters, denials, an error if it raised."""

    submissions: list[dict[str, Any]] = field(default_factory=list)
    states: list[dict[str, Tensor]] = field(default_factory=list)
    meter: dict[str, Any] = field(default_factory=dict)
    denied: list[str] = field(default_factory=list)
    error: str | None = None
    spent: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def run(job: Job, answer: Callable[[Tensor], Tensor] | None, progress: Progress) -> Outcome:
    """Run ``job`` in a process of its own; ``answer`` is the locked model behind its interface."""
    forks.start()
    context = multiprocessing.get_context("forkserver")
    folder = Path(tempfile.mkdtemp(prefix="attack-"))
    try:
        job.write(folder)
        ours, theirs = context.Pipe()
        process = context.Process(target=_child, args=(str(folder), theirs), daemon=False)
        with _main_hidden():
            process.start()
        theirs.close()
        outcome = _listen(ours, answer, progress)
        process.join(30)
        if process.is_alive():
            process.kill()
            process.join()
        if outcome is None:
            raise ChildDied(f"the attack's process died with exit code {process.exitcode}")
        return outcome
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class ChildDied(RuntimeError):
    """The attack's process ended without a word: killed, out of memory, or a hard crash."""


class _main_hidden:
    """Keep multiprocessing from importing the program's main module into the child."""

    def __enter__(self) -> None:
        main = sys.modules["__main__"]
        self.kept = {k: main.__dict__.pop(k) for k in ("__file__",) if k in main.__dict__}
        self.spec = getattr(main, "__spec__", None)
        main.__spec__ = None

    def __exit__(self, *_: Any) -> None:
        main = sys.modules["__main__"]
        main.__dict__.update(self.kept)
        main.__spec__ = self.spec


def _listen(pipe: Connection, answer: Callable[[Tensor], Tensor] | None, progress: Progress) -> Outcome | None:
    outcome = Outcome()
    while True:
        try:
            message = json.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return None
        kind = message["kind"]
        if kind == "progress":
            progress(message["done"], message["total"], message["what"])
        elif kind == "query":
            images = tensors_from_bytes(pipe.recv_bytes())["images"]
            if answer is None:
                raise RuntimeError("a query without an interface")
            pipe.send_bytes(tensors_to_bytes({"answer": answer(images).contiguous()}))
        elif kind == "submission":
            outcome.states.append(tensors_from_bytes(pipe.recv_bytes()))
            outcome.submissions.append({k: message[k] for k in ("spec", "meter", "note")})
        elif kind == "end":
            for name in ("meter", "denied", "error", "spent", "notes"):
                setattr(outcome, name, message[name])
            return outcome


def _child(folder: str, pipe: Connection) -> None:
    for name in list(os.environ):
        if name not in KEPT_ENVIRONMENT:
            del os.environ[name]
    os.environ["HF_HUB_OFFLINE"] = "1"
    here = Path(folder)
    told = json.loads((here / "job.json").read_text())
    tensors = load_file(here / "view.safetensors")
    weights = load_file(here / "model.safetensors") if (here / "model.safetensors").exists() else None
    for file in here.iterdir():
        file.unlink()
    os.chdir(here)
    end: dict[str, Any] = {"kind": "end", "meter": {}, "denied": [], "error": None, "spent": None, "notes": {}}
    try:
        _attack(told, tensors, weights, pipe, end)
    except Exception as error:
        end["error"] = f"{type(error).__name__}: {error}"
        end["notes"]["traceback"] = traceback.format_exc(limit=8)
    pipe.send_bytes(json.dumps(end, default=str).encode())


def _attack(
    told: dict[str, Any],
    tensors: dict[str, Tensor],
    weights: dict[str, Tensor] | None,
    pipe: Connection,
    end: dict[str, Any],
) -> None:
    import torch

    from bench import models, predictors, registry, seeds, training
    from bench.contracts import AccessDenied, Budget, BudgetSpent, Classifier, Spec, Submission, ThreatModel
    from bench.editors import session
    from bench.run import determinism as devices
    from bench.run.views import AttackerView

    torch.set_num_threads(told["threads"])
    if told["device"] != "cpu":  # on a processor what an attack does runs in one order anyway
        devices.deterministic(told["device"])
    torch.manual_seed(told["seed"])
    session.use(told["device"], "auto", None)
    spec = Spec(size=told["spec"]["size"], classes=tuple(told["spec"]["classes"]), kind=told["spec"]["kind"])
    threat, budget = ThreatModel(**told["threat"]), Budget(**told["budget"])
    attack = registry.make("attack", told["attack"]["name"], told["attack"]["params"], told["attack"]["files"])
    last = 0.0

    def progress(done: int, total: int, what: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 0.2 or done >= total:
            last = now
            pipe.send_bytes(json.dumps({"kind": "progress", "done": done, "total": total, "what": what}).encode())

    def submitted(submission: Submission) -> None:
        state = {k: v.detach().cpu().contiguous().clone() for k, v in submission.predictor.state_dict().items()}
        message = {
            "kind": "submission",
            "spec": predictors.describe(submission.predictor),
            "meter": submission.meter,
            "note": dict(submission.note),
        }
        pipe.send_bytes(json.dumps(message, default=str).encode())
        pipe.send_bytes(tensors_to_bytes(state))

    def answer(images: Tensor) -> Tensor:
        pipe.send_bytes(json.dumps({"kind": "query"}).encode())
        pipe.send_bytes(tensors_to_bytes({"images": images.detach().cpu().contiguous()}))
        return tensors_from_bytes(pipe.recv_bytes())["answer"]

    def public(extra: int) -> Classifier:
        return models.build(told["model"], spec, extra, "public", seeds.derive("public", seed=told["seed"]))

    run = training.Run(told["seed"], told["device"], budget, progress, on_submit=submitted)
    granted: dict[str, Any] = {}
    for name in {key.split("/")[0] for key in tensors}:
        parts = [
            Images(tensors[f"{name}/{i}/pixels"], tensors.get(f"{name}/{i}/labels"))
            for i in range(2)
            if f"{name}/{i}/pixels" in tensors
        ]
        granted[name] = tuple(parts) if name == "leaked_pairs" else parts[0]
    if told["words"] is not None:
        granted["words"] = tuple(told["words"])
    if weights is not None:
        handed = models.rebuild(told["classifier"], weights).to(run.device)
        training.count_images(handed, run.meter)
        granted["classifier"] = handed
    interface = answer if told["threat"]["access"] in ("labels", "logits") else None
    view = AttackerView(spec, threat, budget, granted, told["known"], public, interface, run.meter)
    start = time.perf_counter()
    try:
        with training.metered(run):
            run.submit(attack.unlock(view, run), final=True)
    except BudgetSpent as spent:
        end["spent"] = str(spent)
        if not run.submissions and threat.access != "none":  # the attacker still holds what it was given, as it stands
            held = predictors.Queried(spec.k) if interface is not None else predictors.Direct(view.classifier)
            run.submit(held, what="the locked model as it stood when the budget ran out")
    except AccessDenied as denied:
        end["error"] = f"AccessDenied: {denied}"
    run.meter.seconds = round(time.perf_counter() - start, 3)
    run.meter.peak_memory_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    end["meter"], end["denied"] = run.meter.reading(), view.denied
