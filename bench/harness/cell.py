"""`run_cell`: the protocol in one function, from a cell of the plan to its record in the store."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache

import torch

from bench import red_flags
from bench.datasets.scenario import Scenario
from bench.guests.subjects import Model
from bench.harness.artefacts import Trained
from bench.harness.context import Context
from bench.harness.failure import Failure
from bench.harness.job import AttackOutput
from bench.harness.judge import Evidence, Judge, LockVerdict
from bench.harness.scoring import OnMeasured, Score
from bench.harness.stages import Stages
from bench.records import Cell, Flag, Measured, Provenance, Record
from bench.store import identity
from bench.store.identity import Identity
from bench.store.settings import Settings
from bench.store.store import Store

UNMETERED = ("forward_images", "backward_images", "edited", "guesses", "calls")
"""Meters that nobody reads while a lock trains."""


def run_cell(cell: Cell, context: Context) -> Record:
    """The record of ``cell``: from the store where it is complete, else measured now. Never raises for a plugin.

    Raises:
        UserError: the data cannot be read.
        StoreError: the store cannot be written: no cell is to blame, and none is recorded as failed.
    """
    stored = context.store.get(identity.of(cell, context.settings).record)
    if stored is not None and stored.complete:
        return stored
    record, evidence, log = measure(cell, context)
    context.store.put(record, evidence, log)
    return record


def measure(cell: Cell, context: Context) -> tuple[Record, Evidence, str]:
    """The record of ``cell`` with its evidence and what its plugins printed, in no store yet. As `run_cell` raises."""
    own = identity.of(cell, context.settings)
    stages = Stages(cell, own, context)
    record, evidence, log = _new_record(cell, own, context.settings, context.command), Evidence(), ""
    scenario = context.scenario(cell)
    try:
        needs = stages.needs()
        key = stages.key(scenario)
        model: Callable[[], Model] = cache(lambda: stages.model(locked, f"lock {cell.lock.name}"))
        output = None
        if cell.threat.access == "none":  # it need not wait for a lock that it does not see
            output = stages.unlocked(scenario, None, model, key)
        victim = cache(lambda: stages.victim(scenario)) if needs.victim else None
        locked = stages.protected(scenario, victim, key)
        judge = stages.judge(scenario, key)
        verdict, lock_evidence = stages.judged(judge, victim, model)
        evidence |= judge.split_evidence(scenario.is_domain) | lock_evidence
        _fill_setting(record, scenario, judge, asdict(needs))
        _fill_lock(record, verdict, locked)
        output = output or stages.unlocked(scenario, locked, model, key)
        log = output.log
        score, attack_evidence = stages.scored(judge, model, output, _announcer(record, evidence, context))
        evidence |= attack_evidence
        _fill_attack(record, score, output)
        record.conditions, condition_evidence = stages.conditions(judge, model)
        evidence |= condition_evidence
        if not scenario.is_domain:
            record.flags += _looked_up(record, evidence)
    except Exception as error:
        failure = Failure.of(error, context.store.root)
        failure.fill(record)
        log = failure.log or log
    record.provenance.seconds, record.provenance.replies = stages.seconds, stages.replies
    return record, evidence, log


def failed_record(cell: Cell, store: Store, settings: Settings, command: str, failure: Failure) -> Record:
    """A record of ``cell``, put into ``store``: nothing could be measured, as ``failure`` says."""
    record = _new_record(cell, identity.of(cell, settings), settings, command)
    failure.fill(record)
    store.put(record, {}, failure.log)
    return record


def _fill_setting(record: Record, scenario: Scenario, judge: Judge, needs: dict[str, bool]) -> None:
    record.classes, record.data_notes = list(scenario.spec.classes), scenario.notes
    record.provenance.data_fingerprint = scenario.fingerprint()
    record.metric, record.floor, record.key = judge.measure.name, round(judge.floor, 4), judge.key.to_json()
    record.defender_needs = needs


def _fill_lock(record: Record, verdict: LockVerdict, locked: Trained) -> None:
    record.victim_authorised, record.oracle = verdict.victim_authorised, verdict.oracle
    record.UP, record.UP_shipped = verdict.UP, verdict.UP_shipped
    record.LP, record.LP_shipped = verdict.LP, verdict.LP_shipped
    record.LP_after_batch_norm = verdict.LP_after_batch_norm
    record.flags = list(verdict.flags)
    record.key_ms_per_image, record.key_megabytes = verdict.key_ms_per_image, verdict.key_megabytes
    record.extra_parameters = verdict.extra_parameters
    record.lock_meter, record.lock_notes = locked.meter | dict.fromkeys(UNMETERED), locked.notes


def _announcer(record: Record, evidence: Evidence, context: Context) -> OnMeasured:
    """What shows ``record`` with its RP before the rest of it is measured."""

    def announce(RP: Measured, answers: Evidence) -> None:
        context.watch.measured(record.model_copy(update={"RP": RP}), {**evidence, **answers})

    return announce


def _fill_attack(record: Record, score: Score, output: AttackOutput) -> None:
    record.status, record.error = score.status, score.error
    record.RP, record.RP_validation = score.RP, score.RP_validation
    record.authorised_after, record.transductive = score.authorised_after, score.transductive
    record.curve, record.selected = score.curve, score.selected
    record.flags += score.flags
    record.meter, record.budget_spent = output.meter, output.spent


def _looked_up(record: Record, evidence: Evidence) -> list[Flag]:
    """The flag of a predictor that is right where the victim errs; none where either was not measured."""
    if record.RP is None or record.oracle is None or "pred/RP" not in evidence or "test_labels" not in evidence:
        return []
    labels, answers = evidence["test_labels"], evidence["pred/RP"]
    wrong = evidence["pred/oracle"] != labels
    right = int((answers[wrong] == labels[wrong]).sum())
    flag = red_flags.right_where_the_victim_errs(right, int(wrong.sum()), record.RP, record.oracle)
    return [] if flag is None else [flag]


def _new_record(cell: Cell, own: Identity, settings: Settings, command: str) -> Record:
    """A record of ``cell`` with everything that is known before it is measured."""
    return Record(
        cell=cell,
        row_key=cell.row_key(),
        split=cell.split,
        provenance=Provenance(
            hash=own.record,
            parents={k: v for k, v in own.hashes.items() if k != "record"},
            inputs=own.inputs,
            code=identity.code_of(own.inputs),
            seeds=own.seeds,
            versions=identity.versions(),
            machine=_machine(settings.device),
            threads=settings.threads,
            dtype=settings.precision,
            command=command,
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        ),
    )


def _machine(device: str) -> str:
    """Processor, the name of the GPU where one computes, and last the device."""
    gpu = [torch.cuda.get_device_name(device)] if device.startswith("cuda") else []
    return " ".join([platform.machine(), *gpu, device])
