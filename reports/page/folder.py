"""The folder of a page: built beside its place, then moved there whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import UserError

MARK = "lockbench-page.json"
"""The file by which a folder is known to be such a page."""


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A folder to build in, moved to ``out`` if the block ends well; what was there stays until then.

    Raises:
        UserError: ``out`` is no folder, holds something else than such a page, or cannot be written.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise UserError(f"{out} is no folder.", "Name another with --html.")
    part = None
    try:
        if out.is_dir() and any(out.iterdir()) and not (out / MARK).exists():
            raise UserError(f"{out} is not empty, and no page that LockBench made.", "Name another folder with --html.")
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
        part.chmod(0o755)
        yield part
        if out.is_dir():
            old = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
            out.rename(old / "page")
            try:
                part.rename(out)
            except OSError:
                (old / "page").rename(out)
                raise
            finally:
                shutil.rmtree(old, ignore_errors=True)
        else:
            part.rename(out)
    except OSError as error:
        raise UserError(
            f"cannot write the page {out}: {error.strerror or error}.", "Name another folder or free space."
        ) from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
