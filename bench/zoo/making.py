"""Writing an entry from what a run left in its store: the locked model, its key, its card and its page."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file

from bench import datasets, registry
from bench.contracts import Key
from bench.datasets import facts
from bench.errors import UserError
from bench.guests.failure import InvalidResult
from bench.harness import artefacts
from bench.harness.artefacts import Trained
from bench.harness.judge import Evidence
from bench.hashing import digest
from bench.plugin_source import PluginInfo
from bench.records import Record
from bench.store import Store, disk, sums
from bench.store.settings import PLAN
from bench.threat import ThreatModel
from bench.zoo import contents, measuring, page, shelf
from bench.zoo.card import NUMBERS, Card, Dtype, KeyFacts, Origin, Weights, name_of
from bench.zoo.commit import commit
from bench.zoo.shelf import Entry

LICENCE = "MIT"
"""Of the weights: that of the suite."""


@dataclass(frozen=True)
class Source:
    """A record with what its run left: the locked model and the key."""

    record: Record
    evidence: Evidence
    trained: Trained
    key: Key
    key_value: dict[str, Any]
    method: PluginInfo


def records(store: Store, starts: Sequence[str]) -> list[Record]:
    """The records whose hashes begin with ``starts``; none named: every locked model of the store once.

    Raises:
        UserError: a beginning that fits none or several.
    """
    listing = store.listing()
    if starts:
        hashes = [_hash_of(start, [entry.hash for entry in listing], store.root) for start in starts]
        return [store.read(hash).record for hash in dict.fromkeys(hashes)]
    found: dict[str, Record] = {}
    for record in (store.read(entry.hash).record for entry in listing):
        if record.cell.lock.role == "method" and _unfit(record) is None:
            found[record.provenance.parents["protected"]] = record
    if not found:
        raise UserError(f"{store.root} has no locked model.", "Run one: bench run --lock NAME --attack none")
    return list(found.values())


def write(store: Store, record: Record, out: Path, given: bool = True) -> Entry:
    """Write the entry of ``record`` into the zoo ``out``; one of its name is replaced.

    The same record gives the same bytes, as long as the source is that of one commit.

    Args:
        given: whether the key is part of it.

    Raises:
        UserError: the record has no locked model that can be handed on, its artefacts are gone or give other numbers,
            or the key can be drawn again by anybody and so cannot be withheld.
    """
    source = _source(store, record)
    if not given:
        _check_secret(source)
    dtype, changed = _stored_as(source)
    with _folder(out) as part:
        state = contents.rounded(source.trained.state, dtype)
        save_file(state, part / shelf.MODEL)
        if given:
            _write_json(part / shelf.KEY, source.key_value)
            if source.trained.withheld:
                save_file(artefacts.flat(source.trained.withheld), part / shelf.KEY_WEIGHTS)
        weights = Weights(
            sha256=sums.Sum.of((part / shelf.MODEL).read_bytes()).sha256,
            size=(part / shelf.MODEL).stat().st_size,
            parameters=sum(tensor.numel() for tensor in state.values()),
            dtype=dtype,
            answers_changed=changed,
        )
        card = _card(source, weights, given)
        _write_json(part / shelf.CARD, card.model_dump(mode="json"))
        (part / shelf.PAGE).write_text(page.of(card), encoding="utf-8")
        sums.write(part)
        _put(part, out / card.name)
    return Entry(out / card.name, card)


def _hash_of(start: str, hashes: Sequence[str], root: Path) -> str:
    found = [hash for hash in hashes if hash.startswith(start)]
    if len(start) < 6 or not found:
        raise UserError(f"no record of {root} starts with '{start}'.", "Give 6 digits or more: see `bench status`.")
    if len(found) > 1:
        raise UserError(f"{len(found)} records of {root} start with '{start}'.", "Give more digits.")
    return found[0]


def _unfit(record: Record) -> str | None:
    """Why ``record`` makes no entry; None where it can."""
    cell = record.cell
    if not record.complete or record.UP is None or record.LP is None:
        return "it measured no UP and LP here"
    if record.split != "test":
        return "its seed is one of tuning"
    if "folder" in cell.scenario.split(":"):
        return "its task names a folder of this machine"
    infos = [registry.current().get("lock", cell.lock.name), registry.current().get("key", cell.key.name)]
    if any(info is None or info.guest for info in infos) or cell.lock.role == "given":
        return "its lock or key is no part of LockBench"
    return None


def _source(store: Store, record: Record) -> Source:
    reason = _unfit(record)
    if reason is not None:
        raise UserError(f"the record {record.hash} makes no entry: {reason}.", "Name another: see `bench status`.")
    folders = {}
    for kind in ("protected", "key"):
        folders[kind] = store.artefact(kind, record.provenance.parents[kind])
        problem = sums.problem(folders[kind], store.sums_required)
        if problem is not None:
            raise UserError(
                f"the {kind} artefact of {record.hash} cannot be used: {problem}.",
                f"Run the cell again in an empty store: bench run --lock {record.cell.lock.name} --attack none",
            )
    value = artefacts.load_json(folders["key"])
    method = registry.current().find("key", record.cell.key.name)
    key: Key = registry.load(method).from_json(value)
    trained = artefacts.load_trained(folders["protected"])
    return Source(record, store.evidence(record), trained, key, value, method)


def _check_secret(source: Source) -> None:
    """Whether the key is a secret of whoever holds the store.

    Raises:
        UserError: it is not.
    """
    name = source.record.cell.key.name
    if source.method.in_weights:
        raise UserError(
            "a key in the weights cannot be withheld: whoever runs the lock with the card's seeds has it.",
            "Leave --withhold out.",
        )
    if not source.method.own:
        raise UserError(f"a {name} key has no secret to withhold.", "Leave --withhold out.")
    if source.record.provenance.inputs["key"].get("entropy") == digest(PLAN):
        raise UserError(
            f"the key of {source.record.hash} cannot be withheld: with --entropy plan anybody draws it again.",
            "Run the lock in a new store without --entropy, or leave --withhold out.",
        )


def _stored_as(source: Source) -> tuple[Dtype, dict[str, int]]:
    """How weights are stored: float16 where no number of the record changes by it, else float32.

    Returns:
        It, and how many judged images are answered otherwise than in the record, by number.

    Raises:
        UserError: the locked model gives other numbers than the record has.
    """
    record = source.record
    scenario = measuring.scenario_of(record.cell, record.provenance.data_fingerprint)
    prefix = "pred" if record.metric == "accuracy" else "confusion"
    before = {name: getattr(record, name) for name in NUMBERS}
    now = before
    for dtype in ("float16", "float32"):
        state = contents.restored(contents.rounded(source.trained.state, dtype))
        try:
            now, answers = measuring.measured(
                scenario, Trained(source.trained.spec, state, withheld=source.trained.withheld), source.key
            )
        except InvalidResult:  # a weight beyond float16
            continue
        is_same = all(now[name].value == before[name].value for name in NUMBERS)
        if is_same or (dtype == "float32" and all(measuring.same(now[name], before[name]) for name in NUMBERS)):
            return dtype, {name: _changed(answers[name], source.evidence.get(f"{prefix}/{name}")) for name in NUMBERS}
    words = ", ".join(f"{name} {now[name].value:.2f} for {before[name].value:.2f}" for name in NUMBERS)
    raise UserError(
        f"the locked model of {record.hash} gives other numbers than its record: {words}.",
        "Write the entry on the machine that made the record, or run it again in a new store.",
    )


def _changed(own: Any, before: Any) -> int:
    """Of how many images the answers differ; all where the record kept none."""
    if before is None or before.shape != own.shape:
        return len(own)
    differs = np.asarray(own != before)
    return int(differs.reshape(len(own), -1).any(axis=1).sum())


def _card(source: Source, weights: Weights, given: bool) -> Card:
    record, cell = source.record, source.record.cell
    lock = registry.current().find("lock", cell.lock.name)
    parts = source.key.parts()
    secret = () if given else source.method.own
    explicit = {**cell.lock.explicit, **{n: v for n, v in cell.key.explicit.items() if n not in secret}}
    origin = Origin(
        record=record.hash,
        row_key=record.row_key,
        commit=commit(),
        code=record.provenance.inputs["protected"]["code"],
        data=record.provenance.data_fingerprint,
        seeds={name: seed for name, seed in record.provenance.seeds.items() if given or name != "key"},
        versions=record.provenance.versions,
        machine=record.provenance.machine,
        threads=record.provenance.threads,
        precision=record.provenance.dtype,
        created=record.provenance.created,
    )
    return Card(
        name=name_of(cell.lock.name, cell.name, cell.model_name, cell.replicate, explicit | cell.task_settings),
        title=lock.title,
        paper=lock.paper,
        lock=cell.lock,
        key=KeyFacts(
            method=cell.key.name,
            params={name: value for name, value in cell.key.params.items() if name not in secret},
            given=given,
            known={name: parts[name] for name in ThreatModel().parts() if name in parts},
            megabytes=record.key_megabytes,
        ),
        task=cell.scenario,
        task_settings=cell.task_settings,
        model=cell.model,
        seed=cell.replicate,
        spec=source.trained.spec,
        weights=weights,
        origin=origin,
        licence=LICENCE,
        data_licences={side: _licence(side) for side in datasets.pair(cell.scenario) or (cell.scenario,)},
        **{name: getattr(record, name) for name in _OF_THE_RECORD},
    )


_OF_THE_RECORD = (
    "classes", "metric", "floor", "victim_authorised", "oracle", *NUMBERS, "LP_after_batch_norm", "flags",
)  # fmt: skip


def _licence(task: str) -> str:
    info = datasets.source(task)
    known = "" if info is None else facts.of(info).licence
    return known or "drawn by LockBench"


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """A new hidden folder in ``out``, gone after the block."""
    with disk.clear_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        part = out / f".part-{uuid.uuid4().hex}"
        part.mkdir()
        try:
            yield part
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _put(part: Path, target: Path) -> None:
    """Move ``part`` to ``target``, in the place of an entry that is there."""
    if target.exists() and not (target / shelf.CARD).is_file():
        raise UserError(f"{target} is there, and is no entry of a zoo.", "Name another folder with --out.")
    if not target.exists():
        part.rename(target)
        return
    old = target.with_name(f".part-{uuid.uuid4().hex}")
    target.rename(old)
    part.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _write_json(file: Path, value: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
