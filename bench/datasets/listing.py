"""What lies in a folder of images, without opening one. No torch here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bench.errors import UserError

EXTENSIONS = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"))
"""Files taken for images, whatever the case of their name; others are counted in ``notes["ignored"]``."""
FEWEST = 10
"""Fewest images of a class: every class must reach every split."""
NAMED = 10
"""Files or classes named in a message before it counts the rest."""


def entries(folder: Path) -> list[Path]:
    """What lies in ``folder``, hidden files apart, in the order of names.

    Raises:
        UserError: it may not be read.
    """
    try:
        return sorted((e for e in folder.iterdir() if not e.name.startswith(".")), key=lambda e: e.name)
    except OSError as error:
        raise UserError(f"The folder '{folder}' cannot be read: {error.strerror}.", "Check its permissions.") from None


def classes(root: Path) -> list[str]:
    """The sub-folders of ``root``: one a class.

    Raises:
        UserError: fewer than two, a name that is no UTF-8, or ``root`` may not be read.
    """
    found = [entry.name for entry in entries(root) if entry.is_dir()]
    if len(found) < 2:
        count = "1 sub-folder" if len(found) == 1 else f"{len(found)} sub-folders"
        raise UserError(
            f"The folder '{root}' has {count}; at least 2 classes are needed.",
            "Put the images of each class into a sub-folder of its own.",
        )
    for name in found:
        if shown(name) != name:
            raise UserError(
                f"The folder '{root}' has a class whose name is no UTF-8: {shown(name)}.",
                "Give the folder another name.",
            )
    return found


def shown(path: str) -> str:
    """``path`` as it can be printed and kept: bytes that are no UTF-8 as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def check(root: Path) -> list[str]:
    """The classes of ``root``, each with images enough, as far as the names of files tell.

    Raises:
        UserError: fewer than two classes, a class with fewer than `FEWEST` images, or a folder that may not be read.
    """
    counts = {
        kind: sum(entry.suffix.lower() in EXTENSIONS and not entry.is_dir() for entry in entries(root / kind))
        for kind in classes(root)
    }
    check_counts(root, counts)
    return list(counts)


def check_counts(root: Path, counts: dict[str, int]) -> None:
    """Whether every class has `FEWEST` images.

    Raises:
        UserError: one has not.
    """
    few = [f"'{kind}' ({count})" for kind, count in counts.items() if count < FEWEST]
    if few:
        listed = ", ".join(few[:NAMED]) + (f" and {len(few) - NAMED} more" if len(few) > NAMED else "")
        raise UserError(
            f"Classes of '{root}' with fewer than {FEWEST} readable images directly in their folder: {listed}.",
            f"The splits need at least {FEWEST} of each class: add images, or take the folder out.",
        )


def content(root: Path) -> list[list[str | int]]:
    """Name, size and time of every file under ``root``, in the order of names; links are followed.

    A file or folder behind a link also has the path of its link. A link that leads nowhere, or back to a folder above
    it, has that path alone.
    """
    found = sorted(_walk(root, Path(), ()), key=lambda entry: Path(str(entry[0])))
    return found


def _walk(folder: Path, within: Path, above: tuple[tuple[int, int], ...]) -> Iterator[list[str | int]]:
    try:
        here = folder.stat()
        paths = list(folder.iterdir())
    except OSError as error:
        yield [str(within), error.strerror or ""]
        return
    at = (here.st_dev, here.st_ino)
    if at in above:
        return
    for path in paths:
        shown = within / path.name
        link = [str(path.readlink())] if path.is_symlink() else []
        try:
            is_folder, state = path.is_dir(), path.stat()
        except OSError:
            yield [str(shown), *link]
            continue
        if is_folder:
            if link:
                yield [str(shown), *link]
            yield from _walk(path, shown, (*above, at))
        elif path.is_file():
            yield [str(shown), state.st_size, state.st_mtime_ns, *link]
