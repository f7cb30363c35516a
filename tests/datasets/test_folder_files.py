"""What a folder of images may hold, and what becomes of each file: one table."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image, features

from bench import datasets
from bench.datasets import decoding, listing
from bench.errors import UserError

RED, WHITE, BLACK = (255, 0, 0), (255, 255, 255), (0, 0, 0)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of ten different PNGs."""
    root = tmp_path / "photos"
    for label, kind in enumerate(("a", "b")):
        (root / kind).mkdir(parents=True)
        for i in range(10):
            Image.new("RGB", (20, 20), (20 * i, 100, 200 * label)).save(root / kind / f"img{i}.png")
    return root


def _cmyk_profile() -> bytes:
    """A colour profile by which full cyan is red: a table of two points for each ink, in Lab."""
    table = b"".join(
        bytes((138, 208, 195)) if at >> 3 & 1 and not at & 7 else bytes((255, 128, 128)) for at in range(16)
    )
    ramp = bytes(range(256))
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + ramp * 4 + table + ramp * 3
    header = bytearray(128)
    header[8:12] = struct.pack(">I", 0x02400000)
    header[12:24] = b"prtrCMYKLab "
    header[36:40] = b"acsp"
    header[68:80] = struct.pack(">3i", 63190, 65536, 54061)
    body = struct.pack(">I", 1) + b"A2B0" + struct.pack(">2I", 144, len(lut))
    data = bytes(header) + body + lut
    return struct.pack(">I", len(data)) + data[4:]


def _save(image: Image.Image, **options: object) -> Callable[[Path], None]:
    return lambda path: image.save(path, **options)


def _palette() -> Image.Image:
    image = Image.new("P", (20, 20), 0)
    image.putpalette([0, 0, 255, 255, 0, 0])
    return image


def _upside_down() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 3
    return exif


def _deep() -> Image.Image:
    """Sixteen bits: white above, black below."""
    grey = np.zeros((20, 20), np.uint16)
    grey[:10] = 65535
    return Image.fromarray(grey)


class Read(NamedTuple):
    """A file that is read.

    Args:
        name: of the file.
        write: makes it.
        top, bottom: the colour of its upper and lower half.
        settings: of the task.
    """

    name: str
    write: Callable[[Path], None]
    top: tuple[int, int, int]
    bottom: tuple[int, int, int]
    settings: dict[str, str] = {}


CLEAR = Image.new("RGBA", (20, 20), (0, 0, 255, 0))
FRAMES = [Image.new("RGB", (20, 20), colour) for colour in (RED, BLACK)]
READ = [
    Read("transparent.png", _save(CLEAR), WHITE, WHITE),
    Read("on-black.png", _save(CLEAR), BLACK, BLACK, {"background": "black"}),
    Read("grey-and-clear.png", _save(Image.new("LA", (20, 20), (0, 0))), WHITE, WHITE),
    Read("palette.png", _save(_palette(), transparency=0), WHITE, WHITE),
    Read("palette.gif", _save(_palette(), transparency=0), WHITE, WHITE),
    Read("colour-key.png", _save(Image.new("RGB", (20, 20), RED), transparency=RED), WHITE, WHITE),
    Read("deep.png", _save(_deep()), WHITE, BLACK),
    Read("deep-turned.png", _save(_deep(), exif=_upside_down()), BLACK, WHITE),
    Read("deep-turned.tif", _save(_deep(), exif=_upside_down()), BLACK, WHITE),
    Read("inks.tif", _save(Image.new("CMYK", (20, 20), (0, 255, 255, 0))), RED, RED),
    Read(
        "inks-by-profile.jpg",
        _save(Image.new("CMYK", (20, 20), (255, 0, 0, 0)), icc_profile=_cmyk_profile(), quality=100),
        RED,
        RED,
    ),
    Read(
        "inks-bad-profile.tif",
        _save(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), icc_profile=b"no profile"),
        RED,
        RED,
    ),
    Read("moving.gif", _save(FRAMES[0], save_all=True, append_images=FRAMES[1:]), RED, RED),
    Read("moving.webp", _save(FRAMES[0], save_all=True, append_images=FRAMES[1:], lossless=True), RED, RED),
    Read("photo.jfif", _save(Image.new("RGB", (20, 20), WHITE), format="JPEG"), WHITE, WHITE),
    Read("PHOTO.JPE", _save(Image.new("RGB", (20, 20), WHITE), format="JPEG"), WHITE, WHITE),
]


