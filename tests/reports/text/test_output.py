"""Tables and pictures of made-up records: what they say, and that every format says the same."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_records import CURVE, N, baselines, calibration, measured, printed, record, world
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from bench import registry
from bench.errors import UserError
from bench.records import Record
from reports import files
from reports.rows.aggregate import rows
from reports.rows.intervals import IMAGES, T
from reports.rows.statistics import minimal_effect
from reports.text import summary
from reports.text.captions import captions
from reports.text.data import FIELDS, as_object
from reports.text.folding import fold
from reports.text.formatting import number
from reports.text.groups import grouped
from reports.text.latex import tex
from reports.text.markdown_table import escape, markdown_table
from reports.text.tables import render
from reports.write import write


class TestTables:
    table = rows(world((80.04, 61.23), (30.0, 24.0), LP_shipped=measured(4.25)))

    def test_json_fields(self) -> None:
        (first, *_) = json.loads(render(self.table, "json"))
        assert list(first) == [*FIELDS, "intervals", "per_seed", "row_key", "missing", "error", "ensemble", "domain"]
        assert list(FIELDS) == [
            "scenario", "model", "lock", "key", "attack", "threat", "seeds", "UP", "LP", "UP_shipped", "LP_shipped",
            "RP", "victim_authorised", "oracle", "floor", "public_baseline", "recovery", "advantage",
            "authorised_after", "curve", "meter", "half_recovery", "lock_cost", "conditions", "selection",
            "transductive", "flags", "status", "metric",
        ]  # fmt: skip
        assert first["UP_shipped"] is None
        assert first["RP"] == pytest.approx(70.635)
        assert first["intervals"]["RP"][2] == T
        assert first["intervals"]["RP/images"] == [pytest.approx(68.635), pytest.approx(72.635), IMAGES]
        assert first["per_seed"]["RP"] == [80.04, 61.23]
        assert first["per_seed"]["n"] == [N, N]
        assert first["threat"]["budget"] == {"guesses": 64}
        assert first["conditions"][0]["accuracy"] == 88.0

    def test_csv_agrees_with_json(self) -> None:
        objects = json.loads(render(self.table, "json"))
        lines = list(csv.DictReader(io.StringIO(render(self.table, "csv"))))
        assert len(lines) == len(objects) == 4
        for line, match in zip(lines, objects, strict=True):
            for name in ("UP", "LP", "LP_shipped", "RP", "oracle", "floor", "public_baseline", "recovery", "advantage"):
                assert line[name] == ("" if match[name] is None else repr(match[name]))
                low, high, kind = match["intervals"].get(name, ("", "", ""))
                assert (line[f"{name}_low"], line[f"{name}_high"], line[f"{name}_kind"]) == (str(low), str(high), kind)
            assert json.loads(line["threat"]) == match["threat"]

    @pytest.mark.parametrize("fmt", ["md", "latex"])
    def test_printed_numbers_agree_with_json(self, fmt: str) -> None:
        text = render(self.table, fmt)
        text = text.replace(r" {\scriptsize", "").replace("{[}", "[").replace("{]}", "]").replace("$-$", "-")
        text = text.replace("]}", "]").replace("---", "—")
        for match in json.loads(render(self.table, "json")):
            lines = ([c.strip() for c in re.split(r"[|&]", line.strip("| "))] for line in text.splitlines())
            cells = next(c for c in lines if c[0] == match["lock"] and c[2:3] == [match["attack"]])
            for name in ("RP", "oracle", "public_baseline", "advantage", "recovery", "LP_shipped"):
                decimals = 2 if name == "recovery" else 1
                words = number(match[name], decimals)
                if name in match["intervals"]:
                    low, high, _ = match["intervals"][name]
                    words += f" [{number(low, decimals)}, {number(high, decimals)}]"
                assert words in cells

    def test_captions_say_where_numbers_come_from(self) -> None:
        text = render(self.table, "md")
        for words in (
            f"n = {N}", "t over seeds", "public baseline (from-scratch, or the floor)", "prompt-search: its own scorer",
            "access: weights", "64 guesses", "permuted-logits (edit) × logit-surgery",
            "destroyed (edit) × prompt-search",
        ):  # fmt: skip
            assert words in text

    def test_the_caption_says_what_the_design_can_tell_apart(self) -> None:
        text_ = " ".join(captions(grouped(rows(world((80.0, 60.0, 70.0), (30.0,) * 3)))[0]))
        effect = minimal_effect(N, 3, 70.0, 10.0)
        assert f"Minimal detectable effect: between two locks with 3 seeds of {N} images, {effect:.1f} points" in text_

    def test_the_caption_says_where_half_is_back(self) -> None:
        text = render(rows(world(curve=CURVE)), "md")
        assert "half of the lost performance is back, modellock (edit) × prompt-search (a): 4 (seed 0)." in text

    def test_a_destroyed_lock_that_opens_discredits_the_table(self) -> None:
        opened = [record("destroyed", replicate=i, RP=60.0 + i) for i in range(2)]
        records = [*world((80.0, 81.0), (30.0, 30.0)), *opened]
        assert "CONTROL FAILED" in render(rows(records), "md")
        assert "CONTROL FAILED" not in render(self.table, "md")

    def test_a_long_error_is_named_by_its_first_line(self) -> None:
        failed = record(RP=None, status="failed", error="ValueError: no prompt\nTraceback\n  File")
        text = render(rows([failed]), "md")
        assert "ValueError: no prompt (and 2 lines more: bench report --format json)" in text

    def test_transductive_rows_are_marked(self) -> None:
        table = rows(world(transductive=True))
        for text in (render(table, "md"), printed(table)):
            assert text.count("†") >= 2
        assert "†" not in render(self.table, "md")

    def test_latex_escapes(self) -> None:
        command = tex("bench run --lock ntl -p key.prompt='charcoal sketch'")
        assert command == r"bench run -{}-lock ntl -p key.prompt=\textquotesingle{}charcoal sketch\textquotesingle{}"
        assert tex("the lock's key") == "the lock's key"
        assert tex("50 % of $x_1 & #2 {a} ~ ^ \\") == (
            r"50 \% of \$x\_1 \& \#2 \{a\} \textasciitilde{} \textasciicircum{} \textbackslash{}"
        )
        text = render(rows([record(lock_explicit={"a_b": "50%&#"}), *calibration(), *baselines(30.0)]), "latex")
        assert r"modellock{[}a\_b=50\%\&\#{]}" in text
        assert r"\toprule" in text
        assert r"\bottomrule" in text
        # An unescaped special would split a row or start a comment.
        body = [line for line in text.splitlines() if line.endswith(r"\\")]
        assert all("%" not in line.replace(r"\%", "") for line in body)

    def test_markdown_rows_keep_their_columns(self) -> None:
        failed = record(replicate=1, lock_explicit={"a": "x|y"}, RP=None, status="failed", error="a | b")
        lines = [x for x in render(rows([*world(), failed]), "md").splitlines() if x.startswith("|")]
        tables: list[set[int]] = []
        for line in lines:
            columns = len(re.findall(r"(?<!\\)\|", line))
            if line.startswith("| lock") or line.startswith("| condition"):
                tables.append(set())
            tables[-1].add(columns)
        assert all(len(columns) == 1 for columns in tables)

    def test_nothing_to_show(self) -> None:
        assert "No records" in render([], "md")
        assert "No records" in render([], "latex")
        assert "No records" in printed([])
        assert json.loads(render([], "json")) == []
        assert render([], "csv").startswith("scenario,model,lock")

    def test_unknown_format(self) -> None:
        with pytest.raises(UserError, match="md, csv, json, latex"):
            render([], "xml")

    def test_no_negative_zero(self) -> None:
        assert number(-0.04) == "0.0"
        assert number(-0.06) == "-0.1"
        assert number(None) == "—"


class TestTerminal:
    def test_fits_100_columns_and_truncates_nothing(self) -> None:
        long = {"decoys": "fixed", "start": "public", "key_choice": "best-on-defender-validation"}
        records = [
            record(replicate=i, RP=100.0 - i, LP=99.0, LP_shipped=measured(100.0), lock_explicit=long) for i in (0, 1)
        ]
        table = rows([*records, *calibration(), *baselines(0.0, 30.0)])
        text = printed(table)
        assert max(map(len, text.splitlines())) <= 100
        assert "…" not in text
        joined = "".join(line[:14].strip() for line in text.splitlines())
        assert "modellock[decoys=fixed,key_choice=best-on-defender-validation,start=public]" in joined
        assert "99.0 | 100.0" in text

    def test_eighty_columns_break_no_word_and_keep_every_interval(self) -> None:
        table = rows([*world((80.0, 80.5), (30.0, 30.0), LP_shipped=measured(4.25)), *calibration()])
        wide, narrow = (" ".join(printed(table, width).split()) for width in (200, 80))
        assert max(map(len, printed(table, 80).splitlines())) <= 80
        for word in ("modellock", "Controls", "permuted-", "search", "destroyed", "control"):
            assert word in narrow
        half_widths = [sorted(re.findall(r"±[0-9.]+", text)) for text in (wide, narrow)]
        assert half_widths[0] == half_widths[1]

    def test_shows_half_widths_and_verdict(self) -> None:
        text = printed(rows(world((80.0, 80.5), (30.0, 30.0))))
        assert "80.2" in text
        assert "±3.2" in text  # tan(0.475 π) · 0.25
        assert "broken" in text
        assert "control" in text

    @pytest.mark.parametrize("text", ["short", "modellock[decoys=uniform]", "a-very-long-name-without-end", "x" * 40])
    def test_fold_keeps_every_character(self, text: str) -> None:
        lines = fold(text, 14).split("\n")
        assert "".join(lines) == text
        assert max(map(len, lines)) <= 14

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("attack.rate=1e-05", "attack.rate=\n 1e-05"),
            ("threat.share=0.01", "threat.share=\n 0.01"),
            ("threat.unlabelled=true", "threat.\n unlabelled=\n true"),
            ("best-on-defender-validation", "best-on-\n defender-\n validation"),
        ],
    )
    def test_fold_breaks_no_number_and_indents_what_goes_on(self, text: str, told: str) -> None:
        assert fold(text, 13, indent=" ") == told

    def test_fold_never_parts_the_hyphens_of_an_option(self) -> None:
        """Pasted, `-- model` would end the options."""
        command = "bench run --lock modellock --attack logit-surgery --task digits --model vit --seeds 0:1"
        for width in range(12, 120):
            assert not [
                line
                for line in fold(command, width, "  ").split("\n")
                if line.rstrip().endswith("-") and not line.rstrip().endswith("logit-")
            ], width

    @example("  [=", 1, 0)
    @given(st.text("ab=.,- [", max_size=80), st.integers(1, 40), st.integers(0, 60))
    def test_fold_ends_at_any_width_and_with_any_indent(self, text: str, width: int, indent: int) -> None:
        lines = fold(text, width, " " * indent).split("\n")
        assert "".join("".join(lines).split()) == "".join(text.split())
        assert max(map(len, lines)) <= width

    @pytest.mark.parametrize("width", [1, 20])
    def test_a_narrow_screen_shows_a_summary(self, width: int) -> None:
        screen = Console(width=width, file=io.StringIO(), record=True, color_system=None)
        screen.print(summary.summary(rows(world((80.0, 80.5), (30.0, 30.0)))))
        assert "80.2" in "".join(screen.export_text().split())


class FakeStore:
    def __init__(self, records: list[Record], samples: bool = True) -> None:
        self._records, self._samples = records, samples

    def records(self) -> list[Record]:
        return self._records

    def evidence(self, record: Record) -> dict[str, np.ndarray]:
        if not self._samples or record.cell.lock.name != "modellock":
            return {}
        pixels = np.zeros((3, 3, 8, 8), dtype=np.uint8)
        labels = np.array([0, 1, 2])
        match = {f"samples/{kind}": pixels for kind in ("raw", "key", "guess")}
        return match | {"samples/labels": labels, "samples/pred_raw": labels, "samples/pred_key": labels[::-1]}


class TestWrite:
    def test_everything_is_written(self, tmp_path: Path) -> None:
        result = write(FakeStore(world(curve=CURVE)), tmp_path, "latex")
        assert [p.name.split("-")[0] for p in result] == ["leaderboard.tex", "conditions", "curve", "samples"]
        assert sorted(result) == sorted(tmp_path.iterdir())
        for path in result[1:]:
            with Image.open(path) as picture:
                assert picture.width > 500
                assert len(picture.convert("L").getcolors() or []) > 10

    def test_an_empty_store(self, tmp_path: Path) -> None:
        (result,) = write(FakeStore([]), tmp_path, "md")
        assert "No records" in result.read_text()

    def test_a_place_that_is_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match="Cannot write"):
            write(FakeStore([]), tmp_path / "file", "md")

    def test_a_failed_write_leaves_the_old_file(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_text("old")

        def half(file: Any) -> None:
            file.write(b"new")
            raise OSError(28, "No space left on device")

        with pytest.raises(UserError, match="No space left"):
            files.atomic(path, half)
        assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_the_fidelity_page_has_every_method_with_its_paper_and_deviations() -> None:
    from reports.tools.fidelity import page

    text = page()
    for kind in ("lock", "key", "attack"):
        for info in registry.INSTALLED.all(kind).values():
            if info.role == "method":
                assert f"`{info.name}`. {info.paper}." in text
                assert all(f"- {deviation}" in text for deviation in info.deviations)


def test_half_recovery_costs_of_every_meter_that_moved() -> None:
    result = [record(replicate=i, curve=CURVE, LP=20.0, oracle=oracle) for i, oracle in ((0, 90.0), (1, 89.0))]
    (row,) = [r for r in rows([*result, *calibration(), *baselines(30.0, 30.0)]) if r.lock_name == "modellock"]
    costs = as_object(row)["half_recovery"]
    assert costs["guesses"] == [4, 2]
    assert costs["edited"][0] == 128
    assert "queries" not in costs


class TestMarkdownTable:
    def test_pipes_are_escaped_once_and_lines_joined(self) -> None:
        text = markdown_table(["a", "b|c"], [["x\ny", 1], [escape("p|q"), "[r]"]], "lr")
        assert text.splitlines() == ["| a | b\\|c |", "| --- | ---: |", "| x y | 1 |", "| p\\|q | [r] |"]

    @pytest.mark.parametrize(("rows", "align"), [([["1"]], ""), ([["1", "2"]], "l")])
    def test_every_line_has_all_columns(self, rows: list[list[str]], align: str) -> None:
        with pytest.raises(ValueError, match="columns"):
            markdown_table(["a", "b"], rows, align)
