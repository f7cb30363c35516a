"""What tests share: one thread a process so that runs agree, a small labelled task, a fake plugin folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from limits import HANGS

from bench.contracts import Images, Spec

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch.set_num_threads(1)
# No test fails because a machine is busy: property tests have no deadline. What must pass draws the same examples
# every time, so that it says the same of the same code; at a desk they are drawn anew.
settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("patient")


@pytest.fixture
def spec() -> Spec:
    return Spec(size=32, classes=("dark", "light", "striped"))


@pytest.fixture
def toy(spec: Spec) -> Images:
    """Sixty images of three classes that anything can learn: dark, light, striped."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    images = torch.rand((60, 3, 32, 32), generator=rng) * 0.2
    images[labels == 1] += 0.7
    images[labels == 2, :, ::4] += 0.7
    return Images((images * 255).byte(), labels)


@pytest.fixture(scope="session")
def bench() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a process of its own."""

    def run(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bench.cli", *arguments],
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, "COLUMNS": "160", **environment},
            timeout=HANGS,
        )

    return run
