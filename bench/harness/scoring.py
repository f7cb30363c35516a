"""How the judge scores what an attack handed in: every submission, then the one that stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from bench import red_flags
from bench.guests.subjects import Answerer, Model
from bench.harness.job import AttackOutput
from bench.harness.judge import Array, Evidence, Judge, Progress
from bench.records import CurvePoint, Flag, Measured
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


Rebuild = Callable[[dict[str, Any], dict[str, Tensor]], Answerer]
"""Makes a predictor of its specification and tensors."""
OnMeasured = Callable[[Measured, Evidence], None]
"""Called with RP and the answers behind it."""


@dataclass
class Scorer:
    """Scores what one attack handed in.

    Args:
        judge: of the cell's key and split.
        output: what the attack handed in.
        rebuild: makes a predictor of its specification and tensors.
        rule: the attack's selection rule.
        progress: called after each submission.
        measured: called with RP as soon as it is known, before what else a record holds.
    """

    judge: Judge
    output: AttackOutput
    rebuild: Rebuild
    rule: SelectionRule
    progress: Progress
    measured: OnMeasured

    def score(self, locked: Callable[[], Model], control: bool = False) -> tuple[Score, Evidence]:
        """Judge the submission that the rule lets stand, then the others.

        Args:
            locked: the locked model, for samples.
            control: whether the lock is a control: where each answer costs the judge an edit, its curve and its
                accuracy on authorised images are left out, since neither says anything of a lock.

        Raises:
            RuntimeError: a budget was spent before anything was handed in.
            InvalidResult: a predictor answers with something else than finite scores of the K classes.
        """
        output, judge = self.output, self.judge
        if output.denied:
            things = ", ".join(output.denied)
            return Score("invalid", f"AccessDenied: {things}", flags=[red_flags.denied(things)]), {}
        if not output.submissions:
            raise RuntimeError(f"the budget ({output.spent}) was spent before the first submission")
        last = len(output.submissions) - 1
        points: dict[int, CurvePoint] = {}
        if self.rule.by_judge:  # a privilege of controls and of marked rows
            points = {i: self._point(i) for i in range(last + 1)}
        at = max(points, key=lambda i: points[i].validation or 0.0, default=last)
        chosen = self._predictor(at)
        answers = judge.answers(chosen)
        RP = judge.measured(answers)
        self.measured(RP, judge.named(answers))
        RP_validation, evidence = judge.validate(chosen)
        out = Score(RP=RP, RP_validation=RP_validation, transductive=chosen.transductive)
        brief = control and chosen.costly
        verdict, more = judge.predictor(chosen, answers, authorised=not brief)
        out.authorised_after = verdict.authorised_after
        out.flags = [*([red_flags.peeking_selection()] if self.rule.peeks else []), *verdict.flags]
        out.selected = {**self._note(at), **chosen.description}
        evidence |= more | judge.samples(locked(), chosen)
        chosen.close()
        if at not in points:
            points[at] = self._curve_point(at, answers)
        if not brief:
            points |= {i: self._point(i) for i in range(last + 1) if i not in points}
        out.curve = [points[i] for i in sorted(points)]
        return out, evidence

    def _predictor(self, i: int) -> Answerer:
        return self.rebuild(self.output.submissions[i]["spec"], self.output.states[i])

    def _note(self, i: int) -> dict[str, Any]:
        return {k: v for k, v in self.output.submissions[i]["note"].items() if k != "final"}

    def _point(self, i: int) -> CurvePoint:
        """The submission ``i`` on the curve; an earlier one that edits every image is judged on some of them."""
        predictor, last = self._predictor(i), len(self.output.submissions) - 1
        answers = self.judge.answers(predictor, some=predictor.costly and i < last)
        validation = self.judge.validate(predictor)[0].value if self.rule.by_judge else None
        predictor.close()
        self.progress(i + 1, last + 1, "submissions")
        return self._curve_point(i, answers, validation)

    def _curve_point(self, i: int, answers: Array, validation: float | None = None) -> CurvePoint:
        right, meter = self.judge.score(answers), self.output.submissions[i]["meter"]
        return CurvePoint(meter=meter, RP=right, n=len(answers), validation=validation, note=self._note(i))
