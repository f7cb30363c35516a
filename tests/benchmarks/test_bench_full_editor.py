"""How fast editing is at full size: an InstructPix2Pix editor of the published widths, with random weights.

Run with ``pytest tests/benchmarks/test_bench_full_editor.py --benchmark-only`` on a machine with an accelerator; it
is skipped elsewhere. The settings are the engine's for such an editor: 256 × 256 pixels, 5 steps, guidance 4.5 and 1.5.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from full_editor import Stock, images, save_editor

from bench.editors.engine import Engine
from bench.editors.settings import defaults

SIZE, PROMPT = 256, "with oil pastel"

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="a full-size editor needs an accelerator")


def _measure(benchmark: Any, edit: Any, n: int, rounds: int = 3) -> None:
    benchmark.group = f"editing, full size, {SIZE} pixels, 5 steps, guidance on, {torch.cuda.get_device_name()}"
    benchmark.extra_info["images"] = n
    torch.cuda.reset_peak_memory_stats()
    benchmark.pedantic(edit, rounds=rounds, warmup_rounds=1)
    benchmark.extra_info["images_per_second"] = round(n / benchmark.stats.stats.min, 2)
    benchmark.extra_info["peak_gigabytes"] = round(torch.cuda.max_memory_allocated() / 1e9, 1)


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_editor(tmp_path_factory.mktemp("editor"))


@pytest.mark.parametrize("n", [16, 64])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_engine(benchmark: Any, editor: Path, dtype: str, n: int) -> None:
    engine, pixels = Engine(str(editor), "cuda", dtype), images(n, SIZE)
    _measure(benchmark, lambda: engine.edit(pixels, PROMPT, defaults(str(editor))), n)
    assert engine.edited >= 4 * n  # nothing came from a cache


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_stock_image_by_image(benchmark: Any, editor: Path, dtype: str) -> None:
    n, stock = 8, Stock(editor, "cuda", dtype)
    _measure(benchmark, lambda: stock.edit(images(n, SIZE), PROMPT, defaults(str(editor))), n)
