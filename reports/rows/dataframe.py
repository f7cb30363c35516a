"""Records as a pandas DataFrame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from bench.records import Record

MEASURED = (
    "victim_authorised", "oracle", "UP", "LP", "UP_shipped", "LP_shipped", "RP", "RP_validation", "authorised_after",
)  # fmt: skip


def load_records(store: str | Path = "runs") -> pd.DataFrame:
    """Every record of a store, one line each: what a table is made of, before anything is joined or averaged.

    Columns: ``hash``, ``row_key``, ``status``, ``error``, ``split``, ``scenario``, ``model``, ``lock``, ``key``,
    ``attack`` (names), ``replicate``, ``editor``; parameters as ``lock.NAME``, ``key.NAME``, ``attack.NAME``,
    ``threat.NAME``, ``budget.NAME``; accuracies in percent with ``_low``, ``_high`` and ``_n``; ``floor``;
    ``meter.NAME`` and ``lock_meter.NAME``; ``flags`` (a list of names), ``selection``, ``transductive``,
    ``key_ms_per_image``, ``key_megabytes``, ``extra_parameters``, ``third_party``, ``seconds`` (of all stages),
    ``created``. What was not measured is missing, never 0.

    Args:
        store: a folder that `bench run` wrote.

    Raises:
        UserError: no store there.
    """
    import pandas as pd

    from bench.store import Store

    return pd.DataFrame([_line(record) for record in Store(Path(store), write=False).records()])


def _line(record: Record) -> dict[str, Any]:
    cell = record.cell
    line: dict[str, Any] = {
        "hash": record.hash,
        "row_key": record.row_key,
        "status": record.status,
        "error": record.error,
        "split": record.split,
        "scenario": cell.scenario,
        "model": cell.model,
        "lock": cell.lock.name,
        "key": cell.key.name,
        "attack": cell.attack.name,
        "replicate": cell.replicate,
        "editor": cell.editor,
        "floor": record.floor,
    }
    for name in MEASURED:
        measured = getattr(record, name)
        parts = (None,) * 4 if measured is None else (measured.value, measured.low, measured.high, measured.n)
        line |= dict(zip((name, f"{name}_low", f"{name}_high", f"{name}_n"), parts, strict=True))
    groups: dict[str, dict[str, Any] | None] = {
        "lock": cell.lock.params, "key": cell.key.params, "attack": cell.attack.params, "threat": cell.threat.values(),
        "budget": cell.budget.values(), "meter": record.meter, "lock_meter": record.lock_meter,
    }  # fmt: skip
    for group, values in groups.items():
        line |= {f"{group}.{name}": value for name, value in (values or {}).items()}
    return line | {
        "flags": [flag.name for flag in record.flags],
        "selection": None if record.selection is None else record.selection.name,
        "transductive": record.transductive,
        "key_ms_per_image": record.key_ms_per_image,
        "key_megabytes": record.key_megabytes,
        "extra_parameters": record.extra_parameters,
        "third_party": record.third_party is not None,
        "seconds": sum(record.provenance.seconds.values()),
        "created": record.provenance.created,
    }
