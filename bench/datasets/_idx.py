"""IDX files, the format of MNIST and its likes, whole or gzipped, with size and checksum of their content checked."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.errors import UserError

_BYTES = 8  # the code of unsigned bytes, the one type of these sets


@dataclass(frozen=True)
class IdxFile:
    """One IDX file as its authors published it.

    Args:
        name: its name without ``.gz``.
        shape: of its array.
        sha256: of the file once it is unpacked.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def size(self) -> int:
        """Bytes of the file once it is unpacked."""
        return 4 + 4 * len(self.shape) + int(np.prod(self.shape))

    def found(self, folder: Path) -> Path | None:
        """The file in ``folder``, gzipped or not; None where it is not there."""
        for path in (folder / f"{self.name}.gz", folder / self.name):
            if path.is_file():
                return path
        return None

    def read(self, path: Path) -> np.ndarray:
        """The array in ``path``, uint8 of `shape`.

        Raises:
            UserError: the file is damaged, or another than the published one.
        """
        try:
            opener = gzip.open if path.suffix == ".gz" else open
            with opener(path, "rb") as stream:
                content = stream.read(self.size + 1)  # no more is unpacked, whatever the file says of itself
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{path} cannot be read ({type(error).__name__}).", "Install or fetch it again.") from None
        if len(content) != self.size or hashlib.sha256(content).hexdigest() != self.sha256:
            raise UserError(f"{path} is not the published file: its checksum differs.", "Install or fetch it again.")
        return parsed(content, self.shape, path.name)


def parsed(content: bytes, shape: tuple[int, ...], name: str) -> np.ndarray:
    """The array of the IDX file ``content``: uint8 of ``shape``.

    Raises:
        UserError: another type or another shape.
    """
    head = bytes((0, 0, _BYTES, len(shape))) + b"".join(n.to_bytes(4, "big") for n in shape)
    if not content.startswith(head) or len(content) != len(head) + int(np.prod(shape)):
        raise UserError(f"{name} holds no bytes of shape {shape}.", "Give the file as it was published.")
    return np.frombuffer(content, np.uint8, offset=len(head)).reshape(shape)
