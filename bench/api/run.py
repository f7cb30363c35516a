"""`bench.run`: locks against attacks from a script or a notebook, as `bench run` does from a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import plan
from bench import precision as precisions
from bench.api import request
from bench.api.execution import HERE, Execution, Where, check_launcher
from bench.api.results import Results
from bench.errors import UserError
from bench.harness.watch import Watch
from bench.plan.suite_file import GROUPS
from bench.plan.wording import text_of
from bench.store import Store
from bench.store.settings import Settings

Names = str | Sequence[str] | None
"""One name, several, or the usual one."""


def run(
    lock: Names = None,
    attack: Names = None,
    task: Names = None,
    model: Names = None,
    *,
    seeds: int | str | None = None,
    suite: str | Path | None = None,
    weights: str | Path | None = None,
    editor: str | None = None,
    plugins: Sequence[str | Path] = (),
    store: str | Path = "runs",
    device: str = "auto",
    jobs: int | None = None,
    threads: int = 1,
    precision: str = "float32",
    entropy: str | None = None,
    wall_limit: float | None = 7200.0,
    memory_limit: float | None = None,
    skip_bad: bool = False,
    where: Where = HERE,
    watch: Watch | None = None,
    params: Mapping[str, Any] | None = None,
    **more: Any,
) -> Results:
    """Run locks against attacks, with the controls that their numbers need. What is done already is not done again.

    Args:
        lock: a name, or several; None: ``modellock``.
        attack: the same; None: ``prompt-search``.
        task: the same; None: ``digits``.
        model: the same; None: ``vit``.
        seeds: how many, or a range such as ``"0:3"``; None: one, or what the suite says.
        suite: a suite by name, or a ``.toml`` file; the names above narrow it.
        weights: the public weights that each model starts from, as ``--weights`` takes them; None: the model's own.
        editor: of an edit key: ``miniature``, a diffusers folder, or a hub name.
        plugins: plugin files outside the packages.
        store: folder of records and artefacts.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, or ``cuda:N,M`` for several cards.
        jobs: stages at once; None: one for each thread that the CPU has room for, one on each GPU.
        threads: of each job; numbers depend on it, so it is part of a record's identity.
        precision: of training: ``float32``, ``tf32`` or ``bf16``; part of a record's identity. The judge uses float32.
        entropy: what keys are drawn from beside task and seed, in a new store; None: random.
        wall_limit: wall seconds of a stage in a plugin's process; None: no limit.
        memory_limit: 10^9 bytes that a plugin's process may allocate; None: no limit.
        skip_bad: whether image files that cannot be read are left out.
        where: which machines run the stages, `bench.Where`.
        watch: hears of everything as it happens.
        params: settings by ``GROUP.NAME``, as ``-p`` takes them: ``{"lock.alpha": 0.3}``.
        more: the same as keywords, the group before the first underscore: ``lock_alpha=0.3``, ``threat_share=0.05``.

    Returns:
        The rows of the plan. A cell that failed is a row with the status ``failed``.

    Raises:
        UserError: an unknown name, a value out of range, or nothing that can run.
    """
    check_launcher(where)
    files, _ = request.plugins(plugins, None if suite is None else str(suite))
    names = {kind: _listed(value) for kind, value in zip(KINDS, (lock, attack, task, model), strict=True)}
    values = [f"{name}={text_of(value)}" for name, value in {**(params or {}), **_grouped(more)}.items()]
    texts = [None if value is None else str(value) for value in (seeds, suite, weights)]
    lines = request.lines_of(names, texts[0], texts[1], values, editor, weights=texts[2])
    planned = plan.build(lines)
    if not planned:
        raise UserError(request.NOTHING, request.OTHERS)
    opened = Store(Path(store), entropy=entropy)
    settings = Settings(
        device=request.device_of(device),
        threads=threads,
        skip_bad=skip_bad,
        plugin_files=files,
        entropy=opened.entropy,
        wall_limit=wall_limit,
        memory_limit=memory_limit,
        precision=precision,
    )
    precisions.check(precision, settings.device)
    with Execution(planned, settings, opened) as execution:
        execution.prepare(jobs, where, request.cards_of(device))
        execution.run(watch or Watch(), "bench.run")
    return Results(execution.records(), opened.root)


KINDS = ("locks", "attacks", "tasks", "models")


def _listed(names: Names) -> list[str] | None:
    return None if names is None else list(request.listed(names))


def _grouped(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords as settings: ``lock_alpha`` is ``lock.alpha``.

    Raises:
        UserError: one has no group before its first underscore.
    """
    out = {}
    for keyword, value in keywords.items():
        group, _, name = keyword.partition("_")
        if group not in GROUPS or not name:
            raise UserError(
                f"run() has no argument '{keyword}'.",
                f"Settings are GROUP_NAME=VALUE, e.g. lock_alpha=0.3; groups: {', '.join(GROUPS)}.",
            )
        out[f"{group}.{name}"] = value
    return out
