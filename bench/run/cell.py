"""One function per level: `run_cell`, and below it victim, key, protect, judge the lock, unlock.

Every stage is an artefact of the store: made once, found again by any cell that needs it, and by the next
run after a kill.
"""

from __future__ import annotations

import copy
import json
import platform
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench import models, predictors, registry, seeds, training
from bench.contracts import AccessDenied, Classifier, DefenderNeeds, Key, Lock, ThreatModel
from bench.datasets.scenario import Scenario
from bench.datasets.scenario import load as load_scenario
from bench.editors import session
from bench.errors import UserError
from bench.hashing import digest
from bench.records import THIRD_PARTY, Cell, Condition, CurvePoint, Flag, Measured, Provenance, Record
from bench.run import attack_process as isolation
from bench.run import determinism as devices
from bench.run import victim
from bench.run.grants import materialise
from bench.run.judge import Judge, Verdict
from bench.run.views import Augment, DefenderView
from bench.store import Store, identity
from bench.store.identity import Identity, Settings

Progress = Callable[[str, int, int, str], None]
UNMETERED = ("forward_images", "backward_images", "edited", "guesses")
"""Nobody counts these while a lock trains."""
"""Told (stage, done, total, what)."""


@dataclass
class Context:
    """Where cells run: the store, how things are computed, who hears of progress."""

    store: Store
    settings: Settings
    progress: Progress
    command: str = ""

    def __post_init__(self) -> None:
        torch.set_num_threads(self.settings.threads)
        devices.deterministic(self.settings.device)
        session.use(self.settings.device, "float32", self.store.edits)
        self._scenarios: dict[tuple[str, int, int], Scenario] = {}
        self._keys: dict[str, Key] = {}
        self._judges: dict[tuple[str, str, int], Judge] = {}

    def scenario(self, cell: Cell) -> Scenario:
        at = (cell.scenario, cell.size, cell.replicate)
        if at not in self._scenarios:
            self._scenarios[at] = load_scenario(
                cell.scenario, cell.replicate, size=cell.size, skip_bad=self.settings.skip_bad
            )
        return self._scenarios[at]


def run_cell(cell: Cell, context: Context) -> Record:
    """The record of ``cell``: from the store where it is complete, else measured now. Never raises for a plugin."""
    found = identity.of(cell, context.settings)
    done = context.store.get(found.hashes["record"])
    if done is not None and done.status != "failed" and THIRD_PARTY not in done.notes:
        return done
    seconds: dict[str, float] = {}
    evidence: dict[str, np.ndarray] = {}
    provenance = Provenance(
        hash=found.hashes["record"],
        parents={k: v for k, v in found.hashes.items() if k != "record"},
        inputs=found.inputs,
        seeds=found.seeds,
        versions=identity.versions(),
        machine=_machine(context.settings.device),
        threads=context.settings.threads,
        command=context.command,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )
    record = Record(
        cell=cell,
        row_key=cell.row_key(),
        split="judge-validation" if seeds.is_tuning(cell.replicate) else "test",
        selection=cell.attack.selection,
        provenance=provenance,
    )
    try:
        _Cell(cell, context, found, record, evidence, seconds).measure()
    except UserError:
        raise
    except Exception as error:
        record.status = "failed"
        record.error = f"{type(error).__name__}: {error}"
        record.notes["traceback"] = traceback.format_exc(limit=12)
    provenance.seconds = seconds
    context.store.put(record, evidence)
    return record


