"""`bench.audit`: a checkpoint of one's own, attacked with everything that fits what its owner has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import datasets
from bench.api import audit_plan, checkpoint, findings, request
from bench.api.audit_plan import LeftOut, Plan, Scope
from bench.api.checkpoint import Options, Reading
from bench.api.execution import Execution
from bench.api.findings import Finding
from bench.api.results import Results
from bench.errors import UserError
from bench.harness.watch import Watch
from bench.paths import user_path
from bench.plan import parse_seeds
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
    def red_flags(self) -> list[str]:
        """The red flags of the checkpoint and of the attacks on it."""
        raised = {flag.name for r in self.records if r.cell.lock.role == "given" for flag in r.flags}
        return sorted(raised - ({"up-not-above-lp"} if self._raw_alone else set()))  # without a key UP is LP

    @property
    def is_locked(self) -> bool:
        """Whether anybody gets less than its rightful user, or no more than a constant answer gives."""
        return findings.is_locked(self.records)

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
    scope: Scope


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
    scope: Scope,
    *,
    store: str | Path = "runs",
    settings: Settings | None = None,
    entropy: str | None = None,
) -> Prepared:
    """The reading of a checkpoint and the plan of its audit.

    Args:
        model, data, store, entropy: as of `audit`.
        options: how the checkpoint is read.
        scope: what of the ensemble runs.
        settings: how it is computed.

    Raises:
        UserError: as `audit`.
    """
    settings, root = settings or Settings(), Path(store)
    task = task_of(data)
    if not isinstance(model, str | Path) and not hasattr(model, "state_dict"):
        raise UserError(f"a {type(model).__name__} is no checkpoint.", "Give a file, or a torch.nn.Module.")
    if isinstance(model, str | Path):
        file = user_path(model).resolve()  # read in a process that has another working directory
    else:
        from bench.api import live

        if not options.model and not options.factory:
            options = replace(options, model=live.name_of(model, dict(options.model_args)))
        Store(root, entropy=entropy)  # a new store is made in an empty folder
        file = live.save(model, root.resolve() / "checkpoints")
    reading = checkpoint.describe(file, task, options, settings, _size(scope.params.get("task.size")))
    return Prepared(reading, audit_plan.build(reading, task, scope), root, settings, entropy, scope)


def _size(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise UserError(f"task.size={value!r} is no number of pixels.", "Give a whole number, e.g. task.size=64")


def execution_of(prepared: Prepared, writes: bool = True) -> Execution:
    """The plan on its store, as `Execution.on` opens it."""
    return Execution.on(prepared.plan.planned, prepared.settings, prepared.store, prepared.entropy, writes)


def results(prepared: Prepared, execution: Execution) -> Audit:
    """What the store has of the plan."""
    left_out, raw_alone = prepared.plan.left_out, prepared.scope.raw_alone
    return Audit(execution.records(), prepared.store, prepared.reading, left_out, raw_alone)


def audit(
    model: str | Path | nn.Module,
    data: str | Path,
    /,
    *,
    key: str = "none",
    quick: bool = False,
    threats: Sequence[str] = (),
    attacks: Sequence[str] = (),
    params: Mapping[str, Any] | None = None,
    seeds: int | str = 1,
    plugins: Sequence[str | Path] = (),
    store: str | Path = "runs",
    device: str = "auto",
    jobs: int | None = None,
    threads: int = 1,
    entropy: str | None = None,
    skip_bad: bool = False,
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
        params: further parameters by ``GROUP.NAME``, such as ``{"attack.steps": 200}``; the threat models
            of the ensemble cannot be changed.
        seeds: how many, or a range such as ``"0:3"``.
        plugins, store, device, jobs, threads, entropy, skip_bad, watch: as of `bench.run`.
        reading: fields of `bench.api.checkpoint.Options`; ``architecture`` is another name of its ``model``.

    Raises:
        UserError: the checkpoint cannot be read, does not fit its architecture or the data, or no attack fits.
    """
    if "architecture" in reading:
        reading["model"] = reading.pop("architecture")
    try:
        options = Options(**reading)
    except TypeError:
        known = sorted(Options.__dataclass_fields__)
        unknown = ", ".join(name for name in reading if name not in known)
        raise UserError(
            f"audit() does not take {unknown}.",
            f'It takes {", ".join(known)}; settings go into params={{"GROUP.NAME": value}}.',
        ) from None
    files, _ = request.plugins(plugins)
    settings = Settings(device=request.device_of(device), threads=threads, skip_bad=skip_bad, plugin_files=files)
    chosen = request.listed(threats), request.listed(attacks)
    scope = Scope(key, quick, *chosen, params or {}, parse_seeds(str(seeds)))
    prepared = prepare(model, data, options, scope, store=store, settings=settings, entropy=entropy)
    with execution_of(prepared) as execution:
        execution.prepare(jobs, cards=request.cards_of(device))
        execution.run(watch or Watch(), "bench.audit")
    return results(prepared, execution)
