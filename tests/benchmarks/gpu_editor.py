"""The edit engine on a GPU: images a second, its share of the card's matrix rate, and prompt search on a large editor.

Run by `gpu.sh`; by itself: ``python tests/benchmarks/gpu_editor.py [--size small] --out DIR``.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import full_editor
import torch
from gpu_lines import Lines, arguments, matmul_rate, seconds

from bench import models, registry, session
from bench.contracts import Budget, Images, Meter, Spec, ThreatModel
from bench.editors.engine import Engine
from bench.editors.settings import EditSettings, defaults
from bench.editors.vocabulary import wordlist
from bench.harness.views import AttackerView
from bench.training import Run

PROMPT = "with oil pastel"


def main() -> None:
    """Measure, the surest numbers first."""
    full, out, device = arguments(__doc__ or "")
    lines = Lines(out / "editor.jsonl", device)
    widths = {} if full else full_editor.TINY
    rate = matmul_rate(device, 8192 if full else 256)
    lines.add("matmul", dtype="bfloat16", tflops=rate / 1e12)
    with tempfile.TemporaryDirectory() as folder:
        editor = full_editor.save_editor(Path(folder), **widths)
        settings = defaults(str(editor)).replace(size=256 if full else 64)
        each = full_editor.flops(settings, settings.size or 0, **widths)
        lines.add("edit", tflop=each / 1e12, size=settings.size, steps=settings.steps, guided=settings.guided)

        _stock(lines, editor, device, settings)
        for compiled, batch in ((False, 16), (False, 64), (True, 64)) if full else ((False, 8),):
            _engine(lines, str(editor), device, settings, each, rate, batch, compiled)
            if not compiled and batch != 16:
                _search(lines, str(editor), device, settings, full)


def _stock(lines: Lines, editor: Path, device: str, settings: EditSettings, n: int = 4) -> None:
    """The stock pipeline, freed again at the end."""
    stock, pixels = full_editor.Stock(editor, device, "bfloat16"), full_editor.images(n, settings.size or 0)
    took = seconds(lambda: stock.edit(pixels, PROMPT, settings), device, times=2)
    lines.add("stock", dtype="bfloat16", images_per_second=n / took)


def _engine(
    lines: Lines, editor: str, device: str, settings: EditSettings, each: float, rate: float, batch: int, compiled: bool
) -> None:
    """Two batches: the first call warms up, and compiles where that is asked for."""
    engine = Engine(editor, device, "bfloat16", batch=batch, compiled=compiled)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    pixels = full_editor.images(2 * batch, settings.size or 0)
    start = time.perf_counter()
    engine.edit(pixels, PROMPT, settings)
    first = time.perf_counter() - start
    took = seconds(lambda: (engine._latents.clear(), engine.edit(pixels, PROMPT, settings)), device)
    lines.add(
        "engine",
        dtype="bfloat16",
        batch=batch,
        compiled=compiled,
        images_per_second=len(pixels) / took,
        share_of_matmul=len(pixels) / took * each / rate,
        first_seconds=first,
        peak_gigabytes=torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else None,
    )


def _search(lines: Lines, editor: str, device: str, settings: EditSettings, full: bool) -> None:
    """Prompt search as an attack runs it, over the wide list; the locked model is a plain classifier."""
    words = wordlist("wide")[: None if full else 12]
    spec = Spec(32, tuple("abcdefghij"))
    pixels = torch.randint(0, 256, (40, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    threat = ThreatModel(access="weights", wordlist="wide")
    granted = {
        "labelled": Images(pixels, torch.arange(40) % 10),
        "classifier": models.build("vit", spec, 1).to(device),
        "words": words,
    }
    session.use(device, "bfloat16", None)
    run, known = Run(1, device), {"settings": settings.replace(editor=editor).to_json()}
    view = AttackerView(spec, threat, Budget(), granted, known, lambda e: models.build("vit", spec, e), None, Meter())
    attack = registry.current().make("attack", "prompt-search", {} if full else {"first": 2, "most": 4, "refine": 1})
    start = time.perf_counter()
    attack.unlock(view, run)
    lines.add(
        "prompt search",
        words=len(words),
        guesses=run.meter.guesses,
        edited=run.meter.edited,
        seconds=time.perf_counter() - start,
    )


if __name__ == "__main__":
    main()
