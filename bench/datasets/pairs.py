"""What lies in a folder of images and masks, side by side, without opening one. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.datasets import listing
from bench.datasets.listing import NAMED, Entry
from bench.errors import UserError

IMAGES, MASKS, NAMES = "images", "masks", "classes.txt"
MASK_FORMATS = (".png", ".bmp", ".gif", ".tif", ".tiff")
"""Extensions of masks: of formats that keep every value."""
FEWEST = 20
"""Fewest images of a folder: five splits, the smallest of a twelfth of them."""
MOST = 255
"""Classes of a mask at most: a byte less the value of pixels that are left out."""


@dataclass(frozen=True)
class Pairs:
    """Images with their masks.

    Args:
        images: the image files in natural order.
        masks: the mask of each.
        names: the class names of ``classes.txt`` in the order of mask values; None where there is no such file.
    """

    images: list[Entry]
    masks: list[Path]
    names: tuple[str, ...] | None


def read(root: Path, readable: frozenset[str] = listing.EXTENSIONS) -> Pairs:
    """The pairs of ``root``: an image and a mask of one name, endings apart.

    Args:
        root: an existing folder.
        readable: extensions of images that can be read here.

    Raises:
        UserError: no ``images/`` or ``masks/``, an image or a mask without its partner, two files of one name, fewer
            than `FEWEST` images, or a list of class names that cannot serve.
    """
    missing = [name for name in (IMAGES, MASKS) if not (root / name).is_dir()]
    if missing:
        raise UserError(
            f"The folder '{root}' has no sub-folder {' and no '.join(repr(name) for name in missing)}.",
            f"Put images into {IMAGES}/ and masks of the same names into {MASKS}/.",
        )
    images, masks = _by_stem(root, IMAGES, sorted(readable)), _by_stem(root, MASKS, MASK_FORMATS)
    for there, here, what in ((images, masks, "image without a mask"), (masks, images, "mask without an image")):
        alone = [there[stem] for stem in sorted(there.keys() - here.keys(), key=listing.natural)]
        if alone:
            raise UserError(
                f"'{root}' has {_counted(len(alone), what)}: {listed([_name(path) for path in alone])}.",
                f"An image and its mask have one name in {IMAGES}/ and {MASKS}/, as a.jpg and a.png; masks are "
                f"{', '.join(MASK_FORMATS)} files.",
            )
    if len(images) < FEWEST:
        raise UserError(f"'{root}' has {len(images)} images with masks.", f"Give at least {FEWEST}.")
    stems = sorted(images, key=listing.natural)
    entries = [Entry(images[stem], _name(images[stem]), 0) for stem in stems]
    return Pairs(entries, [masks[stem] for stem in stems], class_names(root))


def class_names(root: Path) -> tuple[str, ...] | None:
    """The names in ``classes.txt``, one a line: the first is that of mask value 0. None where there is no such file.

    Raises:
        UserError: it cannot be read, or has fewer than two names, more than `MOST`, or one twice.
    """
    file = root / NAMES
    if not file.is_file():
        return None
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        raise UserError(f"'{file}' cannot be read as UTF-8.", "Write one class name a line.") from None
    names = [listing.composed(line.strip()) for line in lines if line.strip()]
    double = next((name for name in names if names.count(name) > 1), "")
    if double or not 2 <= len(names) <= MOST:
        what = f"the name '{double}' twice" if double else f"{len(names)} names"
        raise UserError(
            f"'{file}' has {what}.",
            f"Write between 2 and {MOST} different class names, one a line; the first is that of mask value 0.",
        )
    return tuple(names)


def _by_stem(root: Path, folder: str, endings: Sequence[str]) -> dict[str, Path]:
    """The files of ``root/folder`` with one of ``endings``, by name without ending."""
    out: dict[str, Path] = {}
    for path in listing.entries(root / folder):
        if path.is_dir() or path.suffix.lower() not in endings:
            continue
        stem = listing.composed(path.stem)
        if stem in out:
            raise UserError(
                f"'{root}' has two files of one name: {_name(out[stem])} and {_name(path)}.",
                "Give each image and each mask a name of its own.",
            )
        out[stem] = path
    return out


def _name(path: Path) -> str:
    return listing.shown(listing.composed(f"{path.parent.name}/{path.name}"))


def _counted(n: int, what: str) -> str:
    """``1 image without a mask``, ``2 images without a mask``."""
    first, _, rest = what.partition(" ")
    return f"{n} {first if n == 1 else f'{first}s'} {rest}"


def listed(names: Sequence[str]) -> str:
    """The first `listing.NAMED` of ``names``, and how many more there are."""
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
