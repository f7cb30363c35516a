"""Tensors of bytes that may be larger than the memory: those lie in a file that the system pages in and out."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from bench.paths import data_home

LARGE = 256 << 20
"""Bytes from which a tensor lies in a file."""


def empty(shape: Sequence[int]) -> Tensor:
    """An uninitialised uint8 tensor of ``shape``; from `LARGE` bytes on in a temporary file that nobody else sees.

    The file lies in the cache of data, or with the system's temporary files where that cannot be written.
    """
    n = math.prod(shape)
    if n < LARGE:
        return torch.empty(tuple(shape), dtype=torch.uint8)
    with contextlib.ExitStack() as stack:
        try:
            data_home().mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(tempfile.NamedTemporaryFile(dir=data_home()))
        except OSError:
            file = stack.enter_context(tempfile.NamedTemporaryFile())
        file.truncate(n)
        return torch.from_file(file.name, shared=True, size=n, dtype=torch.uint8).view(tuple(shape))


def opened(path: Path, shape: Sequence[int]) -> Tensor:
    """The bytes of the file ``path`` as a uint8 tensor of ``shape``; what is written to it stays in this process.

    Raises:
        OSError: there is no such file.
        ValueError: it has another size.
    """
    n = math.prod(shape)
    if path.stat().st_size != n:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes, not {n:,}")
    if n == 0:
        return torch.empty(tuple(shape), dtype=torch.uint8)
    return torch.from_file(str(path), shared=False, size=n, dtype=torch.uint8).view(tuple(shape))


def opened_for_writing(path: Path, shape: Sequence[int]) -> Tensor:
    """The file ``path`` as a uint8 tensor of ``shape``; what is written to it reaches the file."""
    return torch.from_file(str(path), shared=True, size=math.prod(shape), dtype=torch.uint8).view(tuple(shape))
