"""The process an attack runs in. It reads what its threat model grants over a wire, and nothing else.

Parent and child speak JSON and safetensors; nothing is unpickled. The child comes from the nursery: no data set, key
or store was ever in its memory, and its environment is stripped to what Python needs. The locked model behind its
interface stays with the harness, which counts what it hands out, answers and is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bench import models, predictors, registry, seeds, training
from bench.contracts import (
    AccessDenied,
    Budget,
    BudgetSpent,
    Classifier,
    Images,
    Meter,
    Spec,
    Submission,
    ThreatModel,
)
from bench.contracts import AttackerView as View
from bench.guests import process
from bench.guests.answering import prepare
from bench.guests.failure import GuestFailed
from bench.guests.process import Guest, Reply
from bench.guests.wire import Message, Wire, encode
from bench.harness.job import AttackOutput, Job
from bench.harness.process_jobs import Speaker, report, sent
from bench.harness.proposals import Proposals, question_of
from bench.harness.views import AttackerView
from bench.training import Progress

SUBMISSIONS = 10_000
"""Most submissions of an attack."""
SUBMITTED = 8 << 30
"""Most bytes of all submissions of an attack together."""
NOTE = 64_000
"""Most bytes of a submission's note, as JSON."""
GRACE = 1.2
"""Times `Budget.seconds` after which an attack that does not stop by itself is ended."""
HARNESS = ("queries", "edited", "guesses", "calls", "labelled", "authorised", "leaked", "seconds", "peak_memory_mb")
"""Meters that the harness counts; the others are the attack's own."""


def run(
    job: Job,
    answer: Callable[[Tensor], Tensor] | None,
    progress: Progress,
    proposals: Proposals | None = None,
) -> AttackOutput:
    """Run ``job`` in a process of its own.

    Args:
        answer: the locked model behind its interface.
        proposals: the language model that the harness asks for it.

    Raises:
        GuestFailed: it raised, died, or ran into the wall limit before `Budget.seconds`.
        UserError: a language model cannot be asked, or answered none of its questions.
    """
    ledger = _Ledger(job, answer, proposals)
    handlers: dict[str, process.Handler] = {
        "progress": report(progress),
        "read": ledger.read,
        "query": ledger.query,
        "spend": ledger.spend,
        "submission": ledger.submission,
        "propose": ledger.propose,
    }
    limit, own = process.current().seconds, job.budget.seconds
    own = None if own is None else own * GRACE
    ends_by_budget = own is not None and (limit is None or own <= limit)
    with Guest("bench.harness.attack_process:serve", f"attack {job.attack}") as guest:
        start = ledger.begin()  # the process may have waited for imports of the harness's own
        try:
            end = guest.call("job", job.to_json(), None, handlers, seconds=own if ends_by_budget else None)
            ledger.close(end, time.monotonic() - start)
        except GuestFailed as failed:
            timely = ends_by_budget and failed.kind == "TimeLimit"
            if not timely and not ledger.was_denied():
                raise
            ledger.cut_short(time.monotonic() - start, timely)
    if proposals is not None:
        proposals.check()
    ledger.output.log = guest.ending.log
    ledger.output.meter["peak_memory_mb"] = guest.ending.peak_memory_mb
    return ledger.output


