"""What tests share: one thread a process so that runs agree, a small labelled task, the command line in process."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import small_suite
import torch
from hypothesis import HealthCheck, settings
from limits import HANGS

from bench import registry
from bench.contracts import Images, Spec

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["LOCKBENCH_ENTROPY"] = "plan"  # the same keys in every store, so that runs can be compared
torch.set_num_threads(1)
# No test fails because a machine is busy: property tests have no deadline. What must pass draws the same examples
# every time, so that it says the same of the same code; at a desk they are drawn anew.
settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("patient")


@dataclass(frozen=True)
class Done:
    """How a command ended and what it printed."""

    returncode: int
    stdout: str
    stderr: str


Bench = Callable[..., Done]


@pytest.fixture(autouse=True)
def _installed_plugins() -> Iterator[None]:
    """Every test starts and ends with the plugins that need no file named."""
    registry.use()
    yield
    registry.use()


@pytest.fixture(autouse=True, scope="session")
def _own_cache_of_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests keep no decoded folder in the user's cache."""
    before = os.environ.get("LOCKBENCH_DATA")
    if before is None:
        os.environ["LOCKBENCH_DATA"] = str(tmp_path_factory.mktemp("data"))
    yield
    if before is None:
        del os.environ["LOCKBENCH_DATA"]


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


def run_in_process(*arguments: str, cwd: Path | None = None, columns: int = 160) -> Done:
    """The command line in this process: what it prints, and its exit status."""
    from bench.cli import app, console
    from bench.cli.screen import Screen

    out, err = io.StringIO(), io.StringIO()
    before = sys.argv, console.out, console.err, Path.cwd()
    sys.argv = ["bench", *arguments]
    console.out, console.err = (Screen(file=f, width=columns) for f in (out, err))
    try:
        os.chdir(cwd or Path.cwd())
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            app.main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    finally:
        sys.argv, console.out, console.err, _ = before
        os.chdir(before[3])
        registry.use()
        torch.set_num_threads(1)
    return Done(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def bench() -> Bench:
    """Run the command line in this process."""
    return run_in_process


@pytest.fixture(scope="session")
def bench_process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a process of its own, where that is what is tested."""

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


@pytest.fixture(scope="session")
def small_task(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of 3 × 30 small pictures: a bright bar at the left, in the middle, or at the right."""
    return small_suite.pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def small_run(small_task: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """The arguments of a small run into a store: one lock, one attack, their controls, a short public baseline."""
    suite = tmp_path_factory.mktemp("suites") / "small.toml"
    suite.write_text(small_suite.row(small_task))

    def arguments(store: Path, *more: str) -> list[str]:
        return [*small_suite.arguments(suite, store), *more]

    return arguments


@pytest.fixture(scope="session")
def real_store(small_run: Callable[..., list[str]], bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the small run is complete: trained once a session, read by many tests, written by none."""
    store = tmp_path_factory.mktemp("store") / "s"
    done = bench(*small_run(store))
    assert done.returncode == 0, done.stdout + done.stderr
    return store


@pytest.fixture
def store_copy(real_store: Path, tmp_path: Path) -> Path:
    """A copy of `real_store` that a test may write to."""
    return Path(shutil.copytree(real_store, tmp_path / "copy"))