@pytest.mark.parametrize("case", READ, ids=[case.name for case in READ])
def test_a_file_that_is_read(photos: Path, case: Read) -> None:
    case.write(photos / "a" / f"0-{case.name}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = datasets.load(f"folder:{photos}", size=20, settings=case.settings)
    image = data.images[0].numpy()
    assert np.abs(image[:, 2].mean(1) - case.top).max() < 45, image[:, 2].mean(1)
    assert np.abs(image[:, 17].mean(1) - case.bottom).max() < 45, image[:, 17].mean(1)


UNREAD = {
    "0.jp2": "convert it to PNG",
    "0.dng": "convert it to PNG",
    "0.heic": "pillow-heif",
    "0.avif": "Pillow 11.3",
    "picture": "its name has no ending",
}


@pytest.mark.parametrize("name", UNREAD)
def test_a_picture_that_is_not_read_is_named(photos: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "formats", lambda: decoding._FORMATS)
    decoding.readable.cache_clear()
    Image.new("RGB", (20, 20)).save(photos / "a" / name, format="PNG")
    notes = datasets.load(f"folder:{photos}").notes
    decoding.readable.cache_clear()
    assert notes["unread"] == [f"a/{name}"]
    assert UNREAD[name] in notes["remarks"][0]


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_is_read_where_pillow_can(photos: Path) -> None:
    Image.new("RGB", (20, 20), RED).save(photos / "a" / "0.avif")
    data = datasets.load(f"folder:{photos}", size=20)
    assert len(data) == 21
    assert np.abs(data.images[0, :, 5, 5].numpy().astype(int) - RED).max() < 20


def test_heic_is_read_where_its_library_is(photos: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.new("RGB", (64, 64), RED)).save(photos / "a" / "0.heic")
    data = datasets.load(f"folder:{photos}", size=20)
    assert len(data) == 21
    assert np.abs(data.images[0, :, 5, 5].numpy().astype(int) - RED).max() < 20


@pytest.mark.parametrize(
    "name", ["Thumbs.db", "desktop.ini", ".DS_Store", "__MACOSX/a/._img1.png", "a/._img1.png", "a/Thumbs.db"]
)
def test_droppings_change_nothing(photos: Path, name: str) -> None:
    task = f"folder:{photos}"
    before, content = datasets.load(task), datasets.content(task)
    (photos / name).parent.mkdir(parents=True, exist_ok=True)
    (photos / name).write_bytes(b"no image")
    after = datasets.load(task)
    assert after.classes == ("a", "b")
    assert after.notes == before.notes
    assert datasets.content(task) == content


def test_a_decompression_bomb_is_a_bad_file_with_its_reason(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    Image.new("1", (1100, 1000)).save(photos / "a" / "bomb.png")
    Image.new("1", (2100, 1000)).save(photos / "b" / "bomb.png")
    with pytest.raises(UserError) as caught:
        datasets.load(f"folder:{photos}")
    for kind in ("a", "b"):
        assert f"{kind}/bomb.png (more than 1 million pixels)" in caught.value.message


def test_files_come_in_natural_order(photos: Path) -> None:
    Image.new("RGB", (20, 20), (7, 7, 7)).save(photos / "a" / "img10.png")
    data = datasets.load(f"folder:{photos}", size=20)
    assert data.images[:11, 0, 0, 0].tolist() == [0, 20, 40, 60, 80, 100, 120, 140, 160, 180, 7]


def test_names_in_two_forms_of_unicode_are_one_class(photos: Path) -> None:
    (photos / "a").rename(photos / "caf\u00e9")
    other = photos / "cafe\u0301"
    other.mkdir()
    Image.new("RGB", (20, 20), (7, 7, 7)).save(other / "more.png")
    data = datasets.load(f"folder:{photos}")
    assert data.classes == ("b", "caf\u00e9")
    assert data.labels.tolist().count(1) == 11


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (("train/a", "train/b", "test/a", "test/b"), "they are parts of a data set: name one, e.g."),
        (("images", "masks"), "looks like the masks of a segmentation: name the folder folder-seg:"),
        (("mask", "no_mask"), "add images"),
        (("a", "b"), "add images, or take the folder out"),
    ],
)
def test_another_layout_is_named(folders: tuple[str, ...], words: str, tmp_path: Path) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(UserError) as caught:
        listing.check(tmp_path)
    assert words in caught.value.remedy