class _Ledger:
    """The harness's side of the wire: what was handed out, spent and handed in."""

    def __init__(self, job: Job, answer: Callable[[Tensor], Tensor] | None, proposals: Proposals | None = None) -> None:
        granted: dict[str, Any] = dict(job.granted)
        if job.words is not None:
            granted["words"] = tuple(job.words)
        if job.classifier is not None:
            granted["classifier"] = job.classifier
        self.meter, self.output, self._job = Meter(), AttackOutput(), job
        self._view = AttackerView(
            job.task, job.threat, job.budget, granted, job.known, _nobody, answer, self.meter, proposals
        )
        self._started = time.monotonic()
        self._bytes = 0

    def begin(self) -> float:
        """The attack's seconds count from now, `time.monotonic`."""
        self._started = time.monotonic()
        return self._started

    def read(self, message: Message) -> Reply:
        """Hand over what the threat model grants."""
        name = str(message.body.get("name"))[:40]
        try:
            value = self._view.grant(name)
        except AccessDenied as error:
            return "denied", {"why": str(error)}, None
        if name == "words":
            return "words", {"words": list(value)}, None
        if name == "classifier":
            return "classifier", {"spec": value[0]}, value[1]
        if name == "leaked_pairs":
            return "pairs", {}, {"raw": value[0], "keyed": value[1]}
        return sent(value)

    def query(self, message: Message) -> Reply:
        """Answer a query, within the budget."""
        images = message.tensors.get("images")
        if images is None or images.ndim != 4 or images.shape[1] != 3 or not torch.isfinite(images).all():
            raise GuestFailed("the attack sent a query that are no images (N, 3, H, W)")
        try:
            answers = self._view.query(images)
        except AccessDenied as error:
            return "denied", {"why": str(error)}, None
        except BudgetSpent as spent:
            return "spent", {"what": str(spent)}, None
        return "answer", {}, {"answer": answers}

    def propose(self, message: Message) -> Reply:
        """Ask the language model for guesses, within the budget."""
        n, scores = question_of(message.body, self.meter.guesses)
        try:
            concepts = self._view.propose(n, scores)
        except AccessDenied as error:
            return "denied", {"why": str(error)}, None
        except BudgetSpent as spent:
            return "spent", {"what": str(spent)}, None
        return "proposals", {"concepts": list(concepts)}, None

    def spend(self, message: Message) -> Reply:
        """Count edited images and guesses, within the budget."""
        what, n = message.body.get("what"), message.body.get("n")
        if what not in ("edited", "guesses") or not isinstance(n, int) or n < 0:
            raise GuestFailed("the attack spent what no budget has")
        spent, most = int(getattr(self.meter, what)), getattr(self._job.budget, what)
        if most is not None and spent + n > most:
            return "spent", {"what": f"{'edited images' if what == 'edited' else what}: {most}"}, None
        setattr(self.meter, what, spent + n)
        return "ok", {}, None

    def submission(self, message: Message) -> None:
        """Keep what was handed in, with the harness's own meters."""
        if len(self.output.submissions) >= SUBMISSIONS:
            raise GuestFailed(f"the attack handed in more than {SUBMISSIONS:,} predictors")
        spec, note = message.body.get("spec"), message.body.get("note")
        if not isinstance(spec, dict) or not isinstance(note, dict):
            raise GuestFailed("the attack handed in no predictor")
        if len(encode(note)) > NOTE:
            raise GuestFailed(f"the note of a submission is over {NOTE:,} bytes")
        seconds = time.monotonic() - self._started
        if self._is_over(seconds):
            return
        self._bytes += sum(tensor.nbytes for tensor in message.tensors.values())
        if self._bytes > SUBMITTED:
            raise GuestFailed(f"the attack handed in more than {SUBMITTED >> 30} GiB of predictors")
        meter = self._reading(message.body.get("meter"), seconds)
        self.output.submissions.append({"spec": spec, "meter": meter, "note": note})
        self.output.states.append(dict(message.tensors))

    def close(self, end: Message, seconds: float) -> None:
        """Note how the attack ended."""
        spent = end.body.get("spent")
        self._end(end.body.get("meter"), seconds, None if spent is None else str(spent)[:200])

    def was_denied(self) -> bool:
        """Whether the attack has read what is withheld."""
        return bool(self._view.denied)

    def cut_short(self, seconds: float, timely: bool) -> None:
        """Note that the attack did not end by itself, at its budget of seconds where ``timely``; submissions stand."""
        last = self.output.submissions[-1]["meter"] if self.output.submissions else None
        self._end(last, seconds, None, ended=timely)

    def _is_over(self, seconds: float) -> bool:
        """Whether ``seconds`` since the start are more than the budget has."""
        return self._job.budget.seconds is not None and seconds > self._job.budget.seconds

    def _end(self, meter: object, seconds: float, spent: str | None, ended: bool = False) -> None:
        """Note the meters and the budget that is spent; the locked model stands where nothing was handed in before.

        Args:
            meter: what the attack reports.
            seconds: since the start.
            spent: the budget that ended it, by its own word.
            ended: the harness ended it, for its budget of seconds.
        """
        over = ended or self._is_over(seconds)
        self.output.spent = f"seconds: {self._job.budget.seconds:g}" if over else spent
        self.output.denied = list(dict.fromkeys(self._view.denied))
        self.output.meter = self._reading(meter, seconds)
        stands = locked_as_it_stands(self._job) if self.output.spent and not self.output.submissions else None
        if stands is not None:
            spec, state = stands
            note = {"what": "the locked model as it stood when the budget ran out"}
            self.output.submissions.append({"spec": spec, "meter": self.output.meter, "note": note})
            self.output.states.append(state)

    def _reading(self, reported: object, seconds: float) -> dict[str, Any]:
        """Every meter: the harness's own where it counts, else what the attack reports."""
        out = self.meter.reading()
        for name, value in (reported if isinstance(reported, dict) else {}).items():
            if name in out and name not in HARNESS and (value is None or isinstance(value, int)):
                out[name] = value
        return out | {"seconds": round(seconds, 3)}


def locked_as_it_stands(job: Job) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """What the attacker holds without a step, as `bench.predictors.describe` and a state; None without access."""
    if job.threat.access in ("labels", "logits"):
        return predictors.describe(predictors.Queried(job.task.k)), {}
    if job.classifier is None:
        return None
    spec, state = job.classifier
    direct = f"{predictors.Direct.__module__}:{predictors.Direct.__qualname__}"
    whole = {"predictor": direct, "arguments": {}, "parts": {"classifier": {"classifier": spec}}}
    return whole, {f"classifier.{name}": tensor for name, tensor in state.items()}


