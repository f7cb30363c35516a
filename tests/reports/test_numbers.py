"""Leaderboard, LaTeX, CSV, JSON and page say what the raw records say: computed here anew, with none of our code.

The numbers are read as JSON from a store's files; nothing of `reports` takes part in what is expected.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from example_records import measured, record

from bench.records import Record
from bench.store import Store
from reports.page import site as html
from reports.rows.aggregate import order, rows
from reports.text.tables import render

SEEDS = 3
FIELDS = ("UP", "LP", "RP", "oracle", "public_baseline", "advantage", "recovery")
Expected = dict[tuple[str, str], dict[str, tuple[float, float, float]]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two locks under two attacks, controls, three seeds; accuracies are counts of 400 images."""
    rng = np.random.default_rng(5)

    def count(low: int, high: int) -> float:
        return round(100 * int(rng.integers(low, high)) / 400, 4)

    records: list[Record] = []
    for seed in range(SEEDS):
        oracle, up = count(350, 380), {lock: count(330, 370) for lock in ("modellock", "ntl")}
        lp = {lock: count(60, 160) for lock in up}
        records.append(record("none", "from-scratch", seed, RP=count(20, 200), oracle=oracle))
        records.append(record("destroyed", "prompt-search", seed, RP=count(30, 50), oracle=oracle, LP=count(30, 50)))
        records.append(record("permuted-logits", "logit-surgery", seed, RP=oracle, oracle=oracle, LP=count(0, 20)))
        for lock in up:
            shown: dict[str, Any] = {"UP": measured(up[lock]), "LP": lp[lock], "oracle": oracle}
            records += [
                record(lock, attack, seed, RP=count(100, 370), **shown) for attack in ("prompt-search", "finetune")
            ]
    store = Store(tmp_path_factory.mktemp("numbers") / "s")
    for i, one in enumerate(records):
        one.provenance.hash = f"{i:020x}"
        store.put(one, {})
    return store


@pytest.fixture(scope="module")
def expected(store: Store) -> Expected:
    """By lock and attack, (mean, low, high) of every field, from the files alone."""
    raw = [json.loads(file.read_text()) for file in (store.root / "records").glob("*/record.json")]
    assert len(raw) == SEEDS * 7
    by: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
    for r in raw:
        by.setdefault((r["cell"]["lock"]["name"], r["cell"]["attack"]["name"]), {})[r["cell"]["replicate"]] = r
    out: Expected = {}
    for at, of_seed in by.items():
        series: dict[str, list[float]] = {}
        for seed in range(SEEDS):
            r, floor = of_seed[seed], of_seed[seed]["floor"]
            value = {name: r[name]["value"] for name in ("UP", "LP", "RP", "oracle")}
            value["public_baseline"] = max(by["none", "from-scratch"][seed]["RP"]["value"], floor)
            value["advantage"] = value["RP"] - value["public_baseline"]
            least = max(value["LP"], floor)
            value["recovery"] = (value["RP"] - least) / (value["oracle"] - least)
            for name, x in value.items():
                series.setdefault(name, []).append(x)
        out[at] = {}
        for name, x in series.items():
            mean, error = float(np.mean(x)), float(np.std(x, ddof=1) / np.sqrt(SEEDS))
            low, high = scipy.stats.t.interval(0.95, SEEDS - 1, loc=mean, scale=error) if error else (mean, mean)
            out[at][name] = mean, float(low), float(high)
    return out


def _printed(values: tuple[float, float, float], field: str, sign: str) -> list[str]:
    places = 2 if field == "recovery" else 1
    return [f"{x:.{places}f}".replace("-", sign) for x in values]


def _numbers(text: str) -> list[str]:
    return re.findall(r"[-−]?\d+\.\d+", text)


def _line(text: str, at: tuple[str, str], separator: str) -> list[str]:
    """The cells of the one line of ``text`` about a lock and an attack, those of the first table alone."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip(" |\\").split(separator)]
        if cells[0] == at[0] and len(cells) > 8 and cells[2].startswith(at[1]):
            return cells
    raise AssertionError(f"no line of {at}")


FORMATS: dict[str, Callable[[str], str]] = {"md": lambda text: text, "latex": lambda text: text.replace("$-$", "−")}


@pytest.mark.parametrize("fmt", FORMATS)
def test_printed_tables(fmt: str, store: Store, expected: Expected) -> None:
    text = FORMATS[fmt](render(order(rows(store.records(), store.evidence)), fmt))
    for at in (
        ("modellock", "prompt-search"),
        ("modellock", "finetune"),
        ("ntl", "finetune"),
        ("ntl", "prompt-search"),
    ):
        cells = _line(text, at, "|" if fmt == "md" else " & ")
        printed = {tuple(_numbers(cell)) for cell in cells}
        sign = "−" if fmt == "latex" else "-"
        for field in FIELDS:
            assert tuple(_printed(expected[at][field], field, sign)) in printed, (at, field)


def test_json_and_csv(store: Store, expected: Expected) -> None:
    table = order(rows(store.records(), store.evidence))
    seen = 0
    lines = list(csv.DictReader(io.StringIO(render(table, "csv"))))
    for shown, line in zip(json.loads(render(table, "json")), lines, strict=True):
        at = shown["lock"], shown["attack"]
        if at not in expected or shown["lock"] not in ("modellock", "ntl"):
            continue
        for field in FIELDS:
            mean, low, high = expected[at][field]
            assert shown[field] == pytest.approx(mean)
            assert shown["intervals"][field][:2] == pytest.approx([low, high])
            from_csv = [float(line[name]) for name in (field, f"{field}_low", f"{field}_high")]
            assert from_csv == pytest.approx([mean, low, high])
            seen += 1
    assert seen == 4 * len(FIELDS)


def test_the_page(store: Store, expected: Expected, tmp_path: Path) -> None:
    text = html.write(store, tmp_path / "page").read_text(encoding="utf-8")
    keys = {
        (r["cell"]["lock"]["name"], r["cell"]["attack"]["name"]): r["row_key"]
        for r in (json.loads(file.read_text()) for file in (store.root / "records").glob("*/record.json"))
    }
    for at in (
        ("modellock", "prompt-search"),
        ("modellock", "finetune"),
        ("ntl", "finetune"),
        ("ntl", "prompt-search"),
    ):
        (row,) = re.findall(rf'<tr[^>]*data-row="row-{keys[at][:12]}".*?</tr>', text, flags=re.DOTALL)
        for field in FIELDS:
            (cell,) = re.findall(rf'<td[^>]*data-field="{field}"[^>]*>(.*?)</td>', row, flags=re.DOTALL)
            shown = re.sub(r"<[^>]*>", " ", cell)
            assert _numbers(shown) == _printed(expected[at][field], field, "−"), (at, field)
