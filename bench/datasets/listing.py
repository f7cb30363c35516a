"""What lies in a folder of images, without opening one. No torch here."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import UserError

EXTENSIONS = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
)
"""Files taken for images, whatever the case of their name."""
OPTIONAL = {
    ".avif": "install Pillow 11.3 or later, or convert it to PNG",
    ".heic": "install pillow-heif (pip install -e '.[heif]'), or convert it to PNG",
    ".heif": "install pillow-heif (pip install -e '.[heif]'), or convert it to PNG",
}
"""Files taken for images where a library can read them, and what to do where none can."""
FOREIGN = frozenset(
    (".jp2", ".j2k", ".jxl", ".svg", ".psd", ".tga", ".ico", ".exr", ".hdr", ".dng", ".nef", ".cr2", ".cr3", ".arw",
     ".raf", ".rw2", ".orf", ".dcm", ".npy", ".pdf", ".eps")
)  # fmt: skip
"""Pictures of formats that are not read: they are named, so that nobody misses them later."""
DROPPINGS = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "$recycle.bin", "@eadir"))
"""What Windows, macOS and file servers leave in folders, in lower case; hidden names, as ``._x.jpg``, are left too."""
FEWEST = 10
"""Fewest images of a class: every class must reach every split."""
NAMED = 10
"""Files or classes named in a message before it counts the rest."""
GROUPINGS = ("none", "folder")
"""Values of ``task.groups``: images stand alone, or those of one sub-folder of a class stay together."""
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\x00", b"MM\x00*", b"RIFF")


@dataclass(frozen=True)
class Entry:
    """An image file of a class.

    Args:
        path: where it is.
        name: its path within the folder, as it is shown: ``class/file`` or ``class/group/file``, composed (NFC).
        label: the class, by its place in `Listing.classes`.
        group: the sub-folder of the class that it lies in; empty where it lies directly in the class.
    """

    path: Path
    name: str
    label: int
    group: str = ""


@dataclass
class Listing:
    """What was found in a folder.

    Args:
        classes: names in the order of their code points, composed (NFC).
        images: the files taken for images, class by class, in natural order (``img2`` before ``img10``).
        unread: pictures that are left out, with the reason.
        ignored: how many other files there are.
    """

    classes: list[str]
    images: list[Entry] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    ignored: int = 0

    def counts(self) -> dict[str, int]:
        """Number of image files by class."""
        found = Counter(entry.label for entry in self.images)
        return {kind: found[label] for label, kind in enumerate(self.classes)}


def natural(name: str) -> tuple[tuple[tuple[int, str], ...], str]:
    """What names are sorted by, so that numbers in them count as numbers: ``img2`` before ``img10``."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((int(p), "") if i % 2 else (-1, p) for i, p in enumerate(parts)), name


def composed(name: str) -> str:
    """``name`` in Unicode's composed form (NFC): macOS writes ``é`` as two characters, Linux and Windows as one."""
    return unicodedata.normalize("NFC", name)


def entries(folder: Path) -> list[Path]:
    """What lies in ``folder``, hidden files and droppings apart, in the order of composed names.

    Raises:
        UserError: it may not be read.
    """
    try:
        found = [e for e in folder.iterdir() if not e.name.startswith(".") and e.name.lower() not in DROPPINGS]
    except OSError as error:
        raise UserError(f"The folder '{folder}' cannot be read: {error.strerror}.", "Check its permissions.") from None
    return sorted(found, key=lambda e: (composed(e.name), e.name))


def classes(root: Path) -> list[str]:
    """The sub-folders of ``root``, composed (NFC): one a class, in the order of code points, as torchvision has it.

    Raises:
        UserError: fewer than two, a name that is no UTF-8, or ``root`` may not be read.
    """
    return list(_class_folders(root))


def _class_folders(root: Path) -> dict[str, list[Path]]:
    """The folders of each class: two where one name is written in two forms of Unicode."""
    out: dict[str, list[Path]] = {}
    for entry in entries(root):
        if entry.is_dir():
            out.setdefault(composed(entry.name), []).append(entry)
    if len(out) < 2:
        count = "1 sub-folder" if len(out) == 1 else f"{len(out)} sub-folders"
        raise UserError(
            f"The folder '{root}' has {count}; at least 2 classes are needed.",
            "Put the images of each class into a sub-folder of its own.",
        )
    for name in out:
        if shown(name) != name:
            raise UserError(
                f"The folder '{root}' has a class whose name is no UTF-8: {shown(name)}.",
                "Give the folder another name.",
            )
    return dict(sorted(out.items()))


