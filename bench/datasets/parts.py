"""Sets of several domains, each a folder of classes as its authors published it: ``NAME:PART``. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.datasets import listing
from bench.errors import UserError
from bench.paths import data_home
from bench.plugin_source import PluginInfo

LISTS = "lists"
"""The parameter that names a published list of files; ``all`` means every file."""


def find(info: PluginInfo, part: str) -> Path | None:
    """The folder of the classes of ``part``; None where it is not here."""
    places = (data_home() / at for at in info.parts[part][1])
    return next((place for place in places if place.is_dir()), None)


def folder(info: PluginInfo, part: str) -> Path:
    """The folder of the classes of ``part``.

    Raises:
        UserError: it is not here.
    """
    found = find(info, part)
    if found is None:
        raise UserError(
            f"{info.name}:{part} is not here: there is no folder {data_home() / info.parts[part][1][0]}.",
            info.remedy or "Put it there, with one sub-folder for each class; or set LOCKBENCH_DATA.",
        )
    return found


def read(info: PluginInfo, part: str, settings: Mapping[str, Any]) -> tuple[Path, listing.Listing]:
    """The folder of ``part`` and the images in it that are taken: all of them, or those of a published list.

    ``count`` in ``settings``, where the set has it, bounds how many: the first of each class, in equal number.

    Raises:
        UserError: it is not here, is not whole, or a list names what is not there.
    """
    from bench.datasets import decoding

    full = {name: param.default for name, param in info.params.items()} | dict(settings)
    root = folder(info, part)
    found = listing.read(root, "none", decoding.readable())
    due = info.parts[part][0]
    if len(found.images) != due:
        raise UserError(
            f"{info.name}:{part} has {len(found.images):,} images in {root}, and was published with {due:,}.",
            "Unpack its archive again; leave no image out, and add none.",
        )
    name = str(full.get(LISTS, "all"))
    if name != "all":
        found = replace(found, images=_of_list(data_home() / info.name, root, part, name, found.images))
    if "count" in full:
        found = replace(found, images=_first(found.images, len(found.classes), int(full["count"])))
    return root, found


def _first(images: list[listing.Entry], classes: int, most: int) -> list[listing.Entry]:
    """The first of each class, at most ``most`` in all and in equal number."""
    each, seen, out = max(1, most // classes), [0] * classes, []
    for entry in images:
        if seen[entry.label] < each:
            seen[entry.label] += 1
            out.append(entry)
    return out


def _of_list(home: Path, root: Path, part: str, name: str, images: list[listing.Entry]) -> list[listing.Entry]:
    """Those of ``images`` that the file ``PART_NAME_kfold.txt`` names, one a line as ``PART/class/file label``.

    It lies in the folder of the set, in one above the part, or in a folder beside the part. A path in it is only
    compared with those of images that were found, so that none leads out of the folder.
    """
    wanted = f"{part}_{name}_kfold.txt"
    above = [place for place in root.parents if place.is_relative_to(home)]
    places = [*above, *(p for place in above for p in sorted(place.iterdir()) if p.is_dir())]
    file = next((place / wanted for place in places if (place / wanted).is_file()), None)
    if file is None:
        raise UserError(f"There is no list {wanted} beside {root}.", "Put the published list there.")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{file} cannot be read as UTF-8.", "Fetch it again.") from None
    named = {line.split()[0].partition("/")[2] for line in lines if line.strip()}
    known = {entry.name: entry for entry in images}
    absent = sorted(named - known.keys())
    if absent or not named:
        what = f"names {len(absent)} images that are not in {root}, such as {absent[0]!r}" if absent else "is empty"
        raise UserError(f"{file} {what}.", "Take list and images from one publication.")
    return [entry for entry in images if entry.name in named]
