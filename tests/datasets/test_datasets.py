"""Data sets: what they promise in shape and range, that they do not move by themselves, and how folders fail."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from places import ROOT

from bench import datasets
from bench.datasets import base, digits_m, scenario, shapes, textures
from bench.datasets.base import Dataset
from bench.errors import UserError
from bench.plugin_modules import _imported

EMBEDDED = {"digits": 1797, "digits-m": 1797, "fonts": 2000, "shapes": 2400}


@pytest.mark.parametrize(("task", "count"), EMBEDDED.items())
def test_embedded_sets_keep_their_promises(task: str, count: int) -> None:
    data = datasets.load(task)
    assert data.name == task
    assert data.images.shape == (count, 3, 32, 32)
    assert data.images.dtype == torch.uint8
    assert data.images.is_contiguous()
    assert data.labels.shape == (count,)
    assert data.labels.dtype == torch.int64
    assert len(data.classes) == 10
    assert set(data.labels.tolist()) == set(range(10))
    assert data.images.min() < 20  # the whole range is used, not [0, 1] cast to bytes
    assert data.images.max() > 235
    assert len(data.images.flatten(1).unique(dim=0)) == count
    json.dumps(dict(data.notes))


@pytest.mark.parametrize("task", EMBEDDED)
def test_size_is_a_parameter(task: str) -> None:
    data = datasets.load(task, size=16)
    assert data.images.shape[1:] == (3, 16, 16)
    assert torch.equal(data.labels, datasets.load(task).labels)
    with pytest.raises(UserError, match="size 8"):
        datasets.load(task, size=8)


def test_digits_are_grey_on_black_and_those_of_the_source() -> None:
    from sklearn.datasets import load_digits

    data = datasets.load("digits")
    assert torch.equal(data.images[:, 0], data.images[:, 1])
    assert torch.equal(data.images[:, 0], data.images[:, 2])
    assert data.labels.tolist() == load_digits().target.tolist()
    small = torch.nn.functional.avg_pool2d(data.images[:, 0].float(), 4).numpy() / 255 * 16
    assert np.abs(small - load_digits().images).mean() < 1.0


@pytest.mark.parametrize(("build", "task"), [(digits_m.build, "digits-m"), (shapes.build, "shapes")])
def test_drawn_anew_they_are_the_same(build, task: str) -> None:
    again = build.__wrapped__(32, 0)  # past the cache
    assert again is not datasets.load(task)
    assert torch.equal(again.images, datasets.load(task).images)
    assert again.fingerprint == datasets.load(task).fingerprint


def test_generator_seed_moves_the_textures_but_no_digit() -> None:
    first, second = datasets.load("digits-m"), datasets.load("digits-m", generator_seed=1)
    assert torch.equal(first.labels, second.labels)
    assert first.fingerprint != second.fingerprint
    differs = (first.images != second.images).flatten(1).any(1)
    assert differs.all()


def test_digits_m_is_the_absolute_difference_of_texture_and_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits_m, "textures", lambda n, size, rng: np.full((n, size, size, 3), 0.25, np.float32))
    blended = digits_m.build.__wrapped__(32, 0).images.float() / 255
    stroke = datasets.load("digits").images.float() / 255
    assert (blended - (0.25 - stroke).abs()).abs().max() < 1 / 255


@pytest.mark.parametrize("kind", textures.KINDS)
def test_every_texture_varies_within_its_range(kind: str) -> None:
    sample = textures.patterns(8, 32, np.random.default_rng(0), (kind,))
    assert sample.shape == (8, 32, 32, 3)
    assert sample.dtype == np.float32
    assert np.abs(sample).max() <= 1.0
    assert sample.std(axis=(1, 2)).max(axis=1).min() > 0.05


def test_shapes_seed_moves_drawings_but_no_label() -> None:
    first, second = datasets.load("shapes"), datasets.load("shapes", generator_seed=1)
    assert torch.equal(first.labels, second.labels)
    assert (first.images != second.images).flatten(1).any(1).all()
    assert not torch.equal(first.masks, second.masks)


def test_masks_hold_the_label_where_the_shape_is() -> None:
    data = datasets.load("shapes")
    assert data.masks is not None
    assert data.masks.shape == (2400, 32, 32)
    assert data.masks.dtype == torch.uint8
    assert torch.bincount(data.labels).tolist() == [shapes.PER_CLASS] * 10
    own = (data.labels + 1)[:, None, None]
    assert ((data.masks == 0) | (data.masks == own)).all()
    area = (data.masks > 0).float().mean((1, 2))
    assert area.min() > 0.01
    assert area.max() < 0.7
    # A ring is open in the middle and a square is not.
    for name, filled in (("ring", False), ("square", True)):
        for mask in data.masks[data.labels == data.classes.index(name)][:20]:
            rows, columns = mask.nonzero(as_tuple=True)
            centre = int(rows.float().mean().round()), int(columns.float().mean().round())
            assert bool(mask[centre] > 0) == filled


def test_masks_lie_on_the_drawn_colour() -> None:
    data = datasets.load("shapes")
    assert data.masks is not None
    apart = 0
    for image, mask in zip(data.images[:200].float(), data.masks[:200], strict=True):
        inside, outside = image[:, mask > 0], image[:, mask == 0]
        # One colour within the shape: tight there, and away from the ground.
        apart += bool((inside.mean(1) - outside.mean(1)).norm() > 40 and inside.std(1).mean() < 40)
    assert apart > 180


def test_fingerprint_answers_to_each_part() -> None:
    data = base.Dataset("x", torch.zeros(4, 3, 16, 16, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]), ("a", "b"))
    pixel = data.images.clone()
    pixel[2, 1, 5, 5] = 1
    changed = [
        dataclasses.replace(data, images=pixel),
        dataclasses.replace(data, labels=torch.tensor([0, 1, 1, 1])),
        dataclasses.replace(data, classes=("a", "c")),
        dataclasses.replace(data, masks=torch.zeros(4, 16, 16, dtype=torch.uint8)),
    ]
    prints = [data.fingerprint, *(d.fingerprint for d in changed)]
    assert len(set(prints)) == len(prints)
    assert dataclasses.replace(data, name="y", notes={"skipped": ["z"]}).fingerprint == data.fingerprint
    assert len(data.fingerprint) == 20
    int(data.fingerprint, 16)


@pytest.mark.parametrize(
    "wrong",
    [
        {"images": torch.zeros(4, 3, 16, 16)},
        {"labels": torch.tensor([0, 1, 2, 0])},
        {"labels": torch.tensor([0, 1])},
        {"masks": torch.zeros(4, 8, 8, dtype=torch.uint8)},
        {"masks": torch.zeros(4, 16, 16, dtype=torch.int64)},
    ],
)
def test_a_data_set_of_wrong_form_is_refused(wrong: dict[str, torch.Tensor]) -> None:
    right = {"images": torch.zeros(4, 3, 16, 16, dtype=torch.uint8), "labels": torch.tensor([0, 1, 0, 1])}
    with pytest.raises(ValueError):
        base.Dataset("x", classes=("a", "b"), **(right | wrong))


def test_unknown_tasks_get_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        datasets.check("digit-m")
    assert "'digits-m'" in caught.value.remedy
    with pytest.raises(UserError) as caught:
        datasets.check("qqqqqq")
    assert "shapes" in caught.value.remedy
    with pytest.raises(UserError) as caught:
        datasets.check(str(tmp_path))
    assert f"folder:{tmp_path}" in caught.value.remedy


def test_folders_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        datasets.check(f"folder:{tmp_path}/nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        datasets.check(f"folder:{tmp_path}/file")
    for task in ("folder:", "folder:PATH"):
        with pytest.raises(UserError, match="names no folder"):
            datasets.load(task)
    for task in EMBEDDED:
        datasets.check(task)
    datasets.check(f"folder:{tmp_path}")


def test_importing_the_package_leaves_torch_alone() -> None:
    code = "import sys, bench.datasets as d; d.check('digits'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_trains_the_pack_and_what_draws_data_share_no_code() -> None:
    """Imports, read from the sources: the factory of the pack and the data sets stay apart."""
    factory = {module for file in (ROOT / "tools" / "miniature").glob("*.py") for module, _ in _imported(file)}
    sources = {module for file in (ROOT / "bench" / "datasets").glob("*.py") for module, _ in _imported(file)}
    assert "tools.miniature.generator" in factory
    assert "bench.datasets.textures" in sources
    assert not {m for m in sources if m.startswith(("tools", "bench.miniature"))}
    measured = {"bench.datasets", "bench.datasets.load"}  # the card compares the pack with the data, after training
    assert not {m for m in factory if m.startswith("bench.datasets")} - measured


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of ten PNGs: red 20×40 images with a blue left third in class b, plain in class a."""
    for kind in ("b", "a"):
        (tmp_path / kind).mkdir()
        for i in range(10):
            image = Image.new("RGB", (40, 20), (200, i, 0))
            if kind == "b":
                image.paste((0, 0, 200), (0, 0, 10, 20))
            image.save(tmp_path / kind / f"{i:02}.png")
    return tmp_path


