"""Numbers of a GPU benchmark as JSON lines, written as they come, so that a run that is cut off leaves what it had."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


class Lines:
    """A file of JSON lines, begun anew.

    Args:
        file: written after every measurement.
        device: ``cpu`` or ``cuda``: named in every line by its hardware's name.
    """

    def __init__(self, file: Path, device: str) -> None:
        self._file = file
        self._own = {"device": torch.cuda.get_device_name() if device == "cuda" else "CPU", "torch": torch.__version__}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")

    def add(self, what: str, **values: Any) -> None:
        """Write one measurement."""
        line = json.dumps({"what": what, **self._own, **values})
        with self._file.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)


def arguments(what: str) -> tuple[bool, Path, str]:
    """Whether the size is full, the folder of results, and the device, from the command line."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--size", choices=("small", "full"), default="full")
    parser.add_argument("--out", type=Path, default=Path("out"))
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if options.size == "full" and device == "cpu":
        parser.error("the full size needs a GPU; --size small is a dry run on the CPU")
    return options.size == "full", options.out, device


def seconds(call: Callable[[], Any], device: str, times: int = 3) -> float:
    """Wall seconds of the fastest of ``times`` calls, the device's work included."""
    best = float("inf")
    for _ in range(times):
        _wait(device)
        start = time.perf_counter()
        call()
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return best


def matmul_rate(device: str, side: int, dtype: torch.dtype = torch.bfloat16, calls: int = 20) -> float:
    """Operations a second of square matrix products of ``side``, the fastest of five rounds of ``calls``."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(a)

    def multiply() -> None:
        for _ in range(calls):
            torch.mm(a, b, out=out)

    return calls * 2 * side**3 / seconds(multiply, device, times=5)


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
