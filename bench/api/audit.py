"""`bench.audit`: a checkpoint of one's own, attacked with everything that fits what its owner has."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import datasets
from bench.api import audit_plan, checkpoint, findings
from bench.api.audit_plan import LeftOut, Plan
from bench.api.checkpoint import Options, Reading
from bench.api.execution import Execution, usual_jobs
from bench.api.findings import Finding
from bench.api.results import Results
from bench.errors import UserError
from bench.harness.watch import Watch
from bench.paths import user_path
from bench.records import Record
from bench.store import Store
from bench.store.settings import Settings

if TYPE_CHECKING:
    from torch import nn


class Audit(Results):
    """What an audit found: its records with their rows, and what they say about the checkpoint.

    Args:
        records: every cell of the run, controls included.
        store: where the records are.
        reading: how the checkpoint was read.
        left_out: attacks that did not run, and why.
        raw_alone: authorised images are the raw ones, since no key was given.
    """

    def __init__(
        self, records: Sequence[Record], store: str | Path, reading: Reading, left_out: list[LeftOut], raw_alone: bool
    ) -> None:
        super().__init__(records, store)
        self.reading, self.left_out, self._raw_alone = reading, left_out, raw_alone

    @cached_property
    def findings(self) -> list[Finding]:
        """One for each attack, those that open it first."""
        return findings.of_rows(self.rows, self.records)

    @property
    def advice(self) -> list[str]:
        """What to do, a line each."""
        return findings.advice(self.findings)

    @property
    def diagnosis(self) -> list[str]:
        """What is odd about the checkpoint as it was read."""
        return findings.diagnosis(self.records, Store(self.store, write=False).evidence, self._raw_alone)

    @property
    def opened_by(self) -> list[str]:
        """The attacks that open the checkpoint."""
        return [f.attack for f in self.findings if f.opens]


@dataclass(frozen=True)
class Prepared:
    """An audit before it runs."""

    reading: Reading
    plan: Plan
    store: Path
    settings: Settings
    entropy: str | None
    key: str


def task_of(data: str | Path) -> str:
    """The task that ``data`` names: a data set, or a folder with one sub-folder a class.

    Raises:
        UserError: neither.
    """
    text = str(data)
    if datasets.source(text) is None and user_path(text).is_dir():
        return f"folder:{text}"
    datasets.check(text)
    if datasets.pair(text) is not None:
        raise UserError(f"'{text}' is a pair of data sets.", "Audit a checkpoint on one.")
    return text


def prepare(
    model: str | Path | nn.Module,
    data: str | Path,
    options: Options,
    *,
    key: str = "none",
    quick: bool = False,
    threats: Sequence[str] = (),
    attacks: Sequence[str] = (),
    params: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (0,),
    store: str | Path = "runs",
    settings: Settings | None = None,
    entropy: str | None = None,
) -> Prepared:
    """The reading of a checkpoint and the plan of its audit; arguments as those of `audit`."""
    settings, root = settings or Settings(), Path(store)
    task = task_of(data)
    if isinstance(model, str | Path):
        file = user_path(model)
    else:
        from bench.api import live

        if not options.model and not options.factory:
            options = replace(options, model=live.name_of(model, dict(options.model_args)))
        Store(root, entropy=entropy)  # a new store is made in an empty folder
        file = live.save(model, root / "checkpoints")
    size = (params or {}).get("task.size")
    reading = checkpoint.describe(file, task, options, settings, None if size is None else int(size))
    planned = audit_plan.build(
        reading, task, key, quick=quick, threats=threats, attacks=attacks, params=params, seeds=seeds
    )
    return Prepared(reading, planned, root, settings, entropy, key)


def run(prepared: Prepared, watch: Watch | None = None, jobs: int | None = None) -> Audit:
    """Run what `prepare` planned; what the store has is not done again.

    Args:
        watch: hears of everything.
        jobs: cells at once, each in a process of its own; None: as many as there are threads for.
    """
    with execution_of(prepared) as execution:
        execution.prepare(jobs or usual_jobs(execution.settings, len(execution.todo)))
        execution.run(watch or Watch(), _command())
    return results(prepared, execution)


def execution_of(prepared: Prepared) -> Execution:
    """The plan on its store, which is made where it is not there."""
    store = Store(prepared.store, entropy=prepared.entropy)
    return Execution(prepared.plan.planned, replace(prepared.settings, entropy=store.entropy), store)


def results(prepared: Prepared, execution: Execution) -> Audit:
    """What the store has of the plan."""
    raw_alone = prepared.key in ("", "none")
    return Audit(execution.records(), prepared.store, prepared.reading, prepared.plan.left_out, raw_alone)


def audit(
    model: str | Path | nn.Module,
    data: str | Path,
    *,
    key: str = "none",
    quick: bool = False,
    threats: Sequence[str] = (),
    attacks: Sequence[str] = (),
    params: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (0,),
    store: str | Path = "runs",
    device: str = "cpu",
    threads: int = 1,
    plugin_files: Sequence[str] = (),
    jobs: int | None = None,
    watch: Watch | None = None,
    **reading: Any,
) -> Audit:
    """Attack a checkpoint of one's own with every attack of the ensemble that fits, controls included.

    Args:
        model: a file (.safetensors, .pth, .pt), or a live module. A module that timm made is rebuilt by its name; any
            other needs ``factory``, since attacks rebuild it in processes of their own.
        data: a folder with one sub-folder a class, or the name of a data set.
        key: ``none``, the name of a key method (its values in ``params``), or the prompt of an edit key.
        quick: leave out the slow members of the ensemble.
        threats, attacks: names of the ensemble's threat models and attacks to run; empty: all.
        params: further parameters by ``GROUP.NAME``, such as ``{"threat.share": 0.05}``.
        seeds: replicates.
        store: folder of artefacts and records.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: of each worker.
        plugin_files: plugin files outside the packages.
        jobs: cells at once, each in a process of its own; None: as many as there are threads for.
        watch: hears of everything.
        reading: fields of `bench.api.checkpoint.Options`: ``model`` is named ``architecture`` here.

    Raises:
        UserError: the checkpoint cannot be read, does not fit its architecture or the data, or no attack fits.
    """
    if "architecture" in reading:
        reading["model"] = reading.pop("architecture")
    try:
        options = Options(**reading)
    except TypeError:
        known = ", ".join(sorted(Options.__dataclass_fields__))
        raise UserError(f"audit() does not take {', '.join(reading)}.", f"It takes {known}.") from None
    settings = Settings(device=device, threads=threads, plugin_files=tuple(map(str, plugin_files)))
    prepared = prepare(
        model, data, options, key=key, quick=quick, threats=threats, attacks=attacks, params=params, seeds=seeds,
        store=store, settings=settings,
    )  # fmt: skip
    return run(prepared, watch, jobs)


def _command() -> str:
    return (
        " ".join(["bench", *map(shlex.quote, sys.argv[1:])])
        if Path(sys.argv[0]).name in ("bench", "__main__.py")
        else ""
    )