def _load(root: Path, **options):
    return datasets.load(f"folder:{root}", **options)


def test_folder_reads_classes_and_files_in_order(photos: Path) -> None:
    data = _load(photos, size=20)
    assert data.name == f"folder:{photos.name}"
    assert data.classes == ("a", "b")
    assert data.labels.tolist() == [0] * 10 + [1] * 10
    assert data.images.shape == (20, 3, 20, 20)
    assert data.images[:10, 1, 0, 0].tolist() == list(range(10))
    assert data.notes["skipped"] == []
    assert data.notes["ignored"] == 0
    # The centre of 40×20 is cut out: the blue quarter on the left is gone.
    assert (data.images[10:, 2] == 0).all()
    assert data.fingerprint == _load(photos, size=20).fingerprint


def test_folder_resizes_the_shorter_side(photos: Path) -> None:
    Image.new("RGB", (64, 128), (10, 20, 30)).save(photos / "a" / "00.png")
    assert _load(photos).images[0].float().mean((1, 2)).tolist() == [10, 20, 30]


def test_folder_takes_other_modes_and_types(photos: Path) -> None:
    (photos / "c").mkdir()
    grey = np.tile(np.linspace(0, 65535, 32).astype(np.uint16), (32, 1))
    Image.fromarray(grey).save(photos / "c" / "00.png")
    for i, mode in enumerate(("L", "RGBA", "P", "1", "CMYK", "LA"), start=1):
        suffix = "tif" if mode == "CMYK" else "png"
        Image.new(mode, (32, 32)).save(photos / "c" / f"{i:02}.{suffix}")
    for i, suffix in enumerate(("JPG", "webp", "gif", "bmp", "ppm", "jpeg"), start=7):
        Image.new("RGB", (32, 32), (255, 255, 255)).save(photos / "c" / f"{i:02}.{suffix}")
    data = _load(photos)
    third = data.images[data.labels == 2]
    assert len(third) == 13
    ramp = third[0, 0, 0].float()
    assert (ramp.diff() >= 0).all()
    assert ramp[16] == pytest.approx(132, abs=8)  # sixteen bits are scaled, not clipped to white
    assert (third[7:] > 250).all()


