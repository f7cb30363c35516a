"""Benchmarks run on two threads, which their targets are stated for; the rest of the tests on one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from bench import session


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    yield
    torch.set_num_threads(before)
    session.use()