def _nobody(_extra: int) -> Classifier:
    raise RuntimeError("the harness builds no model for an attack")


def serve(wire: Wire) -> None:
    """Run one attack; called in the process."""
    body = wire.receive().body
    prepare(body, dtype="auto")
    speaker = Speaker(wire)
    task, threat, budget = (
        Spec.from_json(body["task"]),
        ThreatModel(**body["threat"]),
        Budget(**body["budget"]),
    )

    def submitted(submission: Submission) -> None:
        wire.send("submission", submission_message(submission), submission.predictor.state_dict())

    def spend(what: str, n: int) -> None:
        speaker.ask("spend", {"what": what, "n": n})

    run = training.Run(
        body["seed"],
        body["device"],
        budget,
        speaker.progress,
        on_submit=submitted,
        on_spend=spend,
        precision=body["precision"],
    )
    view = WiredAttackerView(speaker, task, threat, budget, body["known"], body["model"], body["seed"], run)
    spent = unlock(body["attack"], body["params"], view, run, body["seed"])
    wire.send("result", {"meter": run.meter.reading(), "spent": spent})


class WiredAttackerView:
    """`bench.contracts.AttackerView` over a wire: each set comes when it is first read."""

    def __init__(
        self,
        speaker: Speaker,
        spec: Spec,
        threat: ThreatModel,
        budget: Budget,
        known: Mapping[str, Any],
        model: str,
        seed: int,
        run: training.Run,
    ) -> None:
        self.spec, self.threat, self.budget = spec, threat, budget
        self._speaker, self._known, self._model, self._seed, self._run = speaker, dict(known), model, seed, run
        self._read: dict[str, Any] = {}
        run.meter.queries = 0 if threat.access in ("labels", "logits") else None

    def _images(self, name: str) -> Images:
        if name not in self._read:
            self._read[name] = self._speaker.images(name)
        images: Images = self._read[name]
        return images

    @property
    def classifier(self) -> Classifier:
        if "classifier" not in self._read:
            message = self._speaker.ask("read", {"name": "classifier"})
            locked = models.rebuild(dict(message.body["spec"]), dict(message.tensors)).to(self._run.device)
            training.count_images(locked, self._run.meter)
            self._read["classifier"] = locked
        model: Classifier = self._read["classifier"]
        return model

    @property
    def labelled(self) -> Images:
        return self._images("labelled")

    @property
    def unlabelled(self) -> Images:
        return self._images("unlabelled")

    @property
    def authorised(self) -> Images:
        return self._images("authorised")

    @property
    def leaked_pairs(self) -> tuple[Images, Images]:
        if "leaked_pairs" not in self._read:
            tensors = self._speaker.ask("read", {"name": "leaked_pairs"}).tensors
            self._read["leaked_pairs"] = Images(tensors["raw"], None), Images(tensors["keyed"], None)
        pairs: tuple[Images, Images] = self._read["leaked_pairs"]
        return pairs

    @property
    def known(self) -> Mapping[str, Any]:
        return dict(self._known)

    def query(self, images: Tensor) -> Tensor:
        answer = self._speaker.ask("query", {}, {"images": images.detach().float()}).tensors["answer"]
        self._run.meter.queries = (self._run.meter.queries or 0) + len(images)
        return answer

    def propose(self, n: int, scores: Mapping[str, float]) -> Sequence[str]:
        body = {"n": n, "scores": [[concept, score] for concept, score in scores.items()]}
        concepts = self._speaker.ask("propose", body).body["concepts"]
        self._run.meter.calls += 1
        return tuple(concepts)

    def wordlist(self) -> Sequence[str]:
        if "words" not in self._read:
            self._read["words"] = tuple(self._speaker.ask("read", {"name": "words"}).body["words"])
        words: tuple[str, ...] = self._read["words"]
        return words

    def public_model(self, extra: int = 0) -> Classifier:
        return models.build(self._model, self.spec, extra, "public", seeds.derive("public", seed=self._seed))


def submission_message(submission: Submission) -> dict[str, Any]:
    """What stands beside the tensors of ``submission``, as JSON: how to rebuild it, its meter and note."""
    return {
        "spec": predictors.describe(submission.predictor),
        "meter": submission.meter,
        "note": dict(submission.note),
    }


def unlock(attack: str, params: Mapping[str, Any], view: View, run: training.Run, seed: int) -> str | None:
    """Run an attack in this process; the budget that ended it, or None.

    Raises:
        AccessDenied: it read what is withheld, and did not catch it. The view has counted that.
    """
    torch.manual_seed(seed)
    method = registry.current().make("attack", attack, params)
    try:
        with training.metered(run):
            run.submit(method.unlock(view, run), final=True)
    except BudgetSpent as spent:
        return str(spent)
    return None