def test_folder_turns_photographs_upright(photos: Path) -> None:
    upright = Image.new("RGB", (32, 32), (255, 255, 255))
    upright.paste((0, 0, 0), (0, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees
    upright.rotate(90).save(photos / "a" / "00.png", exif=exif)
    image = _load(photos).images[0].float()
    assert image[:, :14].mean() < 20
    assert image[:, 18:].mean() > 235


def _break(root: Path) -> None:
    rng = np.random.default_rng(0)
    whole = root / "a" / "zz_truncated.jpg"
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(whole)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (root / "b" / "zz_empty.png").touch()
    (root / "b" / "zz_text.png").write_text("this is no image")


def test_bad_files_are_named_and_the_run_refuses(photos: Path) -> None:
    _break(photos)
    with pytest.raises(UserError) as caught:
        _load(photos)
    assert caught.value.message.startswith("3 image files")
    for part in ("a/zz_truncated.jpg (truncated)", "b/zz_empty.png (empty)", "b/zz_text.png (corrupt)"):
        assert part in caught.value.message
    assert "--skip-bad" in caught.value.remedy


def test_skip_bad_goes_on_and_says_so(photos: Path) -> None:
    clean = _load(photos)
    _break(photos)
    data = _load(photos, skip_bad=True)
    assert data.notes["skipped"] == ["a/zz_truncated.jpg", "b/zz_empty.png", "b/zz_text.png"]
    assert data.fingerprint == clean.fingerprint
    json.dumps(dict(data.notes))


def test_many_bad_files_are_counted(photos: Path) -> None:
    for i in range(14):
        (photos / "a" / f"bad{i:02}.jpg").touch()
    with pytest.raises(UserError) as caught:
        _load(photos)
    assert caught.value.message.count("(empty)") == 10
    assert "and 4 more" in caught.value.message


def test_hidden_nested_and_other_files_are_left_alone(photos: Path) -> None:
    clean = _load(photos)
    (photos / ".cache").mkdir()
    (photos / "a" / ".hidden.png").write_text("no image")
    (photos / "a" / "deeper").mkdir()
    Image.new("RGB", (32, 32)).save(photos / "a" / "deeper" / "0.png")
    (photos / "a" / "notes.txt").write_text("about class a")
    (photos / "README.md").write_text("about all")
    data = _load(photos)
    assert data.fingerprint == clean.fingerprint
    assert data.notes["ignored"] == 2


def test_a_folder_needs_two_full_classes(photos: Path) -> None:
    (photos / "c").mkdir()
    with pytest.raises(UserError, match=r"'c' \(0\)"):
        _load(photos)
    for i in range(9):
        Image.new("RGB", (32, 32), (i, i, i)).save(photos / "c" / f"{i}.png")
    with pytest.raises(UserError, match=r"fewer than 10 .*'c' \(9\)"):
        _load(photos)
    with pytest.raises(UserError, match="0 sub-folders; at least 2 classes"):
        _load(photos / "a")


def test_skipping_may_leave_too_few(photos: Path) -> None:
    (photos / "a" / "03.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"'a' \(9\)"):
        _load(photos, skip_bad=True)


def test_names_that_are_no_utf_8(photos: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    (photos / "a" / f"{odd}.png").touch()
    assert _load(photos, skip_bad=True).notes["skipped"] == ["a/caf\\xe9.png"]
    assert _content(photos)
    (photos / "b").rename(photos / odd)
    with pytest.raises(UserError, match="no UTF-8"):
        datasets.check_data(f"folder:{photos}")


def _content(root: Path) -> dict[str, object]:
    return datasets.content(f"folder:{root}")


def test_content_follows_links_to_files_and_class_folders(
    photos: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    far = tmp_path_factory.mktemp("far")
    (photos / "b").rename(far / "b")
    (photos / "b").symlink_to(far / "b")
    (photos / "a" / "00.png").rename(far / "00.png")
    (photos / "a" / "00.png").symlink_to(far / "00.png")
    assert _load(photos).classes == ("a", "b")
    contents = [_content(photos)]
    Image.new("RGB", (40, 20), (1, 2, 3)).save(far / "b" / "more.png")
    contents.append(_content(photos))
    Image.new("RGB", (50, 20), (1, 2, 3)).save(far / "00.png")
    contents.append(_content(photos))
    (photos / "b").unlink()
    (photos / "b").symlink_to(far)
    contents.append(_content(photos))
    assert len({str(content) for content in contents}) == len(contents)
    assert _content(photos) == contents[-1]


def test_content_of_links_in_a_circle_or_to_nowhere(photos: Path) -> None:
    before = _content(photos)
    (photos / "a" / "up").symlink_to(photos)
    assert _content(photos) == before  # nothing is read there
    (photos / "a" / "nowhere.png").symlink_to("not there")
    assert _content(photos) != before
    with pytest.raises(UserError, match=r"a/nowhere.png \(broken link\)"):
        _load(photos)


def test_two_classes_of_one_name_are_refused() -> None:
    images, labels = torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 0, 1, 1])
    with pytest.raises(ValueError, match="two classes have the name 'cat'"):
        Dataset("mine", images, labels, ("cat", "cat"))


def test_a_class_without_an_image_is_refused() -> None:
    images, labels = torch.zeros(40, 3, 8, 8, dtype=torch.uint8), torch.arange(40) % 2
    with pytest.raises(UserError, match="class 'dog' has 0 images") as caught:
        scenario.split(Dataset("mine", images, labels, ("cat", "cow", "dog")), 0)
    assert "add images" in caught.value.remedy
