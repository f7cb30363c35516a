"""Cells that differ in one field never read alike: not in a line, a table, a file, the status or the gate."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from example_records import record, ref
from hypothesis import given
from hypothesis import strategies as st

from bench import plan, registry
from bench.legible import quoted, shortened, visible
from bench.plan.wording import in_short, value_text
from bench.records import Cell, Record
from bench.store import Store
from bench.threat import Budget, ThreatModel
from reports.gate.snapshot import snapshot
from reports.rows.aggregate import rows
from reports.text import terminal
from reports.text.formatting import threat_words
from reports.text.groups import grouped, title
from reports.text.tables import render

Bench = Callable[..., Any]


def _threats() -> list[dict[str, Any]]:
    """Each field of the threat model with another value."""
    return [
        {"access": "labels"}, {"share": 0.05}, {"share": 0.0500001}, {"unlabelled": False}, {"authorised": 0.01},
        {"leaked": 3}, {"known": "none"}, {"known": "settings+editor"}, {"wordlist": "wide"}, {"listed": False},
        {"language_model": True},
    ]  # fmt: skip


def cells() -> list[Cell]:
    """A cell, and cells that differ from it in exactly one field each."""
    first = record().cell
    changes: list[dict[str, Any]] = [
        {"scenario": "fonts"}, {"scenario": "folder:art:folder:clipart"}, {"model": "cnn"},
        {"task_settings": {"task.size": 64}}, {"lock": ref("lock", "ntl")}, {"key": ref("key", "blockwise")},
        {"attack": ref("attack", "finetune")},
        {"key": ref("key", "edit").model_copy(update={"params": {"editor": "sd-turbo"}})},
    ]  # fmt: skip
    for kind, name in (("lock", "modellock"), ("key", "edit"), ("attack", "prompt-search")):
        values = ({"alpha": 0.5}, {"alpha": 0.50000001}, {"alpha": 1}, {"alpha": None}, {"alpha": True}, {"beta": 0.5})
        texts = ({"a": "1,b=2"}, {"a": "1", "b": 2}, {"a": "x  y"}, {"a": "x y"}, {"a": "x\u202ey"}, {"a": "x" * 500})
        changes += [{kind: ref(kind, name, explicit)} for explicit in (*values, *texts, {"a": "x" * 501})]
    changes += [{"threat": first.threat.replace(**t)} for t in _threats()]
    changes += [{"budget": Budget(**{"guesses": 64, name: 7})} for name in Budget.params]
    assert {name for t in _threats() for name in t} == set(ThreatModel.params), "a new field needs its line here"
    return [first, *(first.model_copy(update=change) for change in changes)]


def _records() -> list[Record]:
    out = []
    for i, cell in enumerate(cells()):
        base = record()
        base.cell = cell
        base.provenance.hash = f"{i:020x}"
        out.append(base.model_copy(update={"row_key": cell.row_key()}))
    return out


RECORDS = _records()


def _differ(texts: list[str]) -> None:
    assert len(texts) == len(RECORDS)
    assert len({text.strip() for text in texts}) == len(texts), [
        t for t in texts if sum(t.strip() == o.strip() for o in texts) > 1
    ]


def test_the_cells_are_as_many_rows() -> None:
    assert len({r.row_key for r in RECORDS}) == len(RECORDS) > 50


def test_in_one_line() -> None:
    _differ([in_short(r.cell) for r in RECORDS])
    assert in_short(RECORDS[0].cell).startswith("digits · vit · modellock (edit) × prompt-search")
    other = RECORDS[0].cell.model_copy(update={"replicate": 1})
    assert in_short(other) != in_short(RECORDS[0].cell)


def test_in_the_gate() -> None:
    saved = snapshot(RECORDS, lambda record: {})
    _differ([row.words().rpartition(" [")[0] for row in saved.rows])  # without the digits of the row key


@pytest.mark.parametrize("fmt", ["csv", "json"])
def test_in_data(fmt: str) -> None:
    text = render(rows(RECORDS), fmt)
    lines = json.loads(text) if fmt == "json" else list(csv.DictReader(io.StringIO(text)))
    names = ("scenario", "model", "lock", "key", "attack", "threat")
    _differ([json.dumps([line[name] for name in names]) for line in lines])


@pytest.mark.parametrize("narrow", [True, False])
def test_in_the_terminal(narrow: bool) -> None:
    names = []
    for group in grouped(rows(RECORDS)):
        for row in group.rows:
            lock, attack, *_ = terminal._cells(group, row, terminal.Letters(ascii=False), narrow)
            names.append(f"{title(group)} {lock.plain} {attack.plain}")
    _differ(names)


@pytest.mark.parametrize("fmt", ["md", "latex"])
def test_in_a_table(fmt: str) -> None:
    """Rows of one table by lock, key, attack and threat model; letters of threat models are told apart below it."""
    group = [r for r in RECORDS if (r.cell.scenario, r.cell.model, r.cell.task_settings) == ("digits", "vit", {})]
    table = rows(group)
    text = render(table, fmt)
    lead = "| " if fmt == "md" else ""
    pattern = r"(?<!\\)\|" if fmt == "md" else r"(?<!\\)&"
    lines = [[c.strip() for c in re.split(pattern, line.removeprefix(lead))[:4]] for line in text.splitlines()]
    shown = [tuple(cells) for cells in lines if len(cells) == 4 and re.fullmatch(r"\([a-z]+\)", cells[3])]
    assert len(set(shown)) == len(shown) == len(group)


def test_in_words_of_threat_models() -> None:
    words = {threat_words({**ThreatModel(**t).values(), "budget": {}}) for t in _threats()}
    assert len(words) == len(_threats())


def test_in_status(bench: Bench, tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    for r in RECORDS:
        store.put(r, {})
    done = bench("status", "--all", "--store", str(tmp_path / "s"), columns=4000)
    lines = [line.split(None, 1)[1] for line in done.stdout.splitlines() if re.match(r"[0-9a-f]{10} ", line)]
    _differ(lines)
    assert any("lock.alpha=0.5," in line for line in lines), "settings are no markup"


def test_an_attack_reads_the_same_where_its_plugin_is_not_known(tmp_path: Path) -> None:
    file = tmp_path / "my_attack.py"
    file.write_text(
        "from bench.contracts import Attack\n\n\nclass MyAttack(Attack):\n"
        '    """Nothing."""\n    defaults = {"threat.share": 0.5}\n\n    def unlock(self, view, run):\n        pass\n'
    )
    registry.use([file])
    cell = plan.make_cell("modellock", "my-attack", "digits", "cnn", {})
    known = in_short(cell)
    registry.use()
    assert in_short(cell) == known
    assert "my-attack [threat.share=0.5]" in known


@given(st.text(), st.text())
def test_two_texts_are_never_quoted_alike(one: str, other: str) -> None:
    assert (quoted(one) == quoted(other)) is (one == other)
    assert (value_text(one) == value_text(other)) is (one == other)
    assert visible(quoted(one)) == quoted(one)


VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(min_size=1))


@given(VALUES, VALUES)
def test_two_values_never_read_alike(one: Any, other: Any) -> None:
    same = one == other and (isinstance(one, bool) == isinstance(other, bool))
    if not same and "none" not in (one, other) and not _number_as_text(one, other):
        assert value_text(one) != value_text(other)


def _number_as_text(one: Any, other: Any) -> bool:
    """An integer beyond all digits of a float, which no parameter is."""
    numbers = [v for v in (one, other) if isinstance(v, int | float)]
    return len(numbers) == 2 and abs(numbers[0]) > 2**53


def test_what_is_cut_is_told_apart_by_its_digest() -> None:
    texts = ["x" * 300 + end for end in "ab"]
    assert len({shortened(text, 50) for text in texts}) == 2
    assert all(len(shortened(text, 50)) <= 50 for text in texts)
    assert all(a != b for a, b in itertools.pairwise(map(in_short, cells())))
