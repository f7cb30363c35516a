"""The stages of a cell: victim, key, protected, judged, unlocked, scored. All but the last are artefacts of the store.

An artefact is made once. Every cell that needs it finds it again, and so does the next run after a kill.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from bench import augment, datasets, registry, seeds, supplies, training
from bench.checkpoints.model_names import parse
from bench.contracts import DefenderNeeds, Key
from bench.datasets.scenario import Scenario
from bench.errors import UserError
from bench.guests import questions, subjects
from bench.guests.remote_key import RemoteKey
from bench.guests.subjects import Model
from bench.harness import (
    artefacts,
    attack_process,
    defender,
    grants,
    key_process,
    lock_process,
    query_interface,
    victim_process,
)
from bench.harness.artefacts import Trained
from bench.harness.context import Context
from bench.harness.failure import StageFailed
from bench.harness.job import AttackOutput, Job
from bench.harness.judge import Evidence, Judge, LockVerdict
from bench.harness.lock_process import LockJob
from bench.harness.proposals import Proposals
from bench.harness.scoring import OnMeasured, Score, Scorer
from bench.harness.under_key import LockedModel
from bench.harness.views import DefenderView
from bench.hashing import digest
from bench.language import asking
from bench.records import Cell, Condition
from bench.selection import RULES
from bench.store import code
from bench.store.identity import Identity
from bench.store.store import Store

T = TypeVar("T")


def stage(
    store: Store,
    kind: str,
    hash: str,
    make: Callable[[], T],
    save: Callable[[T, Path], None],
    load: Callable[[Path], T],
) -> T:
    """The artefact ``kind``/``hash``: made and saved where the store lacks it, then loaded.

    What is returned always comes from the store, so that a first run and a repeated one compute on the same values.
    """
    with store.making(kind, hash) as part:
        if part is not None:
            start = time.perf_counter()
            with asking.logged() as replies:
                save(make(), part)
            artefacts.save_seconds(time.perf_counter() - start, part)
            if replies:
                artefacts.save_replies(replies, part)
    return load(store.artefact(kind, hash))


@dataclass
class Stages:
    """The stages of one cell.

    Args:
        cell: what is measured.
        identity: the hash of each stage.
        context: where it runs.
        seconds: wall seconds that each stage took when it was made, filled as stages end.
        replies: what each stage asked language models when it was made, filled likewise.
    """

    cell: Cell
    identity: Identity
    context: Context
    seconds: dict[str, float] = field(default_factory=dict)
    replies: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def progress(self, name: str) -> Callable[[int, int, str], None]:
        """How the stage ``name`` reports progress."""
        return lambda done, total, what: self.context.watch.stage(self.cell, name, done, total, what)

    def needs(self) -> DefenderNeeds:
        """What the lock declares to read."""
        lock = self.cell.lock
        needs: DefenderNeeds = questions.needs(self.context.plugins.find("lock", lock.name), lock.params)
        return needs

    def victim(self, scenario: Scenario) -> Trained:
        """The trained, unprotected model."""

        def make() -> Trained:
            data = scenario.authorised.images(scenario.authorised.splits.defender)
            return victim_process.train(
                self.cell.model,
                scenario.spec,
                data,
                augment.of_victim(scenario.is_domain),
                self.identity.seeds["victim"],
                self.context.settings,
                self.progress("victim"),
                self.cell.victim_training,
            )

        return self._stage("victim", make, artefacts.save_trained, artefacts.load_trained)

    def key(self, scenario: Scenario) -> Key:
        """What the rightful user holds; a guest's stays in a process of its own."""
        name, params = self.cell.key.name, self.cell.key.params
        info = self.context.plugins.find("key", name)

        def make() -> dict[str, Any]:
            # The key's own seed: locks share a key, whichever of them is made first.
            view = self._view(scenario, None, DefenderNeeds(raw=True), "key")
            seed, progress = self.identity.seeds["key"], self.progress("key")
            if info.guest:
                return key_process.make(info, params, view, seed, self.cell.model, self.context.settings, progress)
            entropy = digest({"entropy": self.context.settings.entropy, "seed": seed})
            settings = self.context.settings
            run = training.Run(seed, settings.device, progress=progress, entropy=entropy, precision=settings.precision)
            torch.manual_seed(run.seed("global"))
            key: Key = self.context.plugins.make("key", name, params).make(view, run)
            return key.to_json()

        value = self._stage("key", make, artefacts.save_json, artefacts.load_json)
        if info.guest:
            return RemoteKey(info, value)
        key: Key = registry.load(info).from_json(value)
        return key

    def protected(self, scenario: Scenario, original: Callable[[], Trained] | None, key: Key) -> Trained:
        """The locked model.

        Args:
            original: the unprotected model, asked for where the locked one is to be made; None: it is not needed.
        """

        def make() -> Trained:
            cell, settings = self.cell, self.context.settings
            victim = None if original is None else original()
            job = LockJob(
                lock=cell.lock.name,
                params=cell.lock.params,
                key=(cell.key.name, key.to_json()),
                model=cell.model,
                task=scenario.spec,
                augment=augment.of_victim(scenario.is_domain),
                seed=self.identity.seeds["lock"],
                plugin_files=settings.plugin_files,
                device=settings.device,
                threads=settings.threads,
                precision=settings.precision,
            )
            view = self._view(scenario, key, self.needs(), "lock")
            trained = lock_process.protect(job, victim, view, self._shared, self.progress("protect"))
            if trained.withheld and not hasattr(key, "apply"):
                raise UserError(
                    f"the lock {cell.lock.name} withholds weights, and no {cell.key.name} key holds them.",
                    "Write key = 'weights' in the lock, or set lock.key=weights.",
                )
            return trained

        if original is not None and not self.context.store.has("protected", self.identity.hashes["protected"]):
            original()  # before the lock is timed
        return self._stage("protected", make, artefacts.save_trained, artefacts.load_trained)

    def model(self, trained: Trained, what: str) -> Model:
        """``trained`` as the judge asks it: in a process of its own where a guest's code is in it."""
        guest = self._is_guest("lock", "model")
        device, dense = self.context.settings.device, self.is_dense

        def rebuild(state: Mapping[str, Tensor]) -> Model:
            return subjects.model(trained.spec, state, device, guest, what, dense)

        shipped = rebuild(trained.state)
        return LockedModel(shipped, trained.state, trained.withheld, rebuild) if trained.withheld else shipped

    @property
    def is_dense(self) -> bool:
        """Whether every pixel has a class."""
        return datasets.kind(self.cell.scenario) == "segmentation"

    def judge(self, scenario: Scenario, key: Key) -> Judge:
        """Who judges the cell: one for every cell of its key and split."""
        return self.context.judge(scenario, key, self.identity.hashes["key"], self.cell.split, self.cell.replicate)

    def judged(
        self, judge: Judge, original: Callable[[], Trained] | None, locked: Callable[[], Model]
    ) -> tuple[LockVerdict, Evidence]:
        """What the judge measures of the lock; ``original`` as for `protected`."""

        def make() -> tuple[LockVerdict, Evidence]:
            victim = None if original is None else self.model(original(), f"victim {self.cell.model}")
            return judge.lock(victim, locked())

        return self._stage("judged", make, artefacts.save_verdict, artefacts.load_verdict)

    def conditions(self, judge: Judge, locked: Callable[[], Model]) -> tuple[list[Condition], Evidence]:
        """The locked model under every key; nothing for a cell that has no conditions."""
        if not self.cell.has_conditions:
            return [], {}

        def make() -> tuple[list[Condition], Evidence]:
            seed = seeds.of_conditions(digest(judge.key.to_json()))
            return judge.conditions(locked(), seed, self.progress("key conditions"))

        return self._stage("conditions", make, artefacts.save_conditions, artefacts.load_conditions)

    def unlocked(
        self, scenario: Scenario, locked: Trained | None, model: Callable[[], Model], key: Key
    ) -> AttackOutput:
        """What the attack hands in.

        Args:
            locked: None where the threat model grants no access to it.

        Raises:
            GuestFailed: it raised, died or ran into a limit.
        """

        def make() -> AttackOutput:
            seed, settings = self.identity.seeds["attack"], self.context.settings
            job = grants.materialise(scenario, locked, key, self.cell, seed, self.identity.seeds["key"], settings)
            return attack_process.run(job, self.interface(model), self.progress("unlock"), self.proposals(job))

        return self._stage("unlocked", make, artefacts.save_output, artefacts.load_output)

    def scored(
        self, judge: Judge, locked: Callable[[], Model], output: AttackOutput, measured: OnMeasured
    ) -> tuple[Score, Evidence]:
        """How the judge scores what the attack handed in; no artefact, since it is the record.

        Args:
            measured: called with RP as soon as it is known.
        """
        rule = self.cell.attack.selection or RULES["last"]
        interface, device = self.interface(locked), self.context.settings.device
        guest, what = self._is_guest("lock", "model", "attack"), f"the predictor of {self.cell.attack.name}"

        def rebuild(spec: dict[str, Any], state: dict[str, Tensor]) -> subjects.Answerer:
            return subjects.answerer(spec, state, judge.k, device, guest, what, interface, judge.dense)

        start = time.perf_counter()
        scorer = Scorer(judge, output, rebuild, rule, self.progress("judge the attack"), measured)
        score = scorer.score(locked, control=self.cell.lock.role == "control")
        self.seconds["scored"] = round(time.perf_counter() - start, 3)
        return score

    def interface(self, locked: Callable[[], Model]) -> Callable[[Tensor], Tensor] | None:
        """The locked model behind the interface that the threat model grants; None where it grants none."""
        return query_interface.of(self.cell.threat.access, locked)

    def proposals(self, job: Job) -> Proposals | None:
        """The language model behind the harness's questions.

        None where the threat model grants none, or the attack does not declare that it asks one: its identity would
        lack the model's name.
        """
        attack = self.cell.attack
        declared = self.context.plugins.find("attack", attack.name).asks_language_model(attack.params)
        if not (self.cell.threat.language_model and declared):
            return None
        named = attack.params.get("language_model") or self.context.settings.language_model
        return Proposals(job, str(named))

    def _is_guest(self, *kinds: str) -> bool:
        """Whether a plugin of ``kinds`` in this cell is not the project's own."""
        cell, plugins = self.cell, self.context.plugins
        model = parse(cell.model)
        names = {"lock": cell.lock.name, "attack": cell.attack.name, "model": model.plugin}
        infos = [plugins.get(kind, names[kind]) for kind in kinds]
        return model.is_factory or any(info.guest for info in infos if info is not None)

    def _stage(self, kind: str, make: Callable[[], T], save: Callable[[T, Path], None], load: Callable[[Path], T]) -> T:
        hash, store = self.identity.hashes[kind], self.context.store
        failure = self.context.failures.get((kind, hash))
        if failure is not None:
            raise StageFailed(failure)

        def equipped() -> T:
            for need in supplies.of_cell(self.cell):
                supplies.fetch(need)
            value = make()
            self._check_code(kind)
            return value

        value = stage(store, kind, hash, equipped, save, load)
        seconds = artefacts.load_seconds(store.artefact(kind, hash))
        if seconds is not None:
            self.seconds[kind] = seconds
        if replies := artefacts.load_replies(store.artefact(kind, hash)):
            self.replies[kind] = replies
        return value

    def _check_code(self, kind: str) -> None:
        """Whether the plugin that has just run is the one that the hash names: a process reads it when it starts.

        Raises:
            UserError: its code was edited since the run began.
        """
        ref = {"key": self.cell.key, "protected": self.cell.lock, "unlocked": self.cell.attack}.get(kind)
        if ref is None:
            return
        info = self.context.plugins.find({"protected": "lock", "unlocked": "attack"}.get(kind, kind), ref.name)
        names = code.edited(self.identity.inputs[kind]["code"], info)
        if names:
            raise UserError(
                f"the code of {', '.join(names)} was changed while the run was at work.", "Run the same command again."
            )

    def _shared(self, name: str, inputs: Any, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """What several locks compute from one victim: `bench.contracts.Run.artefact`."""
        own = self.identity.inputs["protected"]["code"]
        hash = digest({"name": name, "inputs": inputs, "base": self.identity.hashes["victim"], "code": own})
        return stage(self.context.store, "shared", hash, make, artefacts.save_tensors, artefacts.load_tensors)

    def _view(self, scenario: Scenario, key: Key | None, needs: DefenderNeeds, axis: str) -> DefenderView:
        return defender.view(scenario, self.cell.model, self.identity.seeds[axis], key, needs)
