"""The folder of a page: written beside the old one, and moved into its place when it is whole."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from bench.errors import UserError

MARK = "lockbench-page.json"
"""The file that marks a folder as a page, which may be replaced."""


@contextmanager
def replacing(out: Path, option: str = "--html") -> Iterator[Path]:
    """A folder to build in, moved to ``out`` if the block ends well; what was there stays until then.

    Args:
        out: the folder.
        option: of the command line that names it.

    Raises:
        UserError: ``out`` holds something else, or cannot be written.
    """
    part = None
    try:
        if out.is_symlink() or (out.exists() and not out.is_dir()):
            raise UserError(f"{out} is no folder.", f"Name another with {option}.")
        if out.is_dir() and any(out.iterdir()) and not (out / MARK).exists():
            raise UserError(
                f"{out} is not empty, and no page that LockBench made.", f"Name another folder with {option}."
            )
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=out.parent, prefix=".lockbench-"))
        part.chmod(0o755)
        yield part
        if out.is_dir():
            old = Path(tempfile.mkdtemp(dir=out.parent, prefix=".lockbench-"))
            try:
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


def plotly_script() -> Path:
    """plotly's own script, looked up without importing the package, which takes a second.

    Raises:
        UserError: plotly is not installed.
    """
    spec = find_spec("plotly")
    file = Path(spec.origin).parent / "package_data" / "plotly.min.js" if spec and spec.origin else None
    if file is None or not file.exists():
        raise UserError("plotly is not installed, which draws the page's charts.", "Run: pip install plotly")
    return file


def lockbench_version() -> str:
    """The installed version, or ``unknown``."""
    try:
        return version("lockbench")
    except PackageNotFoundError:
        return "unknown"
