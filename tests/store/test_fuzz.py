"""Records, evidence, artefacts and archives of any content: believed and shown, or left out; one sentence at worst.

A few examples each every time, and many where slow tests run.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from safetensors.numpy import load, save

from bench.errors import UserError
from bench.store import Store, archive, health, sums
from bench.store.reading import EVIDENCE, PARTS, RECORD
from reports.rows import aggregate
from reports.text import tables, terminal

MANY = pytest.mark.parametrize("examples", [15, pytest.param(300, marks=pytest.mark.slow)])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(["\x1b[31mred", "\u202egnp", "=1+1", "<b>", "[bold]", "10", "", "9" * 400, "\x00"]),
    st.sampled_from([10**30, -1, 150.0]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def _settings(examples: int) -> settings:
    return settings(max_examples=examples, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Sample:
    """A store with two records, and the files of one of them."""

    root: Path
    folder: Path
    record: bytes
    evidence: bytes

    def write(self, record: bytes, evidence: bytes, with_sums: bool = True) -> None:
        """Replace the record; ``with_sums`` as if it had been written so."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        (self.folder / RECORD).write_bytes(record)
        (self.folder / EVIDENCE).write_bytes(evidence)
        if with_sums:
            sums.write(self.folder)


@pytest.fixture(scope="module")
def sample(real_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    root = tmp_path_factory.mktemp("fuzz") / "s"
    records = Store(real_store, write=False).records()
    chosen = [next(r for r in records if (r.cell.lock.name, r.cell.attack.name) == pair)
              for pair in (("quick-lock", "logit-surgery"), ("quick-lock", "none"))]  # fmt: skip
    Store(root)
    for record in chosen:
        shutil.copytree(real_store / "records" / record.hash, root / "records" / record.hash)
    folder = root / "records" / chosen[0].hash
    return Sample(root, folder, (folder / RECORD).read_bytes(), (folder / EVIDENCE).read_bytes())


def _paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*at, key))


@st.composite
def changed_json(draw: st.DrawFn, content: bytes) -> bytes:
    """``content`` with another value in one to three places, or a field more or less."""
    value = json.loads(content)
    paths = [p for p in _paths(value) if p[:2] != ("provenance", "inputs")]
    for path in draw(st.lists(st.sampled_from(paths), min_size=1, max_size=3)):
        at = value
        try:
            for key in path[:-1]:
                at = at[key]
            match draw(st.integers(0, 5)):
                case 0:
                    del at[path[-1]]
                case 1 if isinstance(at, dict):
                    at[draw(st.text(max_size=8))] = draw(VALUES)
                case _:
                    at[path[-1]] = draw(VALUES)
        except (KeyError, IndexError, TypeError):  # under what another change replaced
            continue
    return json.dumps(value).encode()


