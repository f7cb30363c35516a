"""Whether records hold all that is due, and all records of one model the same of it.

| check | what it guards against |
|---|---|
| `_numbers` | numbers that a bad seed leaves out |
| `_images` | test images that count several times, validation numbers over other images than those of the rest |
| `_metric` | a metric by whose name some red flags are not due |
| `_costs` | an attack that spent more than its budget, or does not say what it spent |
| `_keys` | a near or wrong key that was left out |
| `_uneven` | an optional number that some seeds of a row have and others do not |
| `_twins` | facts of one locked model that differ between its records |
| `_weak` | a public baseline with less training than by default |
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from bench import registry, seeds
from bench.contracts import Key
from bench.hashing import digest
from bench.legible import visible
from bench.plan.wording import in_short, scenario_label
from bench.records import Record, condition_name
from reports.board.finding import Finding, Submission, of_problems
from reports.gate.snapshot import SPENT

DUE = ("UP", "LP", "UP_shipped", "LP_shipped", "oracle", "victim_authorised", "RP")
"""Numbers of every record with a result; a given model may come without key and victim."""
OPTIONAL = ("authorised_after", "LP_after_batch_norm", "meter", "lock_meter")
"""What every seed of a row has, or none."""
OF_MODEL = ("extra_parameters", "key_megabytes", "LP_after_batch_norm", "defender_needs")
"""Facts that are measured once for each locked model."""
OVER = 64
"""What an attack may spend beyond its budget: the batch at work."""

Arrays = Mapping[str, Any]


def check(s: Submission) -> Finding:
    """Whether nothing is left out."""
    problems: list[str] = []
    sizes: dict[str, int] = {}
    for record in s.measured:
        arrays = s.evidence(record)
        found = [*_numbers(record), *_images(record, arrays, sizes), *_metric(record, arrays), *_costs(record)]
        found += _keys(record)
        problems += [f"{in_short(record.cell)}: {problem}" for problem in [*found, *_weak(record)]]
    problems += [*_uneven(s.measured), *_twins(s.measured)]
    return of_problems(
        "completeness", f"{len(s.measured)} records hold every number that is due", problems,
        "Export the store as `bench run` left it.",
    )  # fmt: skip


def _numbers(record: Record) -> Iterator[str]:
    due = ("LP", "RP") if record.cell.lock.role == "given" else DUE
    if lacking := [name for name in due if getattr(record, name) is None]:
        yield f"it lacks {', '.join(lacking)}"
    if record.cell.has_conditions and not record.conditions:
        yield "it has no key conditions"


def _images(record: Record, arrays: Arrays, sizes: dict[str, int]) -> Iterator[str]:
    for name in ("test_index", "authorised_index", "validation_index"):
        index = arrays.get(name)
        if index is not None and len(np.unique(index)) < len(index):
            yield f"its {name.replace('_', ' ')} has images twice"
    if record.RP_validation is not None:
        n = record.RP_validation.n
        if sizes.setdefault(scenario_label(record.cell), n) != n:
            yield f"its validation number is over {n} images, and those of other records are over another number"


def _metric(record: Record, arrays: Arrays) -> Iterator[str]:
    metrics = {m.metric for name in DUE if (m := getattr(record, name)) is not None} | {record.metric}
    kinds = {name.partition("/")[0] for name in arrays if name.startswith(("pred/", "confusion/"))}
    due = {"pred": "accuracy", "confusion": "mIoU"}
    if len(kinds) > 1 or metrics != {due[kind] for kind in kinds}:
        there = ", ".join(sorted(kinds)) or "none"
        yield f"it calls its numbers {', '.join(sorted(metrics))}, and its evidence is {there}"


def _costs(record: Record) -> Iterator[str]:
    meter, budget = record.meter, record.cell.budget.values()
    if meter is None:
        yield "it does not say what the attack spent"
        return
    for name in SPENT:
        spent, limit = meter.get(name), budget.get(name)
        if isinstance(spent, int | float) and isinstance(limit, int | float) and spent > limit + OVER:
            yield f"its attack spent {spent} {name}, and its budget is {limit}"


def _weak(record: Record) -> Iterator[str]:
    """A weak baseline makes every attack beside it look strong, and every lock weak; the reverse does no harm."""
    attack = record.cell.attack
    if attack.purpose != "public-baseline":
        return
    info = registry.current().get("attack", attack.name)
    usual = {} if info is None else {name: param.default for name, param in info.params.items()}
    for name, value in attack.explicit.items():
        default = usual.get(name)
        if isinstance(value, int | float) and isinstance(default, int | float) and value < default:
            yield f"its public baseline has {name}={value}; by default it has {default}"
    if limits := [name for name, value in record.cell.budget.values().items() if value is not None]:
        yield f"its public baseline has a budget of {', '.join(limits)}"


def _keys(record: Record) -> Iterator[str]:
    """Which keys are tried follows from the key. A key of others is not made here, since that would run their code."""
    info = registry.current().get("key", record.cell.key.name)
    if not record.cell.has_conditions or record.key is None or info is None or info.guest:
        return
    try:
        due = _due(info.name, json.dumps(record.key))
    except Exception as error:  # of nearly any kind, on a key that was written by hand
        yield f"its key cannot be made again ({type(error).__name__})"
        return
    there = {(c.kind, c.label) for c in record.conditions}
    lacking = sorted(condition_name(*one) for one in due - there)
    if lacking:
        yield f"it lacks the key condition {visible(', '.join(lacking))}"


@lru_cache(maxsize=1024)
def _due(method: str, text: str) -> frozenset[tuple[str, str]]:
    """Kind and label of every key that the judge tries beside the key of that JSON."""
    value = json.loads(text)
    key: Key = registry.load(registry.current().find("key", method)).from_json(value)
    tried = key.conditions(seeds.of_conditions(digest(value)))
    return frozenset({("right", ""), *((c.kind, c.label) for c in tried)})


def _uneven(records: Iterable[Record]) -> Iterator[str]:
    rows: dict[str, list[Record]] = {}
    for record in records:
        rows.setdefault(record.row_key, []).append(record)
    for group in rows.values():
        for name in OPTIONAL:
            have = [r for r in group if getattr(r, name) is not None]
            if have and len(have) < len(group):
                yield f"{in_short(next(r for r in group if r not in have).cell)} lacks {name}, which other seeds have"
        kinds = {tuple(sorted(c.kind for c in r.conditions)): r for r in group}
        if len(kinds) > 1:
            yield f"{in_short(min(kinds.items())[1].cell)} has other kinds of key conditions than another seed"


def _twins(records: Iterable[Record]) -> Iterator[str]:
    known: dict[tuple[str, str], str] = {}
    for record in records:
        parents = record.provenance.parents
        facts = [("judged", name, getattr(record, name)) for name in OF_MODEL]
        spent = {k: v for k, v in (record.lock_meter or {}).items() if k not in ("seconds", "peak_memory_mb")}
        facts.append(("protected", "what the lock spent", spent))
        if record.cell.has_conditions:
            facts.append(("conditions", "key conditions", [c.model_dump(mode="json") for c in record.conditions]))
        for stage, name, value in facts:
            if parents.get(stage) and known.setdefault((parents[stage], name), digest(value)) != digest(value):
                yield f"{in_short(record.cell)}: {name} is another than in other records of this locked model"