def shown(path: str) -> str:
    """``path`` as it can be printed and kept: bytes that are no UTF-8 as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def read(root: Path, grouping: str = "none", readable: frozenset[str] = EXTENSIONS) -> Listing:
    """The image files of ``root``, and what else lies there.

    Args:
        root: an existing folder.
        grouping: ``none``: images directly in the folder of their class; ``folder``: those in its sub-folders too, of
            any depth, each sub-folder a group.
        readable: extensions that can be read here.

    Raises:
        UserError: fewer than two classes, or a folder that may not be read.
    """
    folders = _class_folders(root)
    listing = Listing(list(folders))
    for entry in entries(root):
        if not entry.is_dir():
            _leave_out(listing, entry, shown(composed(entry.name)), readable, "outside the folders of the classes")
    for label, (kind, places) in enumerate(folders.items()):
        own: list[Entry] = []
        for place in places:
            _read_class(listing, own, place, kind, label, grouping, readable)
        listing.images += sorted(own, key=lambda entry: natural(entry.name))
    return listing


def _read_class(
    listing: Listing, own: list[Entry], place: Path, kind: str, label: int, grouping: str, readable: frozenset[str]
) -> None:
    deeper = 0
    for path, within in _files(place, "", ()):
        name = shown(composed(f"{kind}/{within}{path.name}"))
        group = within.partition("/")[0]
        if group and grouping == "none":
            deeper += path.suffix.lower() in readable
        elif path.suffix.lower() in readable:
            own.append(Entry(path, name, label, composed(group)))
        else:
            _leave_out(listing, path, name, readable, "")
    if deeper:
        files = "1 image" if deeper == 1 else f"{deeper} images"
        listing.unread.append((f"{kind}/*/", f"{files} in sub-folders; -p task.groups=folder reads them"))


def _files(folder: Path, within: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[Path, str]]:
    """Every file under ``folder`` with the path between, ``a/b/``; a folder that links back to one above it is left."""
    here = folder.stat()
    at = (here.st_dev, here.st_ino)
    if at in above:
        return
    for path in entries(folder):
        if path.is_dir():
            yield from _files(path, f"{within}{path.name}/", (*above, at))
        else:
            yield path, within


def _leave_out(listing: Listing, path: Path, name: str, readable: frozenset[str], why: str) -> None:
    """Count a file that is no image of a class, and name it where it looks like a picture."""
    ending = path.suffix.lower()
    if ending in readable or ending in EXTENSIONS:
        listing.unread.append((name, why))
    elif ending in OPTIONAL:
        listing.unread.append((name, OPTIONAL[ending]))
    elif ending in FOREIGN:
        listing.unread.append((name, "its format is not read; convert it to PNG"))
    elif not ending and _is_picture(path):
        listing.unread.append((name, "its name has no ending; add .png, .jpg or what it is"))
    else:
        listing.ignored += 1


def _is_picture(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(4).startswith(_MAGIC)
    except OSError:
        return False


def check(root: Path, grouping: str = "none", readable: frozenset[str] = EXTENSIONS) -> list[str]:
    """The classes of ``root``, each with images enough, as far as the names of files tell.

    Raises:
        UserError: fewer than two classes, a class with fewer than `FEWEST` images, or a folder that may not be read.
    """
    listing = read(root, grouping, readable)
    check_counts(root, listing.counts(), grouping)
    return listing.classes


def check_counts(root: Path, counts: dict[str, int], grouping: str = "none") -> None:
    """Whether every class has `FEWEST` images.

    Raises:
        UserError: one has not.
    """
    few = [f"'{kind}' ({count})" for kind, count in counts.items() if count < FEWEST]
    if few:
        listed = ", ".join(few[:NAMED]) + (f" and {len(few) - NAMED} more" if len(few) > NAMED else "")
        where = "directly in their folder" if grouping == "none" else "in their folder"
        raise UserError(
            f"Classes of '{root}' with fewer than {FEWEST} readable images {where}: {listed}.",
            _other_layout(root, counts)
            or f"The splits need at least {FEWEST} of each class: add images, or take the folder out.",
        )


def _other_layout(root: Path, counts: dict[str, int]) -> str:
    """What to do where the sub-folders of ``root`` are no classes: parts of a data set, or images with their masks."""
    names = {name.casefold(): name for name in counts}
    if names.keys() == {"images", "masks"}:
        return f"'{names['masks']}' looks like the masks of a segmentation: name the folder folder-seg:{root}"
    inside = [{e.name for e in entries(root / name) if e.is_dir()} for name in counts if (root / name).is_dir()]
    if not any(counts.values()) and len(inside) > 1 and len(set.intersection(*inside)) > 1:
        part = names.get("train", min(counts))
        return f"Each of them holds the same classes, so they are parts of a data set: name one, e.g. {root / part}"
    return ""
