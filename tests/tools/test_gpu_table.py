"""The table of `tests/benchmarks/gpu.sh`, and the operations of an edit that it divides by."""

from __future__ import annotations

import json
from pathlib import Path

import gpu_table
import pytest
import torch
from full_editor import TINY, flops, parts_of
from gpu_lines import Lines

from bench.editors.settings import EditSettings

PAGE = Path(__file__).parents[2] / "docs" / "results" / "gpu.md"


def _rows(lines: list[dict[str, object]]) -> dict[str, str]:
    out = {}
    for row in gpu_table.table(lines).splitlines():
        if row.startswith("| "):
            what, _, value = (part.strip() for part in row.strip("|").split("|"))
            out[what] = value
    return out


def test_ratios_are_those_of_the_lines(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "editor.jsonl", "cpu")
    lines.add("stock", images_per_second=5.0)
    lines.add("engine", batch=64, compiled=True, images_per_second=90.0, share_of_matmul=0.45)
    for loop, took in {"ours": 2.0, "plain": 7.0, "bare": 1.9}.items():
        lines.add("step", model="VGG-13", loop=loop, precision="bf16", batch=32, milliseconds=took)
    rows = _rows(gpu_table.read(tmp_path))
    assert rows["edit engine, bf16, 64 rows, compiled: against the stock loop"] == "18 times"
    assert rows["edit engine, bf16, 64 rows, compiled: share of the rate above"] == "45.0%"
    assert rows["VGG-13 step, 64 pixels, batch 32, bf16: speed over a DataLoader loop, 4 workers"] == "3.5 times"
    assert rows["VGG-13 step, 64 pixels, batch 32, bf16: speed over a bare loop"] == "0.95 times"


def test_a_run_that_was_cut_off_leaves_what_it_had(tmp_path: Path) -> None:
    line = {"what": "matmul", "device": "CPU", "torch": "2", "tflops": 1.0}
    (tmp_path / "editor.jsonl").write_text(json.dumps(line) + '\n{"what": "sto')
    assert _rows(gpu_table.read(tmp_path))["bf16 product of matrices"] == "1 TFLOP/s"


def test_what_has_no_line_is_not_yet_measured_and_the_page_says_so() -> None:
    rows = _rows([])
    assert set(rows.values()) == {"measured", gpu_table.MISSING}
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"| {what} |" in page for what in rows), "docs/results/gpu.md lacks a row of gpu_table.py"


@pytest.mark.slow
@pytest.mark.parametrize("guided", [False, True])
def test_operations_are_of_encoder_decoder_and_of_each_step(guided: bool) -> None:
    """Guidance takes three passes of the denoiser in a step, and no other part depends on it. It builds 12 networks."""
    scale = {"guidance": 4.5, "image_guidance": 1.5} if guided else {}
    one, three = (flops(EditSettings(steps=steps, **scale), 64, **TINY) for steps in (1, 3))
    plain_one, plain_three = (flops(EditSettings(steps=steps), 64, **TINY) for steps in (1, 3))
    assert three - one == (3 if guided else 1) * (plain_three - plain_one)


def test_the_parts_are_of_an_instruct_pix2pix_editor() -> None:
    with torch.device("meta"):
        parts = parts_of(**TINY)
    assert parts["unet"].config.in_channels == 2 * parts["vae"].config.latent_channels
