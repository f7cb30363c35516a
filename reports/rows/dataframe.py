"""Records as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import registry
from bench.plan import TASK
from bench.plan.wording import in_short, plugins_set, settings_of

if TYPE_CHECKING:
    import pandas as pd

    from bench.records import Cell, PluginRef, Record
    from reports.rows.controls import Controls
    from reports.rows.source import Evidence

MEASURED = (
    "victim_authorised", "oracle", "UP", "LP", "UP_shipped", "LP_shipped", "RP", "RP_validation", "authorised_after",
)  # fmt: skip
DERIVED = ("public_baseline", "advantage", "recovery")
NAMES = (
    "hash", "row_key", "cell", "status", "error", "reason", "split", "scenario", "model", "lock", "key", "attack",
    "replicate",
)  # fmt: skip
"""The first columns, which a store without a record has too."""


def load_records(store: str | Path = "runs") -> pd.DataFrame:
    """Every record of a store, one line each: what a table is made of, before anything is joined or averaged.

    | columns | what they hold |
    |---|---|
    | ``hash``, ``row_key``, ``cell`` | identity, what rows are joined by, and the cell in words |
    | ``status``, ``error``, ``reason`` | ok, failed or invalid; why |
    | ``split``, ``replicate``, ``scenario``, ``model``, ``lock``, ``key``, ``attack``, ``editor`` | names |
    | ``lock_role``, ``lock_purpose``, ``attack_role``, ``attack_purpose`` | method, control or given; what for |
    | ``task.NAME``, ``lock.NAME``, ``key.NAME``, ``attack.NAME`` | every setting that has an effect |
    | ``threat.NAME``, ``budget.NAME`` | every setting |
    | ``key_value.NAME`` | texts and numbers of the key itself, such as the prompt that was drawn |
    | ``settings`` | of these, what was set of task and plugins by hand, as the command line takes it |
    | ``UP``, ``LP``, ``RP``, ``oracle``, … with ``_low``, ``_high``, ``_n`` | percent, 95 % interval over images |
    | ``floor`` | percent |
    | ``public_baseline``, ``advantage``, ``recovery`` with ``_low``, ``_high`` | as in a table of this seed alone |
    | ``public_baseline_hash`` | the record of the public baseline |
    | ``meter.NAME``, ``lock_meter.NAME`` | what was spent |
    | ``flags`` (a list of names), ``selection``, ``transductive``, ``budget_spent``, ``third_party`` | marks |
    | ``key_ms_per_image``, ``key_megabytes``, ``extra_parameters``, ``LP_after_batch_norm`` | of lock and key |
    | ``seed.NAME``, ``seconds.STAGE``, ``seconds`` | seeds, and wall seconds by stage and in all |
    | ``version.NAME``, ``machine``, ``threads``, ``dtype``, ``data_fingerprint``, ``schema`` | what it was made with |
    | ``command``, ``created``, ``reused`` | when and how |

    What was not measured is missing, never 0. A record that is not ok has no advantage and no recovery, and an invalid
    one has no number that a plugin's answers enter.

    Args:
        store: a folder that `bench run` wrote.

    Raises:
        UserError: no store there.
    """
    import pandas as pd

    from bench.store import Store
    from reports.rows.aggregate import current
    from reports.rows.controls import Controls

    opened = Store(Path(store), write=False)
    records = opened.records()
    # A baseline is the newest of its cell, as in a table; tuning seeds have their own.
    controls = {split: Controls(current(records, split)) for split in ("test", "judge-validation")}
    lines = [columns_of(record, controls[record.split], opened.evidence) for record in records]
    return pd.DataFrame(lines) if lines else pd.DataFrame(columns=[*NAMES, *MEASURED, *DERIVED])


def columns_of(record: Record, controls: Controls, evidence: Evidence) -> dict[str, Any]:
    """The columns of `load_records` for one record, with what ``controls`` has beside it."""
    from reports.rows.reasons import GUESTS, reason_of

    cell, source, ok = record.cell, record.provenance, record.status == "ok"
    line: dict[str, Any] = {
        "hash": record.hash,
        "row_key": record.row_key,
        "cell": in_short(cell),
        "status": record.status,
        "error": record.error,
        "reason": None if ok else reason_of(record),
        "split": record.split,
        "scenario": cell.scenario,
        "model": cell.model_name,
        "lock": cell.lock.name,
        "key": cell.key.name,
        "attack": cell.attack.name,
        "replicate": cell.replicate,
        "editor": cell.editor,
        "lock_role": cell.lock.role,
        "lock_purpose": cell.lock.purpose,
        "attack_role": cell.attack.role,
        "attack_purpose": cell.attack.purpose,
        "settings": ", ".join(settings_of({**plugins_set(cell, "lock", "key", "attack"), **cell.task_settings})),
        "metric": record.metric,
        "floor": record.floor,
    }
    for name in MEASURED:
        measured = None if record.status == "invalid" and name in GUESTS else getattr(record, name)
        parts = (None,) * 4 if measured is None else (measured.value, measured.low, measured.high, measured.n)
        line |= dict(zip((name, f"{name}_low", f"{name}_high", f"{name}_n"), parts, strict=True))
    line |= _derived(record, controls, evidence)
    groups: dict[str, dict[str, Any] | None] = {
        **{kind: _parameters(kind, cell) for kind in ("lock", "key", "attack")}, "threat": cell.threat.values(),
        "key_value": _plain(record.key),
        "budget": cell.budget.values(), "meter": record.meter, "lock_meter": record.lock_meter, "seed": source.seeds,
        "seconds": source.seconds, "version": source.versions,
    }  # fmt: skip
    line |= {f"task.{name}": param.default for name, param in TASK.items()} | cell.task_settings
    for group, values in groups.items():
        line |= {f"{group}.{name}": value for name, value in (values or {}).items()}
    return line | {
        "flags": [flag.name for flag in record.flags],
        "selection": None if record.selection is None else record.selection.name,
        "transductive": record.transductive,
        "budget_spent": record.budget_spent,
        "key_ms_per_image": record.key_ms_per_image,
        "key_megabytes": record.key_megabytes,
        "extra_parameters": record.extra_parameters,
        "LP_after_batch_norm": None if record.status == "invalid" else record.LP_after_batch_norm,
        "third_party": record.third_party is not None,
        "seconds": sum(source.seconds.values()),
        "machine": source.machine,
        "threads": source.threads,
        "dtype": source.dtype,
        "data_fingerprint": source.data_fingerprint,
        "schema": record.schema_version,
        "command": source.command,
        "created": source.created,
        "reused": source.reused,
    }


def _parameters(kind: str, cell: Cell) -> dict[str, Any]:
    """The parameters of the lock, key or attack of ``cell`` that have an effect, by name."""
    ref: PluginRef = getattr(cell, kind)
    return registry.current().with_effect(kind, ref.name, ref.params | ref.explicit)


def _plain(key: Mapping[str, Any] | None) -> dict[str, Any]:
    """The texts and numbers of a key itself, such as the prompt that was drawn; by name."""
    values = {**(key or {}), **((key or {}).get("settings") or {})}
    return {name: v for name, v in values.items() if isinstance(v, (str, int, float)) and name != "method"}


def _derived(record: Record, controls: Controls, evidence: Evidence) -> dict[str, Any]:
    """The public baseline, advantage and recovery of one record, each with the ends of its interval."""
    from reports.rows.intervals import Value, of_measured
    from reports.rows.recovery import derived

    values: dict[str, Value | None] = dict.fromkeys(DERIVED)
    baseline = controls.baseline(record)
    if baseline is not None:
        values["public_baseline"] = of_measured([baseline.RP], [record.floor])
    if record.status == "ok" and record.RP is not None and record.cell.attack.purpose != "no-attack":
        values |= derived([record], [baseline], evidence)
    line: dict[str, Any] = {"public_baseline_hash": None if baseline is None else baseline.hash}
    for name in DERIVED:
        value = values[name]
        parts = (None,) * 3 if value is None else (value.mean, value.low, value.high)
        line |= dict(zip((name, f"{name}_low", f"{name}_high"), parts, strict=True))
    return line