class _Cell:
    """The stages of one cell, top to bottom."""

    def __init__(
        self,
        cell: Cell,
        context: Context,
        found: Identity,
        record: Record,
        evidence: dict[str, np.ndarray],
        seconds: dict[str, float],
    ) -> None:
        self.cell, self.context, self.found = cell, context, found
        self.record, self.evidence, self.seconds = record, evidence, seconds
        self.store, self.settings = context.store, context.settings

    def measure(self) -> None:
        record, cell = self.record, self.cell
        scenario = self.context.scenario(cell)
        record.provenance.data_fingerprint = scenario.fingerprint()
        record.notes |= {"classes": list(scenario.spec.classes), **scenario.notes}
        original = self._timed("victim", self._victim, scenario) if self._method().needs().victim else None
        key = self._timed("key", self._key, scenario)
        locked = self._timed("protected", self._protected, scenario, original, key)
        judge = self._judge(scenario, key)
        record.floor = round(judge.floor, 4)
        record.key = key.to_json()
        verdict = self._timed("judged", self._judged, judge, original, locked)
        for name, value in verdict.measured.items():
            setattr(record, name, value)
        record.conditions, record.flags = verdict.conditions, list(verdict.flags)
        for name in ("key_ms_per_image", "key_megabytes", "extra_parameters"):
            setattr(record, name, verdict.notes.pop(name, None))
        record.notes |= verdict.notes
        self.evidence |= {"test_index": judge.index.numpy(), "test_labels": judge.labels, **verdict.evidence}
        if scenario.is_domain:
            self.evidence |= {
                "authorised_index": judge.authorised_index.numpy(),
                "authorised_labels": judge.authorised_labels,
            }
        outcome = self._timed("unlocked", self._unlocked, scenario, locked, key)
        self._timed("scored", self._scored, judge, locked, outcome)

    def _timed(self, name: str, make: Callable[..., Any], *args: Any) -> Any:
        start = time.perf_counter()
        out = make(*args)
        self.seconds[name] = round(time.perf_counter() - start, 3)
        return out

    def _progress(self, stage: str) -> Callable[[int, int, str], None]:
        return lambda done, total, what: self.context.progress(stage, done, total, what)

    def _run(self, stage: str, seed: int) -> training.Run:
        return training.Run(seed, self.settings.device, progress=self._progress(stage), artefacts=self._share)

    def _share(self, name: str, inputs: Any, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        code = self.found.inputs["protected"]["code"]
        hash = digest({"name": name, "inputs": inputs, "base": self.found.hashes["victim"], "code": code})
        with self.store.making("shared", hash) as part:
            if part is not None:
                save_file({k: v.contiguous() for k, v in make().items()}, part / "tensors.safetensors")
        return load_file(self.store.artefact("shared", hash) / "tensors.safetensors")

    def _victim(self, scenario: Scenario) -> Classifier:
        hash = self.found.hashes["victim"]
        with self.store.making("victim", hash) as part:
            if part is not None:
                run = self._run("victim", self.found.seeds["victim"])
                data = scenario.authorised.images(scenario.authorised.splits.defender)
                with training.metered(run):
                    model = victim.train(self.cell.model, scenario.spec, data, run, _augment(scenario))
                _save(model, part, run)
        return _load(self.store.artefact("victim", hash))[0]

    def _key(self, scenario: Scenario) -> Key:
        hash, method = self.found.hashes["key"], self.cell.key
        with self.store.making("key", hash) as part:
            if part is not None:
                run = self._run("key", self.found.seeds["key"])
                maker = registry.make("key", method.name, method.params, self.settings.plugin_files)
                view = self._view(scenario, None, DefenderNeeds(raw=True))
                made = maker.make(view, run)
                (part / "key.json").write_text(json.dumps(made.to_json()))
        value = json.loads((self.store.artefact("key", hash) / "key.json").read_text())
        return registry.load(registry.find("key", method.name, self.settings.plugin_files)).from_json(value)

    def _view(self, scenario: Scenario, key: Key | None, needs: DefenderNeeds) -> DefenderView:
        seed = self.found.seeds["lock"]

        def public(extra: int) -> Classifier:
            return models.build(self.cell.model, scenario.spec, extra, "public", seeds.derive("public", seed=seed))

        own, other = (
            (side.images(side.splits.defender), side.images(side.splits.defender_validation))
            for side in (scenario.authorised, scenario.unauthorised)
        )
        return DefenderView(scenario.spec, *own, key, needs, public, other, _augment(scenario))

    def _method(self) -> Lock:
        lock = self.cell.lock
        method: Lock = registry.make("lock", lock.name, lock.params, self.settings.plugin_files)
        return method

    def _protected(self, scenario: Scenario, original: Classifier | None, key: Key) -> Classifier:
        hash = self.found.hashes["protected"]
        with self.store.making("protected", hash) as part:
            if part is not None:
                run = self._run("protect", self.found.seeds["lock"])
                method = self._method()
                view = self._view(scenario, key, method.needs())
                start_from = copy.deepcopy(original) if original is not None else self._untrained(scenario)
                start = time.perf_counter()
                with training.metered(run):
                    torch.manual_seed(run.seed("global"))
                    locked = method.protect(start_from.to(run.device), key, view, run)
                if view.denied:
                    raise AccessDenied(f"the lock read {', '.join(view.denied)}, which its needs() do not name")
                run.meter.seconds = round(time.perf_counter() - start, 3)
                _save(locked, part, run)
        locked, meta = _load(self.store.artefact("protected", hash))
        self.record.lock_meter = meta["meter"] | dict.fromkeys(UNMETERED)
        if meta["notes"]:
            self.record.notes["lock"] = meta["notes"]
        return locked

    def _untrained(self, scenario: Scenario) -> Classifier:
        """The architecture alone: a lock that is given its weights needs no public ones, nor a download of them."""
        return models.build(self.cell.model, scenario.spec, 0, "random", self.found.seeds["lock"])

    def _judge(self, scenario: Scenario, key: Key) -> Judge:
        at = (self.found.hashes["key"], self.record.split, self.cell.replicate)
        judges = self.context._judges
        if at not in judges:
            judges[at] = Judge(scenario, key, self.record.split, self.settings.device)
        return judges[at]

    def _judged(self, judge: Judge, original: Classifier | None, locked: Classifier) -> Verdict:
        hash = self.found.hashes["judged"]
        with self.store.making("judged", hash) as part:
            if part is not None:
                seed = seeds.derive("conditions", key=digest(judge.key.to_json()))
                verdict = judge.lock(original, locked, seed, self._progress("judge the lock"))
                told = {
                    "measured": {k: m.model_dump() for k, m in verdict.measured.items()},
                    "conditions": [c.model_dump() for c in verdict.conditions],
                    "flags": [f.model_dump() for f in verdict.flags],
                    "notes": verdict.notes,
                }
                (part / "judged.json").write_text(json.dumps(told))
                save_file({k: torch.from_numpy(v) for k, v in verdict.evidence.items()}, part / "evidence.safetensors")
        folder = self.store.artefact("judged", hash)
        told = json.loads((folder / "judged.json").read_text())
        return Verdict(
            measured={k: Measured(**m) for k, m in told["measured"].items()},
            conditions=[Condition(**c) for c in told["conditions"]],
            flags=[Flag(**f) for f in told["flags"]],
            evidence={k: v.numpy() for k, v in load_file(folder / "evidence.safetensors").items()},
            notes=told["notes"],
        )

    def _unlocked(self, scenario: Scenario, locked: Classifier, key: Key) -> isolation.Outcome:
        hash, cell = self.found.hashes["unlocked"], self.cell
        with self.store.making("unlocked", hash) as part:
            if part is not None:
                threat = ThreatModel(**cell.threat)
                told = {
                    "name": cell.attack.name,
                    "params": cell.attack.params,
                    "files": list(self.settings.plugin_files),
                }
                job = materialise(
                    scenario, locked, key, threat, cell.budget, told, cell.model,
                    self.found.seeds["attack"], self.settings.device, self.settings.threads,
                )  # fmt: skip
                outcome = isolation.run(job, answering(locked, threat, self.settings.device), self._progress("unlock"))
                if outcome.error and not outcome.error.startswith("AccessDenied"):
                    raise AttackFailed(outcome.error + "\n" + str(outcome.notes.get("traceback", "")))
                _save_outcome(outcome, part)
        return _load_outcome(self.store.artefact("unlocked", hash))

    def _scored(self, judge: Judge, locked: Classifier, outcome: isolation.Outcome) -> None:
        record, cell = self.record, self.cell
        record.meter = outcome.meter
        if outcome.spent:
            record.notes["budget_spent"] = outcome.spent
        if outcome.denied or outcome.error:
            record.status = "invalid"
            record.error = outcome.error or f"AccessDenied: {', '.join(outcome.denied)}"
            record.flags.append(
                Flag(name="attack-denied", detail=f"asked for {', '.join(outcome.denied) or record.error}")
            )
            return
        if not outcome.submissions:
            raise RuntimeError(f"the budget ({outcome.spent}) was spent before the first submission")
        answer = answering(locked, ThreatModel(**cell.threat), self.settings.device)
        by_judge = cell.attack.selection in ("judge-validation", "oracle")
        made: list[Any] = []
        answers: list[np.ndarray] = []
        for i, (told, state) in enumerate(zip(outcome.submissions, outcome.states, strict=True)):
            predictor = predictors.rebuild(told["spec"], state, answer)
            made.append(predictor)
            # Editing test images once more for every guess is what judging a prompt search costs.
            few = isinstance(predictor, predictors.Edited) and i < len(outcome.submissions) - 1
            answers.append(judge.answers(predictor, few))
            note = {k: v for k, v in told["note"].items() if k != "final"}
            chosen = judge.validate(predictor).value if by_judge else None
            point = CurvePoint(
                meter=told["meter"], RP=judge.score(answers[-1]), n=len(answers[-1]), validation=chosen, note=note
            )
            record.curve.append(point)
            self._progress("judge the attack")(i + 1, len(outcome.submissions), "submissions")
        at = len(made) - 1
        if by_judge:  # a privilege of controls: see the conformance tests
            at = max(range(len(made)), key=lambda i: record.curve[i].validation or 0.0)
        record.notes["selected"] = record.curve[at].note
        if isinstance(made[at], predictors.Edited):
            record.notes["selected"] = {**record.curve[at].note, "prompt": made[at].prompt}
        record.RP_validation = judge.validate(made[at])
        verdict = judge.predictor(made[at], answers[at] if len(answers[at]) == len(judge.labels) else None)
        record.RP, record.authorised_after = verdict.measured["RP"], verdict.measured["authorised_after"]
        record.transductive = made[at].transductive
        if cell.attack.selection == "oracle":
            detail = "the judge chose among the attack's submissions by labels that no attacker has"
            record.flags.append(Flag(name="oracle-selection", detail=detail))
        record.flags += verdict.flags
        self.evidence |= verdict.evidence
        self.evidence |= judge.samples(locked, made[at])


def _augment(scenario: Scenario) -> Augment:
    return training.recolour if scenario.is_domain else training.jitter


class AttackFailed(RuntimeError):
    """The attack raised in its process."""


def _machine(device: str) -> str:
    """Processor, the name of the GPU where one computes, and last the device."""
    gpu = [torch.cuda.get_device_name(device)] if device.startswith("cuda") else []
    return " ".join([platform.machine(), *gpu, device])


def answering(locked: Classifier, threat: ThreatModel, device: str) -> Callable[[Tensor], Tensor] | None:
    """The locked model behind the interface that ``threat`` grants; None where it grants none."""
    if threat.access not in ("labels", "logits"):
        return None

    def answer(images: Tensor) -> Tensor:
        out = models.logits(locked.to(device), images)
        if threat.access == "labels":
            return torch.nn.functional.one_hot(out.argmax(1), out.shape[1]).float()
        return out

    return answer


def _save(model: Classifier, folder: Path, run: training.Run) -> None:
    if not isinstance(model, Classifier):
        raise TypeError(f"protect() must return a Classifier, not {type(model).__name__}")
    save_file(
        {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}, folder / "classifier.safetensors"
    )
    (folder / "meta.json").write_text(
        json.dumps({"spec": model.spec, "meter": run.meter.reading(), "notes": run.notes})
    )


def _load(folder: Path) -> tuple[Classifier, dict[str, Any]]:
    meta = json.loads((folder / "meta.json").read_text())
    return models.load(folder, meta["spec"]), meta


def _save_outcome(outcome: isolation.Outcome, folder: Path) -> None:
    for i, state in enumerate(outcome.states):
        save_file(state, folder / f"{i:04d}.safetensors")
    told = {k: getattr(outcome, k) for k in ("submissions", "meter", "denied", "error", "spent", "notes")}
    (folder / "outcome.json").write_text(json.dumps(told))


def _load_outcome(folder: Path) -> isolation.Outcome:
    told = json.loads((folder / "outcome.json").read_text())
    states = [load_file(folder / f"{i:04d}.safetensors") for i in range(len(told["submissions"]))]
    return isolation.Outcome(states=states, **told)
