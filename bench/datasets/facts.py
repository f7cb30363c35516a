"""What is known of a data set without loading it: licence, where it is published, and whether it is here. No torch.

The facts are class variables of its plugin, read from the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from bench.datasets import parts
from bench.errors import UserError
from bench.paths import data_home
from bench.plugin_source import PluginInfo

WAYS = {
    "built in": "it comes with the suite or with a library that the suite needs",
    "package": "a Python package carries it",
    "fetched": "a run, or `bench prepare`, fetches it",
    "by hand": "its owner puts it into the folder of data",
    "yours": "the task names the folder",
}
"""How a data set comes to a machine -> what that means."""


@dataclass(frozen=True)
class Archive:
    """One published file.

    Args:
        url: where it is.
        size: bytes; None where its owner states none.
        checksum: as ``md5:…`` or ``sha256:…``; empty where its owner states none.
    """

    url: str
    size: int | None
    checksum: str


@dataclass(frozen=True)
class Facts:
    """What is known of one data set.

    Args:
        way: how it comes here: a name of `WAYS`.
        licence: as its owners name it.
        archives: where it is published.
        place: where it lies, or will lie; None where it has no place of its own.
        here: whether it is on this machine.
        remedy: what to do where it is not.
    """

    way: str
    licence: str
    archives: tuple[Archive, ...]
    place: Path | None
    here: bool
    remedy: str

    @property
    def size(self) -> int | None:
        """Bytes of all archives; None where one is not known."""
        return None if self.lacks_sizes else self.size_known

    @property
    def size_known(self) -> int | None:
        """Bytes of the archives whose owners state them; None where none does."""
        sizes = [archive.size for archive in self.archives if archive.size is not None]
        return sum(sizes) if sizes or not self.archives else None

    @property
    def lacks_sizes(self) -> bool:
        """Whether the size of an archive is not known."""
        return any(archive.size is None for archive in self.archives)


def of(info: PluginInfo, rest: str = "") -> Facts:
    """The facts of the data set ``info``.

    Args:
        info: its plugin.
        rest: what follows the colon in the task: a part, or a path.

    Raises:
        UserError: the plugin states them in a wrong form.
    """
    archives = _archives(info)
    own = next((name.partition("/")[0] for name in info.unpacked if not name.startswith("/")), info.name)
    place = data_home() / own
    if info.prefix:
        path = Path(rest).expanduser()
        return Facts("yours", info.licence, archives, path, path.is_dir(), "Put the folder there.")
    if info.parts:
        found = parts.find(info, rest) if rest else None
        here = found is not None if rest else any(parts.find(info, name) is not None for name in info.parts)
        return Facts("by hand", info.licence, archives, found or place, here, info.remedy)
    if info.package:
        return Facts("package", info.licence, archives, None, _installed(info.package), info.remedy)
    if not info.unpacked:
        return Facts("built in", info.licence, archives, None, True, "")
    there = next((path for name in info.unpacked if (path := data_home() / name).exists()), None)
    return Facts("fetched", info.licence, archives, there or place, there is not None, info.remedy)


def _archives(info: PluginInfo) -> tuple[Archive, ...]:
    out = []
    for url, value in info.archives.items():
        if not (isinstance(url, str) and _is_archive(value)):
            raise UserError(
                f"{info.file.name}: archives are stated wrongly.", 'Write {"URL": (bytes or None, "md5:…")}.'
            )
        out.append(Archive(url, value[0], value[1]))
    return tuple(out)


def _is_archive(value: Any) -> bool:
    if not (isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[1], str)):
        return False
    return value[0] is None or (isinstance(value[0], int) and not isinstance(value[0], bool) and value[0] >= 0)


def _installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def folders(info: PluginInfo, settings: Mapping[str, Any]) -> list[Path]:
    """The folders that the data set reads under ``settings``, beside its own; see `DataSource.reads`."""
    full = {name: param.default for name, param in info.params.items()} | dict(settings)
    return [data_home() / at for when, at in info.reads.items() if _holds(when, full)]


def _holds(condition: str, settings: Mapping[str, Any]) -> bool:
    name, _, value = condition.partition("=")
    return str(settings.get(name)) == value


def size_words(size: int | None) -> str:
    """``30901518`` bytes as ``30.9 MB``."""
    if size is None:
        return "not stated"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} bytes"
