"""A store of two locks that trained for two steps, with a patch key and with a key in the weights; and its zoo."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.store import Store
from bench.zoo import making


@pytest.fixture(scope="session")
def locked_store(bench: Callable[..., object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its keys are drawn from entropy of its own, so that they can be withheld."""
    store = tmp_path_factory.mktemp("locked") / "s"
    usual = ["run", "--attack", "none", "--task", "digits", "--model", "cnn", "--jobs", "1", "--threads", "1"]
    short = ["-p", "task.victim_steps=2", "-p", "lock.steps=2", "--device", "cpu", "--entropy", "secret"]
    for more in (["--lock", "modellock", "-p", "lock.key=patch"], ["--lock", "nn-splitter", "-p", "lock.updates=1"]):
        done = bench(*usual, *short, *more, "--store", str(store))
        assert done.returncode == 0, done.stdout + done.stderr
    return store


@pytest.fixture(scope="session")
def stock(locked_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zoo of that store, keys given; read by many tests, written by none."""
    out = tmp_path_factory.mktemp("zoo") / "z"
    store = Store(locked_store, write=False)
    for record in making.records(store, []):
        making.write(store, record, out)
    return out


@pytest.fixture
def zoo(stock: Path, tmp_path: Path) -> Path:
    """A copy of `stock` that a test may write to."""
    return Path(shutil.copytree(stock, tmp_path / "zoo"))
