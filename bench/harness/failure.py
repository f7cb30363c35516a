"""Why a stage could not be made, as data: what depends on it fails with the same words."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bench.errors import UserError
from bench.guests.failure import GuestFailed, InvalidResult
from bench.records import Flag, Record
from bench.store import disk
from bench.store.disk import StoreError


@dataclass(frozen=True)
class Failure:
    """Why a stage could not be made.

    Args:
        status: ``failed``, or ``invalid`` where a plugin returned what it may not.
        error: one line.
        traceback: of the process that failed; None where it says nothing.
        log: what its plugin printed.
        flag: name and detail of what an invalid result is marked with; None: nothing.
    """

    status: Literal["failed", "invalid"]
    error: str
    traceback: str | None = None
    log: str = ""
    flag: tuple[str, str] | None = None

    @classmethod
    def of(cls, error: Exception, root: Path) -> Failure:
        """What ``error`` says, raised while a stage was made for the store at ``root``.

        Raises:
            StoreError: the disk is to blame, and no stage.
        """
        if isinstance(error, StageFailed):
            return error.failure
        if isinstance(error, StoreError):
            raise error
        if isinstance(error, InvalidResult):
            return cls("invalid", str(error), flag=(error.flag, error.detail))
        if disk.is_full(error, root):  # no cell is to blame for it
            raise disk.no_space(root) from error
        if isinstance(error, GuestFailed):
            return cls("failed", error.message, error.traceback, error.log)
        message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        return cls("failed", message, "".join(traceback.format_exception(error, limit=12)))

    def fill(self, record: Record) -> None:
        """Say in ``record`` that it could not be completed."""
        record.status, record.error = self.status, self.error
        if self.traceback is not None:
            record.traceback = self.traceback
        if self.flag is not None:
            record.flags.append(Flag(name=self.flag[0], detail=self.flag[1]))

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Failure:
        """What `to_json` gave."""
        flag = value["flag"]
        return cls(**{**value, "flag": None if flag is None else (str(flag[0]), str(flag[1]))})


class StageFailed(Exception):
    """A stage is asked for that failed before."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.error)
        self.failure = failure
