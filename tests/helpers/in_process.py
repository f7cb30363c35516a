"""An attack in this process, where isolation is not what is tested."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from torch import Tensor

from bench import models, seeds, training
from bench.contracts import AccessDenied, Classifier, Submission
from bench.guests.answering import prepare
from bench.harness.attack_process import submission_message, unlock
from bench.harness.job import AttackOutput, Job
from bench.harness.views import AttackerView


def run_job(job: Job, interface: Callable[[Tensor], Tensor] | None) -> AttackOutput:
    """As `bench.harness.attack_process.run`, without a process of its own."""
    output = AttackOutput()

    def submitted(submission: Submission) -> None:
        output.submissions.append(submission_message(submission))
        output.states.append({k: v.detach().clone() for k, v in submission.predictor.state_dict().items()})

    prepare({"plugin_files": job.plugin_files, "threads": job.threads, "device": job.device})
    run = training.Run(job.seed, job.device, job.budget, on_submit=submitted)
    granted = dict(job.granted)
    if job.words is not None:
        granted["words"] = tuple(job.words)
    if job.classifier is not None:
        locked = models.rebuild(*job.classifier)
        training.count_images(locked, run.meter)
        granted["classifier"] = locked

    def public(extra: int) -> Classifier:
        return models.build(job.model, job.task, extra, "public", seeds.derive("public", seed=job.seed))

    view = AttackerView(job.task, job.threat, job.budget, granted, job.known, public, interface, run.meter)
    with contextlib.suppress(AccessDenied):
        output.spent = unlock(job.attack, job.params, view, run, job.seed)
    output.meter, output.denied = run.meter.reading(), view.denied
    return output
