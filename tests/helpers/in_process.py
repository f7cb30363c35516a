"""An attack in this process, where isolation is not what is tested."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from bench.contracts import Submission
from bench.run.attack_process import state_of, submission_message, unlock
from bench.run.job import AttackOutput, Job


class _Channel:
    def __init__(self, output: AttackOutput, interface: Callable[[Tensor], Tensor]) -> None:
        self._output, self.answer = output, interface

    def progress(self, done: int, total: int, what: str) -> None:
        pass

    def submitted(self, submission: Submission) -> None:
        self._output.submissions.append(submission_message(submission))
        self._output.states.append(state_of(submission))


def run_job(job: Job, interface: Callable[[Tensor], Tensor]) -> AttackOutput:
    """As `bench.run.attack_process.run`, without a process of its own."""
    output = AttackOutput()
    unlock(job, _Channel(output, interface), output)
    return output
