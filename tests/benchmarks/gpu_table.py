"""The table of `docs/results/gpu.md` from the JSON lines of `gpu.sh`; what has no line is not yet measured.

``python tests/benchmarks/gpu_table.py DIR``
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MISSING = "not yet measured"
Line = dict[str, Any]


def read(folder: Path) -> list[Line]:
    """Every whole line of the folder's JSON lines; the last of a run that was cut off may be none."""
    lines = []
    for file in sorted(folder.glob("*.jsonl")):
        for text in file.read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                continue
    return lines


def table(lines: list[Line]) -> str:
    """Markdown: a row for each number that is asked for."""
    rows = [*_editor(lines), *_training(lines), *_cells(lines)]
    machines = sorted({f"{line['device']}, torch {line['torch']}" for line in lines})
    head = ["| what | at least | measured |", "|---|---|---|"]
    cells = [f"| {what} | {least} | {value} |" for what, least, value in rows]
    return "\n".join([*head, *cells, "", f"Machine: {'; '.join(machines) or MISSING}."])


def _find(lines: list[Line], what: str, **values: Any) -> Line | None:
    for line in lines:
        if line["what"] == what and all(line.get(name) == value for name, value in values.items()):
            return line
    return None


def _editor(lines: list[Line]) -> Iterator[tuple[str, str, str]]:
    stock, matmul, edit = (_find(lines, what) for what in ("stock", "matmul", "edit"))
    yield "bf16 product of matrices", "", f"{matmul['tflops']:.3g} TFLOP/s" if matmul else MISSING
    yield "operations of one edit", "", f"{edit['tflop']:.3g} TFLOP" if edit else MISSING
    yield "stock loop, image by image, bf16", "", f"{stock['images_per_second']:.3g} images/s" if stock else MISSING
    batches = sorted({(line["batch"], line["compiled"]) for line in lines if line["what"] == "engine"})
    for batch, compiled in batches or [(16, False), (64, False), (64, True)]:
        name = f"edit engine, bf16, {batch} rows" + (", compiled" if compiled else "")
        line = _find(lines, "engine", batch=batch, compiled=compiled)
        yield f"{name}", "80 images/s", f"{line['images_per_second']:.3g} images/s" if line else MISSING
        yield f"{name}: share of the rate above", "40 %", f"{line['share_of_matmul']:.1%}" if line else MISSING
        times = f"{line['images_per_second'] / stock['images_per_second']:.3g} times" if line and stock else MISSING
        yield f"{name}: against the stock loop", "15 times", times
    search = _find(lines, "prompt search")
    found = f"{search['seconds']:.3g} s, {search['edited']} images" if search else MISSING
    yield f"prompt search over {search['words'] if search else 347} words", "", found


def _training(lines: list[Line]) -> Iterator[tuple[str, str, str]]:
    usual = [("VGG-13", precision, batch) for precision in ("bf16", "float32") for batch in (32, 256)]
    measured = sorted({(line["model"], line["precision"], line["batch"]) for line in lines if line["what"] == "step"})
    for model, precision, batch in measured or usual:
        ours, plain, bare = (
            _find(lines, "step", loop=loop, precision=precision, batch=batch) for loop in ("ours", "plain", "bare")
        )
        name = f"{model} step, 64 pixels, batch {batch}, {precision}"
        yield name, "", f"{ours['milliseconds']:.3g} ms" if ours else MISSING
        for other, text, least in (
            (plain, "speed over a DataLoader loop, 4 workers", "3 times"),
            (bare, "speed over a bare loop", "0.95 times"),
        ):
            times = f"{other['milliseconds'] / ours['milliseconds']:.3g} times" if ours and other else MISSING
            yield f"{name}: {text}", least, times


def _cells(lines: list[Line]) -> Iterator[tuple[str, str, str]]:
    for jobs in sorted({line["jobs"] for line in lines if line["what"] == "cells"}) or [1, 4, 16]:
        line = _find(lines, "cells", jobs=jobs)
        n = line["cells"] if line else 16
        yield (
            f"{n} small cells, `--jobs {jobs}`",
            "",
            f"{line['seconds']:.3g} s, {line['done']} done" if line else MISSING,
        )


if __name__ == "__main__":
    print(table(read(Path(sys.argv[1]))))
