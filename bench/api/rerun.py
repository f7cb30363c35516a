"""The cell of a record, as it would run here: planned anew from its names and settings, never from its bytes."""

from __future__ import annotations

from pathlib import Path

from bench import plan
from bench.api import request
from bench.api.execution import Execution
from bench.errors import UserError
from bench.harness.watch import Watch
from bench.plan import Planned
from bench.plan.wording import in_short
from bench.records import Cell, Record
from bench.store import Store, identity
from bench.store.identity import Identity
from bench.store.settings import Settings

MOST_THREADS = 64
COMMAND = "bench submit"


def again(record: Record, folder: Path, plugins: tuple[str, ...] = (), entropy: str = "plan") -> tuple[Record, Store]:
    """The record of the same cell, made here, and the store that has its evidence.

    Args:
        record: of an archive.
        folder: of the store to run in.
        plugins: full paths of plugin files that the reviewer trusts; their code is executed, in a process of its own.
        entropy: what the key is drawn from.

    Raises:
        UserError: the cell cannot be planned from its names, or not run.
    """
    cell = planned(record.cell)
    own = record.provenance
    wanted = str(own.machine.rpartition(" ")[2])
    device = "cpu" if wanted == "cpu" else request.device_of("auto")
    precision = own.dtype if device == "cuda" else "float32"
    threads = min(max(own.threads, 1), MOST_THREADS)
    store = Store(folder, entropy=entropy)
    settings = Settings(device, threads, plugin_files=plugins, entropy=store.entropy, precision=precision)
    with Execution([Planned(cell, plan.ASKED)], settings, store) as execution:
        execution.prepare(jobs=1)
        execution.run(Watch(), COMMAND)
        records = execution.records()
    if not records:
        raise UserError(f"{in_short(cell)} left no record.", f"See: bench doctor --store {folder}")
    return records[0], store


def identity_here(record: Record, entropy: str, plugins: tuple[str, ...] = ()) -> Identity:
    """What the cell of ``record`` would have for hashes here, under the settings that the record was made with.

    Args:
        record: with its ``provenance.inputs``.
        entropy: of its store.
        plugins: full paths of plugin files.

    Raises:
        UserError: the cell cannot be planned from its names, or its data are not here.
    """
    own = record.provenance
    data = own.inputs.get("base", {}).get("data", {})
    settings = Settings(
        device=next(reversed(own.machine.split()), "cpu"),
        threads=own.threads,
        skip_bad=any(side.get("skip_bad", False) for side in data.get("sides", [data])),
        plugin_files=plugins,
        entropy=entropy,
        precision=own.dtype,
    )
    return identity.of(planned(record.cell), settings)


def planned(cell: Cell) -> Cell:
    """The cell that the names and settings of ``cell`` give here: every value checked, every default ours.

    Raises:
        UserError: an unknown name, a value out of range, or a cell of another row.
    """
    params = {f"{kind}.{name}": value for kind in ("lock", "key", "attack")
              for name, value in getattr(cell, kind).explicit.items()}  # fmt: skip
    params |= {f"threat.{name}": value for name, value in cell.threat.values().items()}
    params |= {f"budget.{name}": value for name, value in cell.budget.values().items()}
    params |= {"lock.key": cell.key.name, **cell.task_settings}
    copy = plan.make_cell(cell.lock.name, cell.attack.name, cell.scenario, cell.model, params, cell.replicate)
    if copy.row_key() != cell.row_key():
        raise UserError(f"{in_short(cell)} is another row here than in the archive.", "Check out the commit it names.")
    return copy
