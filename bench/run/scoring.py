"""How the judge scores what an attack handed in: every submission, then the one that stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from bench.guests.subjects import Answerer, Model
from bench.records import CurvePoint, Flag, Measured
from bench.run import red_flags
from bench.run.job import AttackOutput
from bench.run.judge import Array, Evidence, Judge, Progress
from bench.selection import SelectionRule


@dataclass
class Score:
    """What an attack reached; the fields are those of `bench.records.Record`."""

    status: Literal["ok", "invalid"] = "ok"
    error: str | None = None
    RP: Measured | None = None
    RP_validation: Measured | None = None
    authorised_after: Measured | None = None
    curve: list[CurvePoint] = field(default_factory=list)
    selected: dict[str, Any] | None = None
    transductive: bool = False
    flags: list[Flag] = field(default_factory=list)


def score(
    judge: Judge,
    locked: Callable[[], Model],
    output: AttackOutput,
    rebuild: Callable[[dict[str, Any], dict[str, Tensor]], Answerer],
    rule: SelectionRule,
    progress: Progress,
) -> tuple[Score, Evidence]:
    """Score every submission of ``output`` and judge the one that ``rule`` lets stand.

    Args:
        judge: of the cell's key and split.
        locked: the locked model, for samples.
        output: what the attack handed in.
        rebuild: makes a predictor of its specification and tensors.
        rule: the attack's selection rule.
        progress: called after each submission.

    Raises:
        RuntimeError: a budget was spent before anything was handed in.
        InvalidResult: a predictor answers with something else than finite scores of the K classes.
    """
    if output.denied:
        things = ", ".join(output.denied)
        return Score("invalid", f"AccessDenied: {things}", flags=[red_flags.denied(things)]), {}
    if not output.submissions:
        raise RuntimeError(f"the budget ({output.spent}) was spent before the first submission")
    answers: list[Array] = []
    out = Score()
    last = len(output.submissions) - 1
    predictor: Answerer | None = None
    for i, (submission, state) in enumerate(zip(output.submissions, output.states, strict=True)):
        if predictor is not None:
            predictor.close()
        predictor = rebuild(submission["spec"], state)
        answers.append(judge.answers(predictor, some=predictor.costly and i < last))
        note = {k: v for k, v in submission["note"].items() if k != "final"}
        validation = judge.validate(predictor).value if rule.by_judge else None
        right = judge.score(answers[-1])
        out.curve.append(
            CurvePoint(meter=submission["meter"], RP=right, n=len(answers[-1]), validation=validation, note=note)
        )
        progress(i + 1, last + 1, "submissions")
    at = last
    if rule.by_judge:  # a privilege of controls and of marked rows
        at = max(range(last + 1), key=lambda i: out.curve[i].validation or 0.0)
    if predictor is None or at != last:
        if predictor is not None:
            predictor.close()
        predictor = rebuild(output.submissions[at]["spec"], output.states[at])
    chosen = predictor
    out.selected = {**out.curve[at].note, **chosen.description}
    out.RP_validation = judge.validate(chosen)
    verdict, evidence = judge.predictor(chosen, answers[at] if judge.is_whole(answers[at]) else None)
    out.RP, out.authorised_after, out.transductive = verdict.RP, verdict.authorised_after, chosen.transductive
    out.flags = [*([red_flags.peeking_selection()] if rule.peeks else []), *verdict.flags]
    evidence |= judge.samples(locked(), chosen)
    chosen.close()
    return out, evidence
