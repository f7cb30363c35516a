"""Plugin files outside the packages, with the helpers that they import, as bytes for machines that lack them.

A file keeps its name, its folder's name and its place in its package, so that its hash is the same there. Files that a
plugin reads beside itself do not travel, and neither does what is installed.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.plugin_modules import module_of
from bench.source_files import is_own, place_of
from bench.store import packing
from bench.store.code import code_modules
from bench.store.parts import remove


@dataclass(frozen=True)
class Bundle:
    """Plugin files as bytes.

    Args:
        packed: the files with their helpers, as `bench.store.packing.pack_files` gives them.
        files: the plugin files among them, by relative name, in the order of the run.
    """

    packed: bytes
    files: tuple[str, ...]

    @classmethod
    def of(cls, files: Sequence[str]) -> Bundle:
        """The plugin files ``files`` and the modules behind them, by name or beside them.

        Raises:
            UserError: one cannot be read.
        """
        contents: dict[str, bytes] = {}
        names = []
        places: dict[Path, str] = {}
        for file in map(Path, files):
            place = place_of(file)
            at = places.setdefault(place, f"{len(places)}/{place.name or 'root'}")
            name = f"{at}/{file.relative_to(place).as_posix()}"
            contents[name] = file.read_bytes()
            names.append(name)
            for module, path in code_modules(module_of(file), file).items():
                if path != file and not is_own(path) and not _is_installed(path):
                    contents[f"{at}/{_relative(module, path, place)}"] = path.read_bytes()
        return cls(packing.pack_files(contents), tuple(names))

    def write(self, folder: Path) -> tuple[str, ...]:
        """The paths of the plugin files, written under ``folder`` where they are not there yet."""
        target = folder / hashlib.sha256(self.packed).hexdigest()[:20]
        if not target.is_dir():
            part = folder / f".{uuid.uuid4().hex}"
            part.mkdir(parents=True)
            try:
                packing.unpack(self.packed, part)
                part.rename(target)
            except OSError:
                if not target.is_dir():  # another process of this machine was faster
                    raise
            finally:
                remove(part)
        return tuple(str(target / name) for name in self.files)


def _relative(module: str, path: Path, place: Path) -> str:
    """Where a helper is looked for, seen from the folder ``place``: where it lies in it, else by its module's name."""
    if path.is_relative_to(place):
        return path.relative_to(place).as_posix()
    base = module.replace(".", "/")
    return f"{base}/__init__.py" if path.name == "__init__.py" else f"{base}.py"


def _is_installed(path: Path) -> bool:
    return "site-packages" in path.parts or "dist-packages" in path.parts
