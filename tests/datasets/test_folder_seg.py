"""``folder-seg``: what a folder of images and masks may hold, and what is said of what it may not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench import datasets
from bench.datasets import masks
from bench.datasets.base import Dataset
from bench.errors import UserError

N = 24


def _values(i: int) -> np.ndarray:
    """A mask of 20 × 24 pixels: value 1 or 2 in the middle, 255 in a corner."""
    values = np.zeros((20, 24), np.uint8)
    values[5:15, 7:17] = 1 + i % 2
    values[:2, 2:4] = 255
    return values


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """24 different images with grey masks of three classes."""
    root = tmp_path / "photos"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for i in range(N):
        Image.new("RGB", (24, 20), (10 * i, 100, 0)).save(root / "images" / f"img{i}.jpg")
        Image.fromarray(_values(i)).save(root / "masks" / f"img{i}.png")
    return root


def _load(root: Path, **options: Any) -> Dataset:
    return datasets.load(f"folder-seg:{root}", size=20, **options)


def test_masks_are_cut_like_their_images_and_not_mixed(photos: Path) -> None:
    data = _load(photos)
    assert (data.name, data.kind) == ("folder-seg:photos", "segmentation")
    assert data.classes == ("background", "class 1", "class 2")
    assert data.labels.tolist() == [1, 2] * (N // 2)
    assert data.masks is not None
    expected = torch.from_numpy(np.stack([_values(i)[:, 2:22] for i in range(N)]))
    assert torch.equal(data.masks, expected)


def test_values_keep_to_the_image_when_both_are_made_smaller(photos: Path) -> None:
    for i in range(N):
        image = np.zeros((40, 48, 3), np.uint8)
        values = np.zeros((40, 48), np.uint8)
        image[8:24, 12:36] = 255
        values[8:24, 12:36] = 1 + i % 2
        image[0, 0] = i
        Image.fromarray(image).save(photos / "images" / f"img{i}.jpg", quality=100)
        Image.fromarray(values).save(photos / "masks" / f"img{i}.png")
    data = _load(photos)
    assert data.masks is not None
    bright = data.images.float().mean(1) > 127
    assert (bright == (data.masks > 0)).float().mean() > 0.99


def test_palette_masks_and_names_of_classes(photos: Path) -> None:
    for i in range(N):
        mask = Image.fromarray(_values(i)).convert("P")
        mask.putpalette([7, 7, 7, 250, 0, 0, 0, 250, 0, *[255] * 759])
        mask.putdata(_values(i).ravel().tolist())
        mask.save(photos / "masks" / f"img{i}.png")
    (photos / "classes.txt").write_text("ground\ncat\ndog\nhorse\n")
    data = _load(photos)
    assert data.classes == ("ground", "cat", "dog", "horse")
    assert data.masks is not None
    assert data.masks.unique().tolist() == [0, 1, 2, 255]
    assert "Classes on fewer than 10 images, so that a split may lack them: horse (0)." in data.notes["remarks"]


def test_another_value_can_be_left_out(photos: Path) -> None:
    for i in range(N):
        values = _values(i)
        values[values == 255] = 9
        Image.fromarray(values).save(photos / "masks" / f"img{i}.png")
    data = _load(photos, settings={"ignore": 9})
    assert data.masks is not None
    assert data.masks.unique().tolist() == [0, 1, 2, 255]
    with pytest.raises(UserError, match="go up to 9 but lack 3, 4, 5, 6, 7, 8"):
        _load(photos)


def _lose(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink()


def _colour(root: Path) -> None:
    Image.new("RGB", (24, 20)).save(root / "masks" / "img3.png")


def _larger(root: Path) -> None:
    Image.new("L", (25, 20)).save(root / "masks" / "img3.png")


def _named(root: Path) -> None:
    (root / "classes.txt").write_text("ground\ncat\n")


def _broken(root: Path) -> None:
    (root / "masks" / "img3.png").write_bytes(b"")


def _twice(root: Path) -> None:
    Image.new("RGB", (24, 20)).save(root / "images" / "img3.bmp")


def _no_masks(root: Path) -> None:
    (root / "masks").rename(root / "labels")


def _flat(root: Path) -> None:
    for i in range(N):
        Image.new("L", (24, 20)).save(root / "masks" / f"img{i}.png")


def _same_names(root: Path) -> None:
    (root / "classes.txt").write_text("ground\ncat\ncat\n")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_lose("masks/img3.png"), r"1 image without a mask: images/img3\.jpg"),
        (_lose("images/img3.jpg"), r"1 mask without an image: masks/img3\.png"),
        (_colour, r"masks/img3\.png \(a colour image; a mask is palette or grey\)"),
        (_larger, r"masks/img3\.png \(25×20 pixels, its image 24×20\)"),
        (_named, r"masks/img1\.png \(value 2 outside the 2 classes\)"),
        (_broken, r"masks/img3\.png \(empty\)"),
        (_twice, "two files of one name: images/img3"),
        (_no_masks, "has no sub-folder 'masks'"),
        (_flat, "have one class, or none"),
        (_same_names, "has the name 'cat' twice"),
    ],
)
def test_what_does_not_fit_is_named(photos: Path, harm: Callable[[Path], None], message: str) -> None:
    harm(photos)
    with pytest.raises(UserError, match=message):
        _load(photos)


def test_pairs_that_cannot_be_used_are_left_out_when_asked(photos: Path) -> None:
    _larger(photos)
    data = _load(photos, skip_bad=True)
    assert len(data) == N - 1
    assert data.notes["skipped"] == ["masks/img3.png"]
    assert data.labels.tolist() == [1 + i % 2 for i in range(N) if i != 3]


def test_a_turned_photograph_has_its_mask_upright(photos: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (20, 24), (1, 2, 3)).save(photos / "images" / "img3.jpg", exif=turned)
    assert len(_load(photos)) == N


def test_a_plan_sees_what_is_missing_before_it_reads_an_image(photos: Path) -> None:
    datasets.check_data(f"folder-seg:{photos}")
    _lose("masks/img3.png")(photos)
    with pytest.raises(UserError, match="1 image without a mask"):
        datasets.check_data(f"folder-seg:{photos}")
    with pytest.raises(UserError, match=r"Write folder-seg:PATH, with images/ and masks/ in PATH|names no folder"):
        datasets.check("folder-seg:")


def test_a_changed_mask_is_another_folder(photos: Path) -> None:
    before = datasets.content(f"folder-seg:{photos}")
    Image.fromarray(_values(0)).save(photos / "masks" / "img1.png")
    assert datasets.content(f"folder-seg:{photos}") != before


def test_main_classes_of_few_images_share_a_stratum() -> None:
    main = np.array([1] * 9 + [2] * 4 + [3] * 5)
    assert masks.strata(main, 4).tolist() == [1] * 13 + [3] * 5


@pytest.mark.parametrize("form", ["jpg", "png", "webp", "tif"])
def test_an_image_that_lies_on_its_side_fits_its_upright_mask(form: str, photos: Path) -> None:
    first = sorted((photos / "images").iterdir())[0]
    first.unlink()
    orientation = Image.Exif()
    orientation[0x0112] = 6  # its top is at the right
    Image.new("RGB", (20, 24), (10, 100, 0)).save(first.with_suffix(f".{form}"), exif=orientation)
    assert len(_load(photos)) == N
