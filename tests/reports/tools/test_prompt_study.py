"""The prompt study: ρ against closed forms, prompts from made-up records, sizes as CSV."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from example_records import exactly, record

from bench.records import Record
from reports.page import prompt_scatter
from reports.tools import edit_sizes, measured
from reports.tools.edit_sizes import EditSize
from reports.tools.prompt_study import advice, concept_of, correlations, groups, markdown, prompts, spearman

NAMES = ("oil pastel", "monet", "dali", "highlights", "zebra", "church", "abacus", "cheetah", "mailbox", "acrylic")


def _record(concept: str, up: float, lp: float, replicate: int = 0, **key: str) -> Record:
    one = record(attack="none", replicate=replicate, RP=None, LP=lp, UP=exactly(up), created=concept)
    one.cell.key.explicit = {"prompt": f"with {concept}", "key_choice": "fixed", **key}
    one.row_key = one.cell.row_key()
    return one


def _size(concept: str, whole: float, cosine: float) -> EditSize:
    return EditSize("digits", edit_sizes.group_of(concept), concept, whole, None, whole + 1, cosine, -cosine)


RECORDS = [_record(name, 90 + i, 10.0 * i) for i, name in enumerate(NAMES)]
SIZES = [_size(name, 20.0 + i, i / 10) for i, name in enumerate(NAMES)]


def test_rho_is_one_for_what_rises_together_and_minus_one_for_what_falls() -> None:
    assert spearman([1, 2, 3, 4, 9], [1, 4, 9, 16, 17]) == pytest.approx((1, 1, 1))
    assert spearman([1, 2, 3, 4, 9], [5, 4, 3, 2, 1]) == pytest.approx((-1, -1, -1))


def test_rho_of_a_few_ranks_by_hand() -> None:
    """1 - 6 Σd² / (n (n² - 1)): d = 1, 1, 1, 1, 0, so ρ = 1 - 24 / 120; ties count with their mean rank."""
    rho, low, high = spearman([1, 2, 3, 4, 5], [2, 1, 4, 3, 5])
    assert rho == pytest.approx(0.8)
    assert low < rho <= high
    assert spearman([1, 1, 2, 2], [1, 2, 3, 4])[0] == pytest.approx(4 / 20**0.5)


def test_a_bootstrap_is_the_same_each_time_and_narrower_with_more_prompts() -> None:
    x = list(range(12))
    y = [(7 * i) % 12 for i in x]
    assert spearman(x, y) == spearman(x, y)
    widths = [high - low for _, low, high in (spearman(x, y), spearman(x * 8, y * 8))]
    assert widths[1] < widths[0] / 2


def test_a_prompt_counts_with_its_mean_over_seeds_beside_print() -> None:
    again = [_record("zebra", 80, 20, replicate=1), _record("zebra", 99, 99, alpha="0.3")]
    found = {p.concept: p for p in prompts([*RECORDS, *again], SIZES)}
    assert list(found) == sorted(NAMES, key=list(edit_sizes.vocabulary.CONCEPTS).index)
    zebra = found["zebra"]
    assert (zebra.seeds, zebra.UP, zebra.LP, zebra.group) == (2, 87, 30, "object")
    assert (zebra.printed_UP, zebra.printed_LP) == (82.9, 10.8)
    assert found["oil pastel"].printed_LP is None
    assert zebra.size == SIZES[4]


def test_only_fixed_prompts_of_the_vocabulary_at_usual_settings_count() -> None:
    assert concept_of(RECORDS[0], "modellock") == "oil pastel"
    assert concept_of(RECORDS[0], "ntl") is None
    assert concept_of(_record("rain", 1, 1), "modellock") is None
    assert concept_of(record(), "modellock") is None
    set_otherwise = _record("zebra", 1, 1)
    set_otherwise.cell.lock.explicit = {"decoys": "none"}
    assert concept_of(set_otherwise, "modellock") is None


def test_correlations_have_the_sign_that_their_columns_say() -> None:
    """LP rises from prompt to prompt, the PSNR too: so LP falls with the size of the edit."""
    found = {(c.over, c.y, c.x): c for c in correlations(prompts(RECORDS, SIZES))}
    assert found["all", "LP", "size of the edit"].rho == -1
    assert found["all", "LP", "CLIP, images"].rho == 1
    assert found["all", "LP", "CLIP, class names"].rho == -1
    assert found["styles and objects", "UP", "size outside"].n == 9
    assert ("all", "LP", "size inside") not in found, "without masks there is none"
    assert found["all", "LP", "printed LP"].n == 9
    assert not correlations(prompts(RECORDS[:5], SIZES))


def test_tables_have_each_prompt_and_group() -> None:
    found = prompts(RECORDS, SIZES)
    assert [(g["group"], g["prompts"]) for g in groups(found)] == [
        ("style", 4), ("photo adjustment", 1), ("object", 5),
    ]  # fmt: skip
    text = markdown(found, SIZES)
    assert "| digits | style | 4 | 23.0 | — | 24.0 |" in text, "20, 21, 22 and 29 dB"
    assert (
        "| digits, vit | object | zebra | 1 | 94.0 | 40.0 | 91.0 | 82.9 | 10.8 | 24.0 | — | 25.0 | 0.40 | -0.40 |"
        in text
    )
    assert "| digits, vit | photo adjustment | 1 | 93.0 | 30.0 | 91.4 | 68.9 | 23.0 | — | 24.0 |" in text


def test_advice_names_what_goes_with_the_lock_beyond_chance() -> None:
    lines = advice(prompts(RECORDS, SIZES))
    assert lines[0] == (
        "digits, vit: mean LP of styles 30 (UP 93), photo adjustments 30 (UP 93), objects 60 (UP 96); "
        "10 prompts, seeds: 1"
    )
    rho = "Spearman's ρ -1.00 [-1.00, -1.00] over 9 styles and objects"
    assert f"digits, vit: LP falls with size of the edit: {rho}" in lines
    level = [_record(name, 90, 10.0 * (i % 2)) for i, name in enumerate(NAMES)]
    assert len(advice(prompts(level, SIZES))) == 1, "what may be chance is no advice"


def test_what_is_kept_of_a_plugin_is_shown(
    bench: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(measured, "FOLDER", tmp_path)
    (tmp_path / "patch.json").write_text(measured.write(["LP of [b]patches[/] 12"], "docs/x.md"), encoding="utf-8")
    assert measured.of_plugin("patch") == ["LP of [b]patches[/] 12", "commands and all numbers: docs/x.md"]
    assert measured.of_plugin("blockwise") == []
    shown = bench("show", "patch").stdout
    assert "measured: LP of [b]patches[/] 12" in shown


def test_sizes_come_back_from_their_file() -> None:
    assert edit_sizes.read(edit_sizes.text(SIZES)) == SIZES


def test_the_scatter_is_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_scatter, "PANELS", (("printed LP", "LP"), ("size inside", "LP")))
    file = prompt_scatter.draw(prompts(RECORDS, SIZES), tmp_path / "scatter.png")
    assert file.read_bytes().startswith(b"\x89PNG")


def test_names_in_a_scatter_do_not_lie_on_one_another() -> None:
    crowd = [(0.1 * i, 50.0 + 0.01 * i, f"p{i}") for i in range(10)]
    lonely = [(0.0, 100.0, "far"), (10.0, 0.0, "away")]
    names = [name for _, _, name in prompt_scatter.legible([*crowd, *lonely])]
    assert {"far", "away"} <= set(names)
    assert len(names) == 3
    assert prompt_scatter.legible([]) == []
    assert len(prompt_scatter.legible([(1.0, 1.0, "a"), (1.0, 1.0, "b")])) == 1
