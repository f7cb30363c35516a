"""A snapshot of what a store measured: by row key and seed, the numbers and which test images were right.

A gate (`reports.gate.rule`) compares two: one from a file with at least `SEEDS` seeds, and one of the store under test.
The file is small JSON, one line a seed, so that a reviewer can read what changed.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench import __version__
from bench.errors import UserError
from bench.hashing import digest
from bench.legible import shortened, visible
from bench.plan import ensemble
from bench.plan.wording import settings_of, unusual_rights, with_key
from bench.records import SCHEMA, Record
from reports.gate import sound, strict_json
from reports.rows.aggregate import current, names_of
from reports.rows.controls import purpose_of
from reports.rows.source import Evidence

FORMAT: Literal[1] = 1
CHECKSUM = "checksum"
"""Digest of the rest of a file; files of older versions have none."""
SEEDS = 8
"""Seeds that a file has at least: the gate estimates its noise from them."""

LATER = ("UP_shipped", "LP_shipped", "wrong_key")
"""Numbers that files of older versions lack: then nothing is said of them."""
NAMES = ("UP", "LP", "RP", "oracle", "victim_authorised", *LATER)
"""Numbers of a seed. ``wrong_key`` is the highest accuracy under a near or wrong key."""
SPENT = {"steps": "steps", "queries": "queries", "edited": "edited images", "guesses": "guesses"}
"""Meters of an attack that are the same wherever it runs, and their units in words."""
AUTHORISED = ("UP", "victim_authorised", "UP_shipped")
"""What is measured on authorised images; the rest is on unauthorised ones."""


Percent = Annotated[float, Field(strict=True, ge=0, le=100, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=0)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Seed(_Model):
    """One replicate of a row; accuracies in percent."""

    status: Literal["ok", "failed", "invalid"] = "ok"
    error: str | None = None
    values: dict[str, Percent] = Field(default_factory=dict)
    validation: Percent | None = Field(default=None, description="RP on judge-validation images, percent")
    n: dict[str, Count] = Field(default_factory=dict, description="judged images by side")
    right: dict[str, str] = Field(
        default_factory=dict, description="by name, a bit a test image in the order of its index, as hex digits"
    )
    images: dict[str, str] = Field(default_factory=dict, description="digests of test index and labels, by side")
    data: str = Field(default="", description="data fingerprint")
    flags: list[str] = Field(default_factory=list)
    spent: dict[str, Count] = Field(default_factory=dict, description="what the attack used up, by unit")
    keys: dict[str, Count] = Field(default_factory=dict, description="how many keys of each kind were tried")
    created: str = ""

    @field_validator("values", "right", "spent")
    @classmethod
    def _known_names(cls, value: dict[str, Any], info: Any) -> dict[str, Any]:
        known = SPENT if info.field_name == "spent" else NAMES
        unknown = [name for name in value if name not in known]
        if unknown:
            raise ValueError(f"no number is called {visible(unknown[0])!r}")
        return value

    def correct(self, name: str) -> NDArray[np.bool_] | None:
        """(n,) whether each test image was right; None without that evidence."""
        return unpack(self.right[name], self.size(name)) if name in self.right else None

    def has_bits(self, name: str) -> bool:
        """Whether the evidence of ``name`` is of as many images as it was measured on."""
        try:
            return self.correct(name) is not None
        except UserError:
            return False

    def size(self, name: str) -> int:
        """Images that ``name`` was measured on."""
        return self.n.get(side_of(name), 0)


def side_of(name: str) -> str:
    """``authorised`` or ``test``: which images a number is measured on."""
    return "authorised" if name in AUTHORISED else "test"


class SnapshotRow(_Model):
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
    purposes: dict[str, str] = Field(
        default_factory=dict,
        description="what lock and attack are for, where a control; files of older versions lack it",
    )
    settings: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="every parameter of lock, key and attack, defaults too, by plugin"
    )
    seeds: dict[int, Seed]

    @field_validator("row")
    @classmethod
    def _complete(cls, row: dict[str, Any]) -> dict[str, Any]:
        wanted: dict[str, type] = {"scenario": str, "model": str, "editor": str, "threat": dict, "budget": dict}
        for name, kind in {**wanted, "explicit": dict}.items():
            if not isinstance(row.get(name), kind):
                raise ValueError(f"{name} is missing or of the wrong type")
        for name in ("lock", "key", "attack"):
            match row.get(name):
                case [str(), dict()]:
                    pass
                case _:
                    raise ValueError(f"{name} is no name with settings")
        return row

    @field_validator("seeds", mode="before")
    @classmethod
    def _numbered(cls, seeds: Any) -> Any:
        for number in seeds if isinstance(seeds, dict) else ():
            if str(number) != (f"{int(number)}" if str(number).isdecimal() and len(str(number)) < 16 else ""):
                raise ValueError(f"{shortened(visible(str(number)), 20)!r} is no seed")
        return seeds

    @property
    def lock_purpose(self) -> str:
        """What the lock is for, where it is a control."""
        return self._purpose("lock", self.lock_name)

    @property
    def attack_purpose(self) -> str:
        """What the attack is for, where it is a control."""
        return self._purpose("attack", self.attack_name)

    def _purpose(self, kind: str, name: str) -> str:
        return self.purposes[kind] if kind in self.purposes else purpose_of(kind, name)

    @property
    def lock_group(self) -> str:
        """What rows of the same protected model share."""
        return digest({name: self.row[name] for name in ("scenario", "model", "editor", "lock", "key", "explicit")})

    def words(self) -> str:
        """The row in short, with its key and what was set of it: two rows never read alike."""
        rights = settings_of(unusual_rights(self.row.get("threat", {}), self.row.get("budget", {})))
        under = f" ({', '.join(rights)})" if rights else ""
        lock = with_key(self.lock, self.key)
        return visible(f"{self.scenario} · {self.model} · {lock} × {self.attack}{under} [{self.row_key[:6]}]")


class Snapshot(_Model):
    """The rows of a store."""

    format: Literal[1] = FORMAT
    record_schema: int = SCHEMA
    ensemble: str | None = Field(default=None, description="the ensemble's version at the time; no row needs it")
    suite: str | None = Field(default=None, description="the suite whose rows these are")
    versions: dict[str, str] = Field(default_factory=dict, description="of libraries; several where seeds differ")
    machine: str = ""
    threads: Count = Field(default=0, description="of the workers; 0 where unknown, or where seeds differ")
    precision: str = Field(default="", description="of training steps; several where seeds differ")
    lockbench: str = Field(default="", description="version that made the snapshot")
    sealed: bool = Field(default=True, exclude=True, description="whether the file it came from had a checksum")
    rows: list[SnapshotRow]

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
        raise UserError(f"the snapshot's bits are not those of {n} images.", "Make it again: bench baseline save.")
    return bits[:n].astype(bool)


def snapshot(
    records: Iterable[Record], evidence: Evidence, only: Collection[str] | None = None, suite: str | None = None
) -> Snapshot:
    """A snapshot of ``records`` on the test split: the newest of each cell and replicate, without imported ones.

    Args:
        records: any order.
        evidence: per-image predictions of a record.
        only: row keys; all without it.
        suite: the suite whose rows these are.
    """
    own = [r for r in records if r.third_party is None]
    pool = [r for r in current(own) if only is None or r.row_key in only]
    rows: dict[str, SnapshotRow] = {}
    for record in pool:
        if record.row_key not in rows:
            rows[record.row_key] = _row(record)
        rows[record.row_key].seeds[record.cell.replicate] = _seed(record, evidence)
    threads = {r.provenance.threads for r in pool}
    names = sorted({name for r in pool for name in r.provenance.versions})
    return Snapshot(
        ensemble=str(ensemble.read().version),
        suite=suite,
        versions={name: _each(r.provenance.versions.get(name, "") for r in pool) for name in names},
        machine=_each(r.provenance.machine for r in pool),
        threads=threads.pop() if len(threads) == 1 else 0,
        precision=_each(r.provenance.dtype for r in pool),
        lockbench=__version__,
        rows=sorted(rows.values(), key=lambda row: (row.scenario, row.model, row.lock, row.attack, row.row_key)),
    )


def _each(words: Iterable[str]) -> str:
    """Every word once: ``2.15``, or ``2.14, 2.15`` where records differ."""
    return ", ".join(sorted(set(words) - {""}))


def _row(record: Record) -> SnapshotRow:
    names = {name: value for name, value in names_of(record.cell).items() if name in SnapshotRow.model_fields}
    settings = {kind: getattr(record.cell, kind).params for kind in ("lock", "key", "attack")}
    purposes = {kind: getattr(record.cell, kind).purpose for kind in ("lock", "attack")}
    row = record.cell.row()
    return SnapshotRow(row_key=record.row_key, row=row, settings=settings, purposes=purposes, seeds={}, **names)


def _seed(record: Record, evidence: Evidence) -> Seed:
    if record.status != "ok":
        flagged = ", ".join(f"{flag.name}: {flag.detail}" for flag in record.flags)
        first = shortened(
            visible((record.error or flagged or "no reason was recorded").strip().partition("\n")[0]), 500
        )
        flags = sorted({flag.name for flag in record.flags})
        return Seed(status=record.status, error=first, flags=flags, created=record.provenance.created)
    measured = {name: getattr(record, name) for name in NAMES if name not in LATER}
    values = {name: m.value for name, m in measured.items() if m is not None}
    if record.cell.attack.purpose == "no-attack":
        values.pop("RP", None)  # nobody attacked: it only repeats LP
    arrays = evidence(record)
    right: dict[str, str] = {}
    images: dict[str, str] = {}
    n = {side_of(name): m.n for name, m in measured.items() if m is not None}
    for side in n:
        index, labels = (_side(arrays, side, part) for part in ("index", "labels"))
        if index is None or len(index) != n[side]:
            continue
        order = np.argsort(index, kind="stable")
        if labels is None:  # masks are not kept: their fingerprint is `data`
            images[side] = hashlib.sha256(index[order].astype("<i8").tobytes()).hexdigest()[:20]
            continue
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
        values=values | _later(record),
        validation=record.RP_validation.value if record.RP_validation is not None and "RP" in values else None,
        n=n,
        right=right,
        images=images,
        data=record.provenance.data_fingerprint,
        flags=sorted({flag.name for flag in record.flags}),
        spent={name: spent for name in SPENT if (spent := (record.meter or {}).get(name))},
        keys=dict(sorted(Counter(c.kind for c in record.conditions).items())),
        created=record.provenance.created,
    )


def _later(record: Record) -> dict[str, float]:
    """The numbers of `LATER`; they have no evidence in a snapshot."""
    wrong = [c.accuracy for c in record.conditions if c.kind in ("near", "wrong")]
    found = (record.UP_shipped, record.LP_shipped, max(wrong, key=lambda accuracy: accuracy.value, default=None))
    return {name: m.value for name, m in zip(LATER, found, strict=True) if m is not None}


def _side(arrays: Mapping[str, NDArray[Any]], side: str, part: str) -> NDArray[Any] | None:
    """Index or labels of a side; a keyed scenario has one set of test images for both."""
    return arrays.get(f"{side}_{part}", arrays.get(f"test_{part}"))


def check_complete(snapshot: Snapshot, seeds: int = SEEDS, remake: str = "bench run --suite ci --seeds 8") -> None:
    """Pass where every row has the same seeds, enough of them, and all are ok and whole.

    Args:
        snapshot: what was measured.
        seeds: that a row needs.
        remake: the command that makes the rows.

    Raises:
        UserError: no rows, or one has failed, invalid, distrusted or too few seeds, or lacks a number.
    """
    if not snapshot.rows:
        raise UserError("there is no row to save.", f"Run the suite first: {remake}")
    for row in snapshot.rows:
        bad = sorted(number for number, seed in row.seeds.items() if seed.status != "ok")
        if bad:
            raise UserError(
                f"{row.words()}: seed {bad[0]} is {row.seeds[bad[0]].status}: {row.seeds[bad[0]].error}.",
                f"Mend it and run again ({remake}): failed cells are tried again; then save.",
            )
        for number, flag in sound.distrusted(row).items():
            raise UserError(
                f"{row.words()}: seed {number} has the flag {flag}, so its numbers mean nothing.",
                f"Mend it (docs/reference/flags.md#{flag}) and run again: {remake}",
            )
        if len(row.seeds) < seeds:
            raise UserError(
                f"{row.words()} has {len(row.seeds)} seeds, a snapshot has at least {seeds}.",
                f"Run more ({remake}), or name the suite to save with --suite.",
            )
        if names := sound.lost(row):
            raise UserError(f"{row.words()} lacks {', '.join(names)} for some seed.", f"Run it again: {remake}")
    if words := sound.uneven(snapshot.rows):
        raise UserError(f"{words}.", "Run the suite with the same --seeds for all.")


def write(snapshot: Snapshot, file: Path) -> None:
    """Write a snapshot at once: one line a seed, so that what changed can be read.

    Raises:
        UserError: the place cannot be written.
    """
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(as_text(snapshot), encoding="utf-8")
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"{file} cannot be written: {error.strerror}.", "Name another file.") from None


def as_text(snapshot: Snapshot) -> str:
    """The JSON of a snapshot, one line a seed, with a checksum of all that it says."""
    head = snapshot.model_dump(mode="json")
    rows = head.pop("rows")
    short = [row | {"seeds": {n: _short(seed) for n, seed in row["seeds"].items()}} for row in rows]
    head[CHECKSUM] = digest({**head, "rows": short})
    lines = ["{", *(f" {_json(name)}: {_json(value)}," for name, value in head.items()), ' "rows": [']
    for i, row in enumerate(rows):
        seeds = row.pop("seeds")
        lines.append("  {")
        lines += [f"   {_json(name)}: {_json(value)}," for name, value in row.items()]
        lines.append('   "seeds": {')
        lines.append(",\n".join(f"    {_json(number)}: {_json(_short(seed))}" for number, seed in seeds.items()))
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
        UserError: no such file, no snapshot, of another format, or one that contradicts itself.
    """
    name, again = strict_json.shown(str(file)), f"Make it again: bench baseline save {strict_json.shown(str(file))}"
    try:
        payload = strict_json.load(file)
    except FileNotFoundError:
        raise UserError(f"there is no snapshot at {name}.", f"Make one: bench baseline save {name}") from None
    except ValueError as error:
        raise UserError(f"{name} is no snapshot: {error}.", again) from None
    if isinstance(payload, dict) and payload.get("format") not in (None, FORMAT):
        version = shortened(visible(str(payload["format"])), 20)
        raise UserError(f"{name} has snapshot format {version}, this version reads {FORMAT}.", again)
    checksum = payload.pop(CHECKSUM, None) if isinstance(payload, dict) else None
    try:
        snapshot = Snapshot.model_validate(payload)
        snapshot.sealed = checksum is not None
        if checksum is not None and checksum != digest(payload):
            raise ValueError("it is not as it was written: its checksum is another")
        problem = next(sound.contradictions(snapshot.rows), "")
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = strict_json.shown(".".join(map(str, first["loc"])))
        problem = f"{where}: {strict_json.shown(first['msg'])}" if where else strict_json.shown(first["msg"])
    except (TypeError, ValueError) as error:  # settings that are no JSON of ours
        problem = strict_json.shown(str(error))
    if problem:
        raise UserError(f"{name} is no snapshot: {problem}.", again)
    return snapshot
