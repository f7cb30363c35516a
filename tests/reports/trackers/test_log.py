"""`--log`: what a tracker gets, once; one that fails loses nothing; MLflow in SQLite and W&B offline for real."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from example_records import CURVE, FakeStore, record, world

from bench.errors import UserError
from reports.trackers import log as trackers
from reports.trackers.entry import Entry

Bench = Callable[..., Any]
no_mlflow = pytest.mark.skipif(
    any(find_spec(name) is None for name in trackers.PACKAGES["mlflow"]),
    reason="mlflow is not installed: pip install -e '.[mlflow]'",
)
no_wandb = pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed: pip install -e '.[wandb]'")


class Memory:
    """A tracker that remembers, and fails from the entry ``fails`` on."""

    def __init__(self, fails: int | None = None) -> None:
        self.entries: dict[str, tuple[Entry, set[str]]] = {}
        self.fails = fails

    def known(self, entry: Entry) -> bool:
        return entry.record in self.entries and self.entries[entry.record][0].digest == entry.digest

    def write(self, entry: Entry, pictures: Mapping[str, Path]) -> None:
        if self.fails is not None and len(self.entries) >= self.fails:
            raise ConnectionError("no answer\nfrom the server")
        assert all(file.read_bytes().startswith(b"\x89PNG") for file in pictures.values())
        self.entries[entry.record] = entry, set(pictures)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore(world(curve=CURVE), samples=True)


class TestLog:
    def test_every_cell_once_with_its_pictures(self, store: FakeStore) -> None:
        memory, lines = Memory(), list[str]()
        first = trackers.log(["memory"], store.records(), store, lines.append, lambda _: memory)
        again = trackers.log(["memory"], store.records(), store, lines.append, lambda _: memory)
        assert (first, again, lines) == ({"memory": 4}, {"memory": 0}, [])
        pictures = {entry.params["lock"]: names for entry, names in memory.entries.values()}
        assert pictures["modellock"] == {"samples", "curve"}
        assert pictures["none"] == set()

    def test_a_record_whose_control_comes_later_is_written_again(self) -> None:
        memory, one = Memory(), record()
        trackers.log(["memory"], [one], FakeStore([one]), pytest.fail, lambda _: memory)
        assert "advantage" not in memory.entries[one.hash][0].metrics
        trackers.log(["memory"], [one], FakeStore(world()), pytest.fail, lambda _: memory)
        assert memory.entries[one.hash][0].metrics["advantage"] == 50.0

    def test_a_tracker_that_fails_warns_in_one_line_and_the_next_goes_on(self, store: FakeStore) -> None:
        pair, lines = {"bad": Memory(fails=1), "good": Memory()}, list[str]()
        done = trackers.log(["bad", "good"], store.records(), store, lines.append, pair.__getitem__)
        assert done == {"bad": 1, "good": 4}
        (line,) = lines
        assert line.startswith("--log bad stopped after 1 of 4 cells: ConnectionError: no answer")
        assert "\n" not in line

    def test_a_tracker_that_cannot_be_opened(self, store: FakeStore) -> None:
        lines: list[str] = []

        def refuse(name: str) -> Memory:
            raise PermissionError("not yours")

        assert trackers.log(["bad"], store.records(), store, lines.append, refuse) == {"bad": 0}
        assert len(lines) == 1


class TestCheck:
    def test_names(self) -> None:
        with pytest.raises(UserError, match="no tracker 'tensorboard'") as caught:
            trackers.check(["tensorboard"])
        assert caught.value.remedy == "Use mlflow or wandb."

    @pytest.mark.parametrize("name", ["mlflow", "wandb"])
    def test_a_missing_package_names_the_command(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(trackers, "find_spec", lambda _: None)
        with pytest.raises(UserError, match="not installed") as caught:
            trackers.check([name])
        assert caught.value.remedy == f"In the folder of LockBench run: pip install -e '.[{name}]'"

    def test_the_command_line_refuses_before_it_runs(self, bench: Bench, tmp_path: Path) -> None:
        done = bench("run", "--log", "tensorboard", "--store", str(tmp_path / "s"))
        assert done.returncode == 2
        assert "no tracker 'tensorboard'" in done.stderr
        assert not (tmp_path / "s").exists()


@no_mlflow
class TestMlflow:
    @pytest.fixture
    def uri(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.chdir(tmp_path)  # artefacts go to ./mlruns
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri := f"sqlite:///{tmp_path}/mlflow.db")
        return uri

    def test_one_run_for_each_cell_and_none_twice(self, store: FakeStore, uri: str) -> None:
        from mlflow import MlflowClient

        for wanted in (4, 0):
            done = trackers.log(["mlflow"], store.records(), store, pytest.fail)
            assert done == {"mlflow": wanted}
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name("lockbench")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id])
        assert len(runs) == 4
        (run,) = [run for run in runs if run.data.params["lock"] == "modellock"]
        assert run.data.metrics["RP"] == 80.0
        assert run.data.metrics["advantage"] == 50.0
        assert run.data.params["threat.share"] == "0.01"
        assert run.info.status == "FINISHED"
        names = {file.path for file in client.list_artifacts(run.info.run_id, "pictures")}
        assert names == {"pictures/samples.png", "pictures/curve.png"}

    def test_a_control_that_comes_later_completes_the_same_run(self, uri: str) -> None:
        from mlflow import MlflowClient

        one = record()
        for pool in ([one], world()):
            assert trackers.log(["mlflow"], [one], FakeStore(pool), pytest.fail) == {"mlflow": 1}
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name("lockbench")
        assert experiment is not None
        (run,) = client.search_runs([experiment.experiment_id])
        assert run.data.metrics["advantage"] == 50.0

    def test_bench_run(
        self, bench: Bench, small_run: Callable[..., list[str]], store_copy: Path, uri: str, tmp_path: Path
    ) -> None:
        done = bench(*small_run(store_copy), "--log", "mlflow", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "mlflow: " in done.stdout
        assert "mlflow: 0 of" in bench(*small_run(store_copy), "--log", "mlflow", cwd=tmp_path).stdout


@no_wandb
class TestWandb:
    def test_one_run_for_each_cell_and_none_twice(
        self, store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WANDB_MODE", "offline")
        monkeypatch.setenv("WANDB_DIR", str(tmp_path))
        for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
            monkeypatch.setenv(name, str(tmp_path / name))
        records = store.records()[:2]
        for wanted in (2, 0):
            assert trackers.log(["wandb"], records, store, pytest.fail) == {"wandb": wanted}
        folders = sorted(tmp_path.glob("wandb/offline-run-*"))
        assert {folder.name.split("-", 3)[3] for folder in folders} == {r.hash for r in records}
        media = {file.name.partition("_")[0] for folder in folders for file in folder.glob("files/media/images/*.png")}
        assert media == {"samples", "curve"}
        assert all(list(folder.glob("*.wandb")) for folder in folders)
