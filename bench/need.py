"""One thing from elsewhere that a run needs: a data set, public weights, a CLIP or an editor. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from bench.errors import UserError

FETCHED = ("hub", "snapshot", "url", "data")
"""The ways of things that a run, or `bench prepare`, fetches."""


@dataclass(frozen=True)
class Need:
    """One thing that something needs.

    Args:
        kind: ``data``, ``weights``, ``clip`` or ``editor``.
        name: as a suite, or the command line, names it.
        way: how it comes here. ``hub``: one file of the Hugging Face hub; ``snapshot``: a folder of the hub; ``url``:
            into the cache of torch; ``data``: a data set fetches itself; ``package``: a Python package carries it;
            ``file``: the user names it; ``folder``: its owner puts it there; ``unknown``: there is no such thing.
        place: the path, ``OWNER/NAME`` of the hub, the address, or the package.
        here: whether it is on this machine.
        files: of the hub: alternatives, first choice first; at the cache of torch: the file's name.
        size: bytes; None where they are not known without a network.
        licence: as its owners name it; empty where it is not known here.
        remedy: what to do where it is missing.
        required: False where only cells that may be left out need it.
        settings: of the data set, by name.
        problem: of an unknown thing: what is wrong.
        parcel: what is published as one and fetched once, where that is more than this thing; else empty.
        least: whether ``size`` is of some of its files, and those of the others are not known.
    """

    kind: Literal["data", "weights", "clip", "editor"]
    name: str
    way: Literal["hub", "snapshot", "url", "data", "package", "file", "folder", "unknown"]
    place: str
    here: bool
    files: tuple[str, ...] = ()
    size: int | None = None
    licence: str = ""
    remedy: str = ""
    required: bool = True
    settings: tuple[tuple[str, Any], ...] = ()
    problem: str = ""
    parcel: str = ""
    least: bool = False

    @property
    def fetched(self) -> bool:
        """Whether it can be fetched."""
        return self.way in FETCHED

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for two needs of one thing, whatever names it: models of one encoder share its weights."""
        name = self.name if self.way in ("data", "folder", "unknown") else ""
        return self.kind, name, self.way, self.place, self.files, self.settings

    @classmethod
    def unknown(cls, kind: Literal["data", "weights", "clip", "editor"], name: str, error: UserError) -> Need:
        """What ``name`` is a wrong name of."""
        return cls(kind, name, "unknown", "", False, remedy=error.remedy, problem=error.message)
