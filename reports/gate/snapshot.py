"""A snapshot of what a store measured: by row key and seed, the numbers and which test images were right.

A baseline is a snapshot of at least `SEEDS` seeds written as small JSON, one line a seed, so that a change of it can be
read in a review. A gate (`reports.gate.rule`) compares two snapshots: the file, and one made of the candidate's store.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import UserError
from bench.hashing import digest
from bench.plan import ensemble
from bench.records import SCHEMA, Record
from reports.rows.aggregate import current, names_of
from reports.rows.controls import purpose_of
from reports.rows.source import Evidence

FORMAT: Literal[1] = 1
SEEDS = 8
"""Seeds a baseline holds at least: the gate's noise is estimated from them."""

NAMES = ("UP", "LP", "RP", "oracle", "victim_authorised")
SPENT = {"steps": "steps", "queries": "queries", "edited": "edited images", "guesses": "guesses"}
"""Of what an attack's meter counts, its budgets, in words: they are the same wherever it runs."""
AUTHORISED = ("UP", "victim_authorised")
"""What is measured on authorised images; the rest is on un-authorised ones."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Seed(_Model):
    """What one replicate of a row measured; accuracies in percent."""

    status: Literal["ok", "failed", "invalid"] = "ok"
    error: str | None = None
    values: dict[str, float] = Field(default_factory=dict)
    validation: float | None = Field(default=None, description="RP on judge-validation images, percent")
    n: dict[str, int] = Field(default_factory=dict, description="judged images by side")
    right: dict[str, str] = Field(
        default_factory=dict, description="by name, a bit a test image in the order of its index, as hex digits"
    )
    images: dict[str, str] = Field(default_factory=dict, description="digests of test index and labels, by side")
    data: str = Field(default="", description="data fingerprint")
    flags: list[str] = Field(default_factory=list)
    spent: dict[str, int] = Field(default_factory=dict, description="what the attack used up, by unit")
    created: str = ""

    def correct(self, name: str) -> NDArray[np.bool_] | None:
        """(n,) whether each test image was right; None without that evidence."""
        return unpack(self.right[name], self.size(name)) if name in self.right else None

    def size(self, name: str) -> int:
        """Images that ``name`` was measured on."""
        return self.n.get(side_of(name), 0)


def side_of(name: str) -> str:
    """``authorised`` or ``test``: which images a number is measured on."""
    return "authorised" if name in AUTHORISED else "test"


class SavedRow(_Model):
    """A row of the plan with all its seeds; ``row`` is what its key is a digest of."""

    row_key: str
    row: dict[str, Any]
    scenario: str
    model: str
    lock: str
    key: str
    attack: str
    lock_name: str
    attack_name: str
    role: str
    settings: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="every parameter of lock, key and attack, defaults too, by plugin"
    )
    seeds: dict[int, Seed]

    @property
    def lock_purpose(self) -> str:
        """What the lock is for, where it is a control."""
        return purpose_of("lock", self.lock_name)

    @property
    def attack_purpose(self) -> str:
        """What the attack is for, where it is a control."""
        return purpose_of("attack", self.attack_name)

    @property
    def lock_group(self) -> str:
        """What rows of the same protected model share."""
        return digest({name: self.row[name] for name in ("scenario", "model", "editor", "lock", "key", "explicit")})

    def words(self) -> str:
        """The row in short."""
        return f"{self.scenario} · {self.model} · {self.lock} × {self.attack} [{self.row_key[:6]}]"


class Snapshot(_Model):
    """The rows of a store."""

    format: Literal[1] = FORMAT
    record_schema: int = SCHEMA
    ensemble: str | None = Field(default=None, description="version of the list that worst cases are saved over")
    suite: str | None = Field(default=None, description="the suite whose rows these are")
    versions: dict[str, str] = Field(default_factory=dict)
    machine: str = ""
    rows: list[SavedRow]

    def seeds(self) -> list[int]:
        """Every replicate of any row."""
        return sorted({seed for row in self.rows for seed in row.seeds})


def pack(right: NDArray[np.bool_]) -> str:
    """(n,) booleans as hex digits, 8 a byte, first image first."""
    return np.packbits(right).tobytes().hex()


def unpack(text: str, n: int) -> NDArray[np.bool_]:
    """The first ``n`` booleans of what `pack` wrote.

    Raises:
        UserError: too few digits, or none.
    """
    try:
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(text), dtype=np.uint8))
    except ValueError:
        bits = np.zeros(0, dtype=np.uint8)
    if not n <= len(bits) < n + 8:
        raise UserError(f"the baseline's bits are not those of {n} images.", "Make it again: bench baseline save.")
    return bits[:n].astype(bool)


def snapshot(
    records: Iterable[Record], evidence: Evidence, only: Collection[str] | None = None, suite: str | None = None
) -> Snapshot:
    """What ``records`` measured on the test split, the newest of each cell and replicate; imported ones are left out.

    Args:
        records: any order.
        evidence: per-image predictions of a record.
        only: row keys to keep; all without it.
        suite: name that is kept with the snapshot.
    """
    own = [r for r in records if r.third_party is None]
    pool = [r for r in current(own) if only is None or r.row_key in only]
    rows: dict[str, SavedRow] = {}
    for record in pool:
        if record.row_key not in rows:
            rows[record.row_key] = _row(record)
        rows[record.row_key].seeds[record.cell.replicate] = _seed(record, evidence)
    newest = max(pool, key=lambda r: r.provenance.created, default=None)
    return Snapshot(
        ensemble=str(ensemble.read().version),
        suite=suite,
        versions=dict(sorted(newest.provenance.versions.items())) if newest else {},
        machine=newest.provenance.machine if newest else "",
        rows=sorted(rows.values(), key=lambda row: (row.scenario, row.model, row.lock, row.attack, row.row_key)),
    )


def _row(record: Record) -> SavedRow:
    names = {name: value for name, value in names_of(record.cell).items() if name in SavedRow.model_fields}
    settings = {kind: getattr(record.cell, kind).params for kind in ("lock", "key", "attack")}
    return SavedRow(row_key=record.row_key, row=record.cell.row(), settings=settings, seeds={}, **names)


def _seed(record: Record, evidence: Evidence) -> Seed:
    if record.status != "ok":
        first = (record.error or "no reason was recorded").splitlines()[0]
        return Seed(status=record.status, error=first, created=record.provenance.created)
    measured = {name: getattr(record, name) for name in NAMES}
    values = {name: m.value for name, m in measured.items() if m is not None}
    if record.cell.attack.purpose == "no-attack":
        values.pop("RP", None)  # nobody attacked: it only repeats LP
    arrays = evidence(record)
    right: dict[str, str] = {}
    images: dict[str, str] = {}
    n = {side_of(name): m.n for name, m in measured.items() if m is not None}
    for side in n:
        index, labels = (_side(arrays, side, part) for part in ("index", "labels"))
        if index is None or labels is None or len(index) != n[side]:
            continue
        order = np.argsort(index, kind="stable")
        split = np.stack([index[order], labels[order]]).astype("<i8")
        images[side] = hashlib.sha256(split.tobytes()).hexdigest()[:20]
        for name in values:
            predicted = arrays.get(f"pred/{name}")
            if side_of(name) != side or predicted is None or predicted.shape != labels.shape:
                continue
            hits = (predicted == labels)[order]
            # Evidence speaks for a number only where it reproduces it.
            if abs(100.0 * hits.mean() - values[name]) < 0.05:
                right[name] = pack(hits)
    return Seed(
        values=values,
        validation=record.RP_validation.value if record.RP_validation is not None and "RP" in values else None,
        n=n,
        right=right,
        images=images,
        data=record.provenance.data_fingerprint,
        flags=sorted({flag.name for flag in record.flags}),
        spent={name: spent for name in SPENT if (spent := (record.meter or {}).get(name))},
        created=record.provenance.created,
    )


def _side(arrays: Mapping[str, NDArray[Any]], side: str, part: str) -> NDArray[Any] | None:
    """Index or labels of a side; a keyed scenario has one set of test images for both."""
    return arrays.get(f"{side}_{part}", arrays.get(f"test_{part}"))


def check_complete(saved: Snapshot, seeds: int = SEEDS) -> None:
    """A baseline's rows must all be there with enough good seeds.

    Raises:
        UserError: no rows, or one has failed, invalid or too few seeds.
    """
    if not saved.rows:
        raise UserError("there is no row to save.", "Run the suite first: bench run --suite ci --seeds 8")
    for row in saved.rows:
        bad = sorted(seed for seed, found in row.seeds.items() if found.status != "ok")
        if bad:
            raise UserError(
                f"{row.words()}: seed {bad[0]} is {row.seeds[bad[0]].status}: {row.seeds[bad[0]].error}.",
                "Run the suite again: failed cells are tried again; then save.",
            )
        if len(row.seeds) < seeds:
            raise UserError(
                f"{row.words()} has {len(row.seeds)} seeds, a baseline holds at least {seeds}.",
                f"Run the suite with --seeds {seeds}, or name the suite to save with --suite.",
            )
    most = max(saved.rows, key=lambda row: len(row.seeds))
    for row in saved.rows:
        if set(row.seeds) != set(most.seeds):
            raise UserError(
                f"{row.words()} has other seeds than {most.words()}.", "Run the suite with the same --seeds for all."
            )


def write(saved: Snapshot, file: Path) -> None:
    """Write a snapshot at once: one line a seed, so that what changed can be read.

    Raises:
        UserError: the place cannot be written.
    """
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(as_text(saved), encoding="utf-8")
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"{file} cannot be written: {error.strerror}.", "Name another file.") from None


def as_text(saved: Snapshot) -> str:
    """The JSON of a snapshot, one line a seed."""
    told = saved.model_dump(mode="json")
    rows = told.pop("rows")
    lines = ["{", *(f" {_json(name)}: {_json(value)}," for name, value in told.items()), ' "rows": [']
    for i, row in enumerate(rows):
        seeds = row.pop("seeds")
        lines.append("  {")
        lines += [f"   {_json(name)}: {_json(value)}," for name, value in row.items()]
        lines.append('   "seeds": {')
        said = [f"    {_json(seed)}: {_json(_short(found))}" for seed, found in seeds.items()]
        lines.append(",\n".join(said))
        lines += ["   }", "  }" + ("," if i + 1 < len(rows) else "")]
    return "\n".join([*lines, " ]", "}", ""])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _short(seed: dict[str, Any]) -> dict[str, Any]:
    """Without what is as by default."""
    usual = Seed().model_dump(mode="json")
    return {name: value for name, value in seed.items() if value != usual[name]}


def read(file: Path) -> Snapshot:
    """A snapshot from its file.

    Raises:
        UserError: no such file, no baseline, or of another format.
    """
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"there is no baseline at {file}.", f"Make one: bench baseline save {file}") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{file} is no baseline: {error}.", f"Make it again: bench baseline save {file}") from None
    if isinstance(told, dict) and told.get("format") not in (None, FORMAT):
        raise UserError(
            f"{file} has baseline format {told['format']}, this version reads {FORMAT}.",
            f"Make it again: bench baseline save {file}",
        )
    try:
        return Snapshot.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{file} is no baseline: {where}: {first['msg']}.", f"Make it again: bench baseline save {file}"
        ) from None
