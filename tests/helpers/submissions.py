"""An honest archive without a run: cells of a plan with their true identities, and answers that give their numbers.

`rewritten` makes a dishonest one of it, as cunning as its author likes: checksums, and hashes where asked for, are
computed anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from bench import metrics, plan, red_flags
from bench import seeds as draw_seeds
from bench.api import request
from bench.hashing import digest
from bench.keys.blockwise import BlockwiseKey
from bench.records import Cell, Condition, CurvePoint, Measured, Provenance, Record, condition_name
from bench.store import Store, archive, identity
from bench.store.settings import Settings

N, K, SEEDS = 120, 10, 3
LABELS = np.arange(N) % K
STAGES = ("base", "victim", "key", "protected", "judged", "conditions", "unlocked", "record")
LP = {"modellock": 20, "destroyed": 10, "permuted-logits": 5}
"""Percent right of the locked model on raw images; that of the victim is its oracle."""
RP = {"modellock": 75, "destroyed": 30, "from-scratch": 40}
CARD = """who = "A group"
what = "A small lock"
licence = "CC-BY-4.0"
machine = "x86-64, two cores"
command = "bench run --suite small.toml --seeds 3"
commit = "0123456789012345678901234567890123456789"
"""

Entry = tuple[dict[str, Any], dict[str, NDArray[Any]]]
"""The JSON of a record, and its evidence."""


def answers(percent: float, of: object) -> NDArray[np.int64]:
    """(N,) classes of which ``percent`` are right; the same for the same ``of``."""
    rng = np.random.default_rng(int(digest(str(of))[:8], 16))
    wrong = rng.permutation(N)[round(N * percent / 100) :]
    out = LABELS.copy()
    out[wrong] = (out[wrong] + 1 + rng.integers(0, K - 1, len(wrong))) % K
    return out


def measured(classes: NDArray[np.int64]) -> Measured:
    right = classes == LABELS
    low, high = metrics.image_interval(right)
    return Measured(value=round(100 * float(right.mean()), 4), n=N, low=round(low, 4), high=round(high, 4))


def of(entries: Iterable[Entry], lock: str, attack: str, seed: int | None = None) -> list[Entry]:
    return [
        (value, arrays)
        for value, arrays in entries
        if (value["cell"]["lock"]["name"], value["cell"]["attack"]["name"]) == (lock, attack)
        and seed in (None, value["cell"]["replicate"])
    ]


def main(entries: Iterable[Entry], seed: int = 0) -> Entry:
    """The lock under the attack."""
    return of(entries, "modellock", "logit-surgery", seed)[0]


def cells(seeds: str = str(SEEDS), attacks: tuple[str, ...] = ("logit-surgery",)) -> list[Cell]:
    names = {"locks": ["modellock"], "attacks": list(attacks), "tasks": ["digits"], "models": ["cnn"]}
    lines = request.lines_of(names, seeds, None, ["lock.key=blockwise"])
    return [item.cell for item in plan.build(lines)]


def record_of(cell: Cell, settings: Settings = Settings()) -> tuple[Record, dict[str, NDArray[Any]]]:  # noqa: B008
    own = identity.of(cell, settings)
    parents = {name: hash for name, hash in own.hashes.items() if name != "record"}
    oracle = answers(85, parents["victim"])
    lp = oracle if cell.lock.name == "none" else answers(LP[cell.lock.name], parents["judged"])
    up = answers(90, (parents["judged"], "UP"))
    shown = {"oracle": oracle, "victim_authorised": oracle, "UP": up, "LP": lp, "UP_shipped": up, "LP_shipped": lp}
    if cell.lock.purpose == "must-open":
        shown["RP"] = oracle
    elif cell.attack.purpose == "no-attack":
        shown["RP"] = lp
    else:
        name = cell.attack.name if cell.attack.purpose else cell.lock.name
        shown["RP"] = answers(RP[name], own.record)
    key = BlockwiseKey("shuffle", 4, "ab" * 32)
    conditions = [("right", "", up), ("none", "", lp)]
    if cell.has_conditions:
        tried = key.conditions(draw_seeds.of_conditions(digest(key.to_json())))
        conditions += [(c.kind, c.label, answers(15, (parents["judged"], c.label))) for c in tried if c.kind != "none"]
    low = red_flags.below_floor(measured(lp), 100 / K)
    record = Record(
        cell=cell,
        flags=[] if low is None else [low],
        row_key=cell.row_key(),
        split=cell.split,
        floor=round(100 / K, 4),
        conditions=[
            Condition(kind=kind, label=label, what=kind, accuracy=measured(x))  # type: ignore[arg-type]
            for kind, label, x in conditions
        ],
        RP_validation=measured(shown["RP"]),
        key=key.to_json(),
        meter={"steps": 1},
        curve=[CurvePoint(meter={"steps": 1}, RP=measured(shown["RP"]).value, n=N)],
        provenance=Provenance(
            hash=own.record,
            parents=parents,
            inputs=own.inputs,
            seeds=own.seeds,
            versions=identity.versions(),
            machine="x86_64 cpu",
            threads=settings.threads,
            created="2026-01-01T00:00:00.000+00:00",
        ),
        **{name: measured(classes) for name, classes in shown.items()},
    )
    evidence = {f"pred/{name}": classes for name, classes in {**shown, "RP_validation": shown["RP"]}.items()}
    evidence |= {f"pred/condition/{condition_name(kind, label)}": x for kind, label, x in conditions}
    indices = {"test_index": np.arange(N), "validation_index": np.arange(N, 2 * N)}
    return record, {**evidence, **indices, "test_labels": LABELS, "validation_labels": LABELS}


def main_record() -> tuple[Record, dict[str, NDArray[Any]]]:
    """The lock under the attack, seed 0."""
    return record_of(next(c for c in cells("1") if c.lock.name == "modellock" and not c.attack.purpose))


def written(file: Path, seeds: str = str(SEEDS), settings: Settings = Settings()) -> Path:  # noqa: B008
    """An archive with its card."""
    store = Store(file.with_suffix(".store"))
    for cell in cells(seeds):
        store.put(*record_of(cell, settings))
    archive.export(store, file)
    file.with_suffix(".toml").write_text(CARD)
    return file


def members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def zipped(file: Path, contents: dict[str, bytes], honest: bool = True) -> None:
    """``file`` with these members; ``honest`` makes the manifest agree with them."""
    manifest = json.loads(contents["manifest.json"])
    others = {name: content for name, content in contents.items() if name != "manifest.json"}
    if honest:
        sums = {n: {"sha256": hashlib.sha256(c).hexdigest(), "bytes": len(c)} for n, c in others.items()}
        manifest["files"] = sums
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in {**others, "manifest.json": json.dumps(manifest).encode()}.items():
            new.writestr(name, content)
    file.write_bytes(out.getvalue())


def rewritten(file: Path, change: Callable[[list[Entry]], list[Entry] | None]) -> None:
    """``file`` with other records: ``change`` alters the list or gives another; every checksum is made anew."""
    old = members(file)
    hashes = sorted({name.split("/")[1] for name in old if name.startswith("records/")})
    entries: list[Entry] = [
        (json.loads(old[f"records/{h}/record.json"]), load(old[f"records/{h}/evidence.safetensors"])) for h in hashes
    ]
    entries = change(entries) or entries
    new = {"manifest.json": old["manifest.json"]}
    for value, arrays in entries:
        place = f"records/{value['provenance']['hash']}"
        new[f"{place}/record.json"] = json.dumps(value).encode()
        new[f"{place}/evidence.safetensors"] = save(arrays)
    zipped(file, new)


def rehash(value: dict[str, Any]) -> None:
    """Make the hashes of a record those of its inputs."""
    own = value["provenance"]
    hashes: dict[str, str] = {}
    for name in STAGES:
        stage = own["inputs"][name]
        if "parents" in stage:
            stage["parents"] = {parent: hashes[parent] for parent in stage["parents"]}
        hashes[name] = digest(stage)
    own["hash"], own["parents"] = hashes["record"], {n: h for n, h in hashes.items() if n != "record"}


def rename(value: dict[str, Any]) -> None:
    """Make the row key, and what entered the hash of the row, those of the cell."""
    cell = Cell.model_validate(value["cell"])
    value["row_key"] = cell.row_key()
    value["provenance"]["inputs"]["record"]["row"] = cell.row()
    rehash(value)


def restate(value: dict[str, Any], arrays: dict[str, NDArray[Any]], name: str, classes: NDArray[np.int64]) -> None:
    """Give a record another number, with the evidence for it."""
    arrays[f"pred/{name}"] = classes
    value[name] = measured(classes).model_dump()
    if name == "RP":
        restate(value, arrays, "RP_validation", classes)
        value["curve"][-1]["RP"] = value[name]["value"]
