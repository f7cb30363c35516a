"""The stages of a cell: victim, key, protected, judged, unlocked, scored. All but the last are artefacts of the store.

An artefact is made once. Every cell that needs it finds it again, and so does the next run after a kill.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from bench import models, registry, seeds, training
from bench.augment import jitter, recolour
from bench.contracts import AccessDenied, Augment, Classifier, DefenderNeeds, Key, Lock
from bench.datasets.scenario import Scenario
from bench.hashing import digest
from bench.records import Cell
from bench.run import artefacts, attack_process, grants, victim
from bench.run.artefacts import Trained
from bench.run.context import Context
from bench.run.job import AttackOutput
from bench.run.judge import Evidence, Judge, LockVerdict
from bench.run.scoring import Score, score
from bench.run.views import DefenderView
from bench.selection import RULES
from bench.store.identity import Identity
from bench.store.store import Store

T = TypeVar("T")


class AttackFailed(RuntimeError):
    """The attack raised in its process."""


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
            save(make(), part)
    return load(store.artefact(kind, hash))


@dataclass
class Stages:
    """The stages of one cell.

    Args:
        cell: what is measured.
        identity: the hash of each stage.
        context: where it runs.
        seconds: wall seconds by stage, filled as stages end.
    """

    cell: Cell
    identity: Identity
    context: Context
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note the wall seconds of the block under ``name``."""
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)

    def progress(self, name: str) -> Callable[[int, int, str], None]:
        """How the stage ``name`` reports progress."""
        return lambda done, total, what: self.context.progress(name, done, total, what)

    def lock(self) -> Lock:
        """The lock of the cell."""
        lock: Lock = self.context.plugins.make("lock", self.cell.lock.name, self.cell.lock.params)
        return lock

    def victim(self, scenario: Scenario) -> Classifier:
        """The trained, unprotected model."""

        def make() -> Trained:
            run = self._run("victim", self.identity.seeds["victim"])
            data = scenario.authorised.images(scenario.authorised.splits.defender)
            with training.metered(run):
                model = victim.train(self.cell.model, scenario.spec, data, run, _augment(scenario))
            return Trained(model, run.meter.reading())

        return self._stage("victim", make, artefacts.save_trained, artefacts.load_trained).classifier

    def key(self, scenario: Scenario) -> Key:
        """What the rightful user holds."""
        name, params = self.cell.key.name, self.cell.key.params

        def make() -> dict[str, Any]:
            run = self._run("key", self.identity.seeds["key"])
            method = self.context.plugins.make("key", name, params)
            key: Key = method.make(self._view(scenario, None, DefenderNeeds(raw=True)), run)
            return key.to_json()

        value = self._stage("key", make, artefacts.save_json, artefacts.load_json)
        key: Key = registry.load(self.context.plugins.find("key", name)).from_json(value)
        return key

    def protected(self, scenario: Scenario, original: Classifier | None, key: Key) -> Trained:
        """The locked model."""

        def make() -> Trained:
            run = self._run("protect", self.identity.seeds["lock"])
            lock = self.lock()
            view = self._view(scenario, key, lock.needs())
            own = copy.deepcopy(original) if original is not None else self._untrained(scenario)
            start = time.perf_counter()
            with training.metered(run):
                torch.manual_seed(run.seed("global"))
                locked = lock.protect(own.to(run.device), key, view, run)
            if view.denied:
                raise AccessDenied(f"the lock read {', '.join(view.denied)}, which its needs() do not name")
            run.meter.seconds = round(time.perf_counter() - start, 3)
            return Trained(locked, run.meter.reading(), run.notes)

        return self._stage("protected", make, artefacts.save_trained, artefacts.load_trained)

    def judged(self, judge: Judge, original: Classifier | None, locked: Classifier) -> tuple[LockVerdict, Evidence]:
        """What the judge measures of the lock."""

        def make() -> tuple[LockVerdict, Evidence]:
            seed = seeds.derive("conditions", key=digest(judge.key.to_json()))
            return judge.lock(original, locked, seed, self.progress("judge the lock"))

        return self._stage("judged", make, artefacts.save_verdict, artefacts.load_verdict)

    def unlocked(self, scenario: Scenario, locked: Classifier, key: Key) -> AttackOutput:
        """What the attack hands in.

        Raises:
            AttackFailed: it raised.
        """

        def make() -> AttackOutput:
            seed, settings = self.identity.seeds["attack"], self.context.settings
            job = grants.materialise(scenario, locked, key, self.cell, seed, settings)
            output = attack_process.run(job, self.interface(locked), self.progress("unlock"))
            if output.error and not output.error.startswith("AccessDenied"):
                raise AttackFailed(f"{output.error}\n{output.traceback}")
            return output

        return self._stage("unlocked", make, artefacts.save_output, artefacts.load_output)

    def scored(self, judge: Judge, locked: Classifier, output: AttackOutput) -> tuple[Score, Evidence]:
        """How the judge scores what the attack handed in; no artefact, since it is the record."""
        rule = self.cell.attack.selection or RULES["last"]
        with self.timed("scored"):
            return score(judge, locked, output, self.interface(locked), rule, self.progress("judge the attack"))

    def interface(self, locked: Classifier) -> Callable[[Tensor], Tensor] | None:
        """The locked model behind the interface that the threat model grants; None where it grants none."""
        access, device = self.cell.threat.access, self.context.settings.device
        if access not in ("labels", "logits"):
            return None

        def answer(images: Tensor) -> Tensor:
            out = models.outputs(locked.to(device), images)
            if access == "labels":
                return torch.nn.functional.one_hot(out.argmax(1), out.shape[1]).float()
            return out

        return answer

    def _stage(self, kind: str, make: Callable[[], T], save: Callable[[T, Path], None], load: Callable[[Path], T]) -> T:
        with self.timed(kind):
            return stage(self.context.store, kind, self.identity.hashes[kind], make, save, load)

    def _run(self, name: str, seed: int) -> training.Run:
        device = self.context.settings.device
        return training.Run(seed, device, progress=self.progress(name), artefacts=self._shared)

    def _shared(self, name: str, inputs: Any, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """What several locks compute from one victim: `bench.contracts.Run.artefact`."""
        code = self.identity.inputs["protected"]["code"]
        hash = digest({"name": name, "inputs": inputs, "base": self.identity.hashes["victim"], "code": code})
        return stage(self.context.store, "shared", hash, make, artefacts.save_tensors, artefacts.load_tensors)

    def _view(self, scenario: Scenario, key: Key | None, needs: DefenderNeeds) -> DefenderView:
        seed = self.identity.seeds["lock"]

        def public(extra: int) -> Classifier:
            return models.build(self.cell.model, scenario.spec, extra, "public", seeds.derive("public", seed=seed))

        own, other = (
            (side.images(side.splits.defender), side.images(side.splits.defender_validation))
            for side in (scenario.authorised, scenario.unauthorised)
        )
        return DefenderView(scenario.spec, *own, key, needs, public, other, _augment(scenario))

    def _untrained(self, scenario: Scenario) -> Classifier:
        """The architecture alone: a lock that is given its weights needs no public ones, nor a download of them."""
        return models.build(self.cell.model, scenario.spec, 0, "random", self.identity.seeds["lock"])


def _augment(scenario: Scenario) -> Augment:
    return recolour if scenario.is_domain else jitter
