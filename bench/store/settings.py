"""How things are computed: part of every hash, limits apart, since numbers may depend on it. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.errors import UserError
from bench.language.endpoint import model_from_environment

PLAN = "plan"
"""The entropy of a store whose keys follow from the plan alone."""


@dataclass(frozen=True)
class Settings:
    """Device, threads and plugin files of a run.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: of each worker.
        skip_bad: whether image files that cannot be read are left out.
        plugin_files: full paths of plugin files outside the packages.
        entropy: what keys are drawn from beside task and seed, as the store keeps it; `PLAN`: nothing.
        wall_limit: wall seconds of a stage in a plugin's process; None: no limit.
        memory_limit: 10^9 bytes that a plugin's process may allocate; None: no limit.
        precision: of training steps, one of `bench.precision.PRECISIONS`; the judge computes in float32.
        language_model: the one that plugins ask where they name none; it counts for those plugins alone.
    """

    device: str = "cpu"
    threads: int = 1
    skip_bad: bool = False
    plugin_files: tuple[str, ...] = ()
    entropy: str = PLAN
    wall_limit: float | None = 7200.0
    memory_limit: float | None = None
    precision: str = "float32"
    language_model: str = field(default_factory=model_from_environment)

    def __post_init__(self) -> None:
        """Raises UserError where threads are no number from 1 on."""
        if not isinstance(self.threads, int) or self.threads < 1:
            raise UserError(f"threads={self.threads!r} is not allowed.", "Give a whole number from 1 on.")
