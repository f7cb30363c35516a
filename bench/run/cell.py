"""`run_cell`: the protocol in one function, from a cell of the plan to its record in the store."""

from __future__ import annotations

import platform
import traceback
from dataclasses import asdict
from datetime import UTC, datetime

import torch

from bench import seeds
from bench.errors import UserError
from bench.records import Cell, Provenance, Record
from bench.run.context import Context
from bench.run.judge import Evidence, LockVerdict
from bench.run.scoring import Score, score
from bench.run.stages import Stages
from bench.selection import RULES
from bench.store import identity
from bench.store.identity import Identity

UNMETERED = ("forward_images", "backward_images", "edited", "guesses")
"""Meters that nobody reads while a lock trains."""


def run_cell(cell: Cell, context: Context) -> Record:
    """The record of ``cell``: from the store where it is complete, else measured now. Never raises for a plugin.

    Raises:
        UserError: what the user asked for cannot be done.
    """
    own = identity.of(cell, context.settings)
    stored = context.store.get(own.record)
    if stored is not None and stored.complete:
        return stored
    stages = Stages(cell, own, context)
    record, evidence = _new_record(cell, own, context), Evidence()
    try:
        evidence = _measure(record, stages)
    except UserError:
        raise
    except Exception as error:
        record.status, record.error = "failed", f"{type(error).__name__}: {error}"
        record.traceback = traceback.format_exc(limit=12)
    record.provenance.seconds = stages.seconds
    context.store.put(record, evidence)
    return record


def _measure(record: Record, stages: Stages) -> Evidence:
    """Protect, judge the lock, unlock, score: fills ``record``, and returns its evidence."""
    cell, context = stages.cell, stages.context
    scenario = context.scenario(cell)
    needs = stages.lock().needs()
    victim = stages.timed("victim", lambda: stages.victim(scenario)) if needs.victim else None
    key = stages.timed("key", lambda: stages.key(scenario))
    locked = stages.timed("protected", lambda: stages.protected(scenario, victim, key))
    judge = context.judge(scenario, key, stages.identity.hashes["key"], record.split, cell.replicate)
    verdict, evidence = stages.timed("judged", lambda: stages.judged(judge, victim, locked.classifier))
    _fill_lock(record, verdict)
    record.floor, record.key = round(judge.floor, 4), key.to_json()
    record.classes, record.data_notes = list(scenario.spec.classes), scenario.notes
    record.provenance.data_fingerprint = scenario.fingerprint()
    record.defender_needs = asdict(needs)
    record.lock_meter, record.lock_notes = locked.meter | dict.fromkeys(UNMETERED), locked.notes
    output = stages.timed("unlocked", lambda: stages.unlocked(scenario, locked.classifier, key))
    rule, answer = cell.attack.selection or RULES["last"], stages.interface(locked.classifier)
    progress = stages.progress("judge the attack")
    result, samples = stages.timed("scored", lambda: score(judge, locked.classifier, output, answer, rule, progress))
    _fill_attack(record, result)
    record.meter, record.budget_spent = output.meter, output.spent
    return judge.split_evidence(scenario.is_domain) | evidence | samples


def _fill_lock(record: Record, verdict: LockVerdict) -> None:
    record.victim_authorised, record.oracle = verdict.victim_authorised, verdict.oracle
    record.UP, record.UP_shipped = verdict.UP, verdict.UP_shipped
    record.LP, record.LP_shipped = verdict.LP, verdict.LP_shipped
    record.LP_after_batch_norm = verdict.LP_after_batch_norm
    record.conditions, record.flags = verdict.conditions, list(verdict.flags)
    record.key_ms_per_image, record.key_megabytes = verdict.key_ms_per_image, verdict.key_megabytes
    record.extra_parameters = verdict.extra_parameters


def _fill_attack(record: Record, result: Score) -> None:
    record.status, record.error = result.status, result.error
    record.RP, record.RP_validation = result.RP, result.RP_validation
    record.authorised_after, record.transductive = result.authorised_after, result.transductive
    record.curve, record.selected = result.curve, result.selected
    record.flags += result.flags


def _new_record(cell: Cell, own: Identity, context: Context) -> Record:
    """A record of ``cell`` with everything that is known before it is measured."""
    return Record(
        cell=cell,
        row_key=cell.row_key(),
        split="judge-validation" if seeds.is_tuning(cell.replicate) else "test",
        provenance=Provenance(
            hash=own.record,
            parents={k: v for k, v in own.hashes.items() if k != "record"},
            inputs=own.inputs,
            seeds=own.seeds,
            versions=identity.versions(),
            machine=_machine(context.settings.device),
            threads=context.settings.threads,
            command=context.command,
            created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        ),
    )


def _machine(device: str) -> str:
    """Processor, the name of the GPU where one computes, and last the device."""
    gpu = [torch.cuda.get_device_name(device)] if device.startswith("cuda") else []
    return " ".join([platform.machine(), *gpu, device])
