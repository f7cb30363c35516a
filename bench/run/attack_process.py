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
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from bench import models, predictors, registry, seeds, session, training
from bench.contracts import AccessDenied, BudgetSpent, Classifier, Predictor, Submission
from bench.run import determinism, forkserver
from bench.run.job import AttackOutput, Job
from bench.run.views import AttackerView
from bench.training import Progress

ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "VIRTUAL_ENV",
)


_END = ("meter", "denied", "error", "traceback", "spent")


def run(job: Job, answer: Callable[[Tensor], Tensor] | None, progress: Progress) -> AttackOutput:
    """Run ``job`` in a process of its own; ``answer`` is the locked model behind its interface.

    Raises:
        ChildDied: the process ended without a last message.
    """
    forkserver.start()
    context = multiprocessing.get_context("forkserver")
    folder = Path(tempfile.mkdtemp(prefix="attack-"))
    try:
        job.write(folder)
        ours, theirs = context.Pipe()
        process = context.Process(target=_child, args=(str(folder), theirs), daemon=False)
        with _HiddenMain():
            process.start()
        theirs.close()
        output = _listen(ours, answer, progress)
        process.join(30)
        if process.is_alive():
            process.kill()
            process.join()
        if output is None:
            raise ChildDied(f"the attack's process died with exit code {process.exitcode}")
        return output
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class ChildDied(RuntimeError):
    """The attack's process ended without a word: killed, out of memory, or a hard crash."""


class _HiddenMain:
    """Keep multiprocessing from importing the program's main module into the child."""

    def __enter__(self) -> None:
        main = sys.modules["__main__"]
        self.file = {k: main.__dict__.pop(k) for k in ("__file__",) if k in main.__dict__}
        self.spec = getattr(main, "__spec__", None)
        main.__spec__ = None

    def __exit__(self, *_: Any) -> None:
        main = sys.modules["__main__"]
        main.__dict__.update(self.file)
        main.__spec__ = self.spec


def _listen(pipe: Connection, answer: Callable[[Tensor], Tensor] | None, progress: Progress) -> AttackOutput | None:
    output = AttackOutput()
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
            output.states.append(tensors_from_bytes(pipe.recv_bytes()))
            output.submissions.append({k: message[k] for k in ("spec", "meter", "note")})
        elif kind == "end":
            output.meter, output.denied, output.error, output.traceback, output.spent = (message[k] for k in _END)
            return output


def _child(folder: str, pipe: Connection) -> None:
    for name in list(os.environ):
        if name not in ENVIRONMENT:
            del os.environ[name]
    os.environ["HF_HUB_OFFLINE"] = "1"
    job = Job.read(Path(folder))
    os.chdir(folder)
    end = AttackOutput()
    try:
        unlock(job, _Channel(pipe), end)
    except Exception as error:
        end.error = f"{type(error).__name__}: {error}"
        end.traceback = traceback.format_exc(limit=8)
    message = {"kind": "end", **{name: getattr(end, name) for name in _END}}
    pipe.send_bytes(json.dumps(message, default=str).encode())


class Channel(Protocol):
    """How an attack speaks to the harness while it runs."""

    def progress(self, done: int, total: int, what: str) -> None:
        """Report progress."""
        ...

    def submitted(self, submission: Submission) -> None:
        """Hand a submission over."""
        ...

    def answer(self, images: Tensor) -> Tensor:
        """The locked model's answer to ``images``, where the threat model gives an interface."""
        ...


class _Channel:
    """The channel of a process: a pipe."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._last = pipe, 0.0

    def _send(self, message: dict[str, Any], tensors: dict[str, Tensor] | None = None) -> None:
        self._pipe.send_bytes(json.dumps(message, default=str).encode())
        if tensors is not None:
            self._pipe.send_bytes(tensors_to_bytes(tensors))

    def progress(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        if now - self._last > 0.2 or done >= total:
            self._last = now
            self._send({"kind": "progress", "done": done, "total": total, "what": what})

    def submitted(self, submission: Submission) -> None:
        self._send({"kind": "submission", **submission_message(submission)}, state_of(submission))

    def answer(self, images: Tensor) -> Tensor:
        self._send({"kind": "query"}, {"images": images.detach().cpu().contiguous()})
        return tensors_from_bytes(self._pipe.recv_bytes())["answer"]


def submission_message(submission: Submission) -> dict[str, Any]:
    """What stands beside the tensors of ``submission``, as JSON: how to rebuild it, its meter and note."""
    return {
        "spec": predictors.describe(submission.predictor),
        "meter": submission.meter,
        "note": dict(submission.note),
    }


def state_of(submission: Submission) -> dict[str, Tensor]:
    """The tensors of ``submission``, on the CPU."""
    return {k: v.detach().cpu().contiguous().clone() for k, v in submission.predictor.state_dict().items()}


def unlock(job: Job, channel: Channel, end: AttackOutput) -> None:
    """Run the attack of ``job`` in this process; meters, denials and a spent budget are noted in ``end``."""
    torch.set_num_threads(job.threads)
    if job.device != "cpu":  # on a processor what an attack does runs in one order anyway
        determinism.deterministic(job.device)
    torch.manual_seed(job.seed)
    session.use(job.device, "auto", None)
    attack = registry.use(job.plugin_files).make("attack", job.attack, job.params)

    def public(extra: int) -> Classifier:
        return models.build(job.model, job.task, extra, "public", seeds.derive("public", seed=job.seed))

    run = training.Run(job.seed, job.device, job.budget, channel.progress, on_submit=channel.submitted)
    granted: dict[str, Any] = dict(job.granted)
    if job.words is not None:
        granted["words"] = tuple(job.words)
    if job.classifier is not None:
        locked = models.rebuild(*job.classifier).to(run.device)
        training.count_images(locked, run.meter)
        granted["classifier"] = locked
    interface = channel.answer if job.threat.access in ("labels", "logits") else None
    view = AttackerView(job.task, job.threat, job.budget, granted, job.known, public, interface, run.meter)
    start = time.perf_counter()
    try:
        with training.metered(run):
            run.submit(attack.unlock(view, run), final=True)
    except BudgetSpent as spent:
        end.spent = str(spent)
        if not run.submissions and job.threat.access != "none":  # the attacker still holds the locked model
            as_it_was: Predictor = (
                predictors.Queried(job.task.k) if interface is not None else predictors.Direct(view.classifier)
            )
            run.submit(as_it_was, what="the locked model as it stood when the budget ran out")
    except AccessDenied as error:
        end.error = f"AccessDenied: {error}"
    run.meter.seconds = round(time.perf_counter() - start, 3)
    run.meter.peak_memory_mb = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    end.meter, end.denied = run.meter.reading(), view.denied