@st.composite
def changed_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """``content`` cut, or with bytes replaced, left out or put in; or something else altogether."""
    bad = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(bad)))
        match draw(st.integers(0, 4)):
            case 0:
                del bad[at:]
            case 1:
                del bad[at : at + draw(st.integers(1, 50))]
            case 2:
                bad[at:at] = draw(st.binary(min_size=1, max_size=20))
            case 3:
                bad[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case _:
                bad = bytearray(
                    draw(st.sampled_from([b"", b"{}", b"[]", b"null", bytes(bad).hex().encode(), b"\xff\xfe"]))
                )
    return bytes(bad)


@st.composite
def changed_arrays(draw: st.DrawFn, content: bytes) -> bytes:
    """Evidence with other shapes or types under some of its names."""
    arrays = load(content)
    for name in draw(st.lists(st.sampled_from(sorted(arrays)), min_size=1, max_size=3)):
        shape = draw(st.lists(st.integers(0, 4), max_size=4))
        dtype = draw(st.sampled_from([np.int64, np.uint8, np.float32, np.bool_]))
        arrays[name] = np.ones(shape, dtype)
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def _use(root: Path) -> int:
    """Everything that reads a store, for what it holds; the number of records that are shown."""
    store = Store(root, write=False)
    records = store.records()
    rows = aggregate.rows(records, store.evidence)
    for format in ("csv", "md", "json", "latex"):
        tables.render(rows, format)
    with Path("/dev/null").open("w") as sink:
        Console(file=sink, width=100).print(terminal.terminal(rows))
    health.look(store)
    return len(records)


@MANY
def test_record_files(examples: int, sample: Sample) -> None:
    @_settings(examples)
    @given(st.one_of(changed_json(sample.record), changed_bytes(sample.record)), st.booleans())
    def any_content(record: bytes, with_sums: bool) -> None:
        sample.write(record, sample.evidence, with_sums)
        assert _use(sample.root) in (1, 2)

    any_content()


@MANY
def test_evidence_files(examples: int, sample: Sample) -> None:
    @_settings(examples)
    @given(changed_bytes(sample.evidence))
    def any_content(evidence: bytes) -> None:
        sample.write(sample.record, sample.evidence)
        (sample.folder / EVIDENCE).write_bytes(evidence)
        assert _use(sample.root) == (2 if evidence == sample.evidence else 1)

    any_content()


@MANY
def test_checksum_files(examples: int, sample: Sample) -> None:
    sample.write(sample.record, sample.evidence)
    good = (sample.folder / sums.SUMS).read_bytes()

    @_settings(examples)
    @given(st.one_of(changed_json(good), changed_bytes(good)))
    def any_content(content: bytes) -> None:
        sample.write(sample.record, sample.evidence)
        (sample.folder / sums.SUMS).write_bytes(content)
        assert _use(sample.root) in (1, 2)

    any_content()


@MANY
def test_archives_whose_checksums_match(
    examples: int, sample: Sample, tmp_path: Path, make_archive: Callable[..., Path]
) -> None:
    @_settings(examples)
    @given(
        st.one_of(changed_json(sample.record), st.just(sample.record)),
        st.one_of(changed_arrays(sample.evidence), changed_bytes(sample.evidence), st.just(sample.evidence)),
    )
    def any_content(record: bytes, evidence: bytes) -> None:
        shutil.rmtree(tmp_path / "to", ignore_errors=True)
        file = make_archive(sample.folder.name, record, evidence)
        try:
            added = archive.load(file, Store(tmp_path / "to")).added
        except UserError as error:
            assert error.remedy
            assert Store(tmp_path / "to").records() == []
        else:
            assert _use(tmp_path / "to") == added == 1

    any_content()


@MANY
def test_archives_of_any_bytes(
    examples: int, sample: Sample, tmp_path: Path, make_archive: Callable[..., Path]
) -> None:
    good = make_archive(sample.folder.name, sample.record, sample.evidence).read_bytes()

    @_settings(examples)
    @given(changed_bytes(good))
    def any_content(content: bytes) -> None:
        shutil.rmtree(tmp_path / "to", ignore_errors=True)
        (tmp_path / "x.zip").write_bytes(content)
        try:
            archive.load(tmp_path / "x.zip", Store(tmp_path / "to"))
        except UserError as error:
            assert error.remedy
            assert Store(tmp_path / "to").records() == []

    any_content()


@pytest.fixture
def make_archive(tmp_path: Path) -> Callable[..., Path]:
    """Write one record as an archive whose manifest agrees with it."""

    def make(hash: str, *contents: bytes) -> Path:
        file = tmp_path / "made.zip"
        members = {f"records/{hash}/{part}": content for part, content in zip(PARTS, contents, strict=True)}
        files = {name: sums.Sum.of(content) for name, content in members.items()}
        listed = {name: {"sha256": s.sha256, "bytes": s.size} for name, s in files.items()}
        manifest = {"format": archive.FORMAT, "schema": archive.SCHEMA, "files": listed}
        with zipfile.ZipFile(file, "w") as out:
            for name, content in {**members, archive.MANIFEST: json.dumps(manifest).encode()}.items():
                out.writestr(name, content)
        return file

    return make
