"""A folder is its name and content: where it lies, how it is spelt and when it was copied play no part."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from bench import datasets, plan
from bench.contracts import Images
from bench.datasets import contents, decoded, scenario
from bench.errors import UserError
from bench.guests import packing
from bench.records import name_of
from bench.store import identity
from bench.store.settings import Settings


def _write(root: Path, classes: tuple[str, ...] = ("a", "b"), n: int = 30) -> Path:
    for label, kind in enumerate(classes):
        (root / kind).mkdir(parents=True)
        for i in range(n):
            Image.new("RGB", (20, 20), (8 * i, 100 * label, 60)).save(root / kind / f"{i}.png")
    return root


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return _write(tmp_path / "here" / "photos")


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Every folder counts as a large one; the folder of what is kept."""
    for module in (contents, decoded):
        monkeypatch.setattr(module, "SMALL", 0)
    monkeypatch.setenv("LOCKBENCH_DATA", str(tmp_path / "kept"))
    return tmp_path / "kept" / "folders"


def _cell(path: Path | str):
    return plan.make_cell("none", "none", f"folder:{path}", "cnn", {})


def test_a_copy_elsewhere_has_the_same_splits_seeds_and_hashes(photos: Path, tmp_path: Path) -> None:
    copy = tmp_path / "there" / "photos"
    shutil.copytree(photos, copy)
    os.utime(copy / "a" / "1.png", (1, 1))
    one, two = _cell(photos), _cell(copy)
    assert one.scenario != two.scenario
    assert one.row_key() == two.row_key()
    assert identity.of(one, Settings()).hashes == identity.of(two, Settings()).hashes
    assert identity.of(one, Settings()).seeds == identity.of(two, Settings()).seeds
    first, second = (scenario.load(cell.scenario, 0) for cell in (one, two))
    assert first.fingerprint() == second.fingerprint()


def test_another_content_or_name_is_another_folder(photos: Path, tmp_path: Path) -> None:
    before = identity.of(_cell(photos), Settings()).record
    other = tmp_path / "there" / "pictures"
    shutil.copytree(photos, other)
    changed = tmp_path / "there" / "photos"
    shutil.copytree(photos, changed)
    Image.new("RGB", (20, 20), (1, 2, 3)).save(changed / "a" / "1.png")
    hashes = {identity.of(_cell(path), Settings()).record for path in (other, changed)}
    assert len(hashes | {before}) == 3


def test_every_spelling_of_a_path_is_one_scenario(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(photos.parent))
    monkeypatch.chdir(photos.parent)
    (photos.parent / "link").symlink_to(photos)
    spellings = ["~/photos", "photos", "./photos/", "../here/photos", "link", str(photos)]
    assert {_cell(path).scenario for path in spellings} == {f"folder:{photos.resolve()}"}
    pair = plan.make_cell("none", "none", "folder:photos:folder:~/photos/../photos", "cnn", {})
    assert name_of(pair.scenario) == "folder:photos:folder:photos"


def test_two_folders_of_one_name_are_refused_in_one_plan(photos: Path, tmp_path: Path) -> None:
    other = _write(tmp_path / "there" / "photos")
    line = plan.SuiteLine(["none"], ["none"], [f"folder:{photos}", f"folder:{other}"], ["cnn"])
    with pytest.raises(UserError, match="one name"):
        plan.build([line])


def test_equal_images_stay_on_one_side_and_are_counted(photos: Path) -> None:
    for i in range(10):
        shutil.copy(photos / "a" / f"{i}.png", photos / "a" / f"copy{i}.png")
    shutil.copy(photos / "a" / "3.png", photos / "b" / "wrong.png")
    side = scenario.load(f"folder:{photos}", 0).authorised
    notes = side.dataset.notes
    assert notes["copies"] == 11
    assert notes["contradictions"] == ["a/3.png"]
    sides = [{bytes(image.numpy()) for image in side.dataset.images[part]} for part in side.splits.__dict__.values()]
    assert not any(one & two for i, one in enumerate(sides) for two in sides[:i])


def test_sub_folders_are_groups_that_no_split_parts(tmp_path: Path) -> None:
    root = tmp_path / "patients"
    for label, kind in enumerate(("ill", "well")):
        for patient in range(12):
            (root / kind / f"p{patient}" / "scan").mkdir(parents=True)
            for i in range(4):
                colour = (20 * patient + i, 100 * label, 7)
                Image.new("RGB", (16, 16), colour).save(root / kind / f"p{patient}" / "scan" / f"{i}.png")
    with pytest.raises(UserError, match=r"fewer than 10"):
        datasets.load(f"folder:{root}")
    side = scenario.load(f"folder:{root}", 0, settings={"groups": "folder"}).authorised
    assert len(side.dataset) == 96
    assert side.dataset.groups is not None
    owners = [set(side.dataset.groups[part].tolist()) for part in side.splits.__dict__.values()]
    assert sum(map(len, owners)) == 12  # a patient in both classes is one patient
    assert sum(len(part) for part in side.splits.__dict__.values()) == 96
    again = scenario.load(f"folder:{root}", 1, settings={"groups": "folder"}).authorised
    assert torch.equal(side.splits.test, again.splits.test)


def test_too_few_groups_are_refused_in_one_line(photos: Path) -> None:
    for i in range(30):
        Image.new("RGB", (20, 20), (9, 9, 9)).save(photos / "a" / f"{i}.png")
    with pytest.raises(UserError, match="class 'a' has too few groups"):
        scenario.load(f"folder:{photos}", 0)


def test_uneven_classes_are_said(tmp_path: Path) -> None:
    root = _write(tmp_path / "uneven", ("a",), 30)
    (root / "b").mkdir()
    for i in range(10):
        Image.new("RGB", (20, 20), (i, 0, 255)).save(root / "b" / f"{i}.png")
    remarks = datasets.load(f"folder:{root}").notes["remarks"]
    assert remarks == [
        "Classes are uneven: 'a' has 75.0 % of the images, where even ones had 50.0 %. The floor is the former."
    ]


def test_a_large_folder_is_decoded_once(photos: Path, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = scenario.load(f"folder:{photos}", 0).fingerprint()
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(decoded.decoding, "read", lambda *_: pytest.fail("decoded again"))
    moved = photos.rename(photos.parent / "moved")
    shutil.copytree(moved, photos.parent.parent / "photos")
    again = scenario.load(f"folder:{photos.parent.parent / 'photos'}", 0, progress=lambda *at: seen.append(at))
    assert again.fingerprint() == usual
    assert not seen


@pytest.mark.parametrize("file", ["pixels", "note.json"])
def test_damage_to_what_is_kept_is_noticed(photos: Path, large: Path, file: str) -> None:
    before = scenario.load(f"folder:{photos}", 0).fingerprint()
    (kept,) = (path for path in large.iterdir() if path.is_dir())
    data = bytearray((kept / file).read_bytes())
    data[len(data) // 2] ^= 1
    (kept / file).write_bytes(data)
    seen: list[tuple[int, int]] = []
    assert scenario.load(f"folder:{photos}", 0, progress=lambda *at: seen.append(at)).fingerprint() == before
    assert seen[-1] == (60, 60)
    assert [path for path in large.iterdir() if path.is_dir()] == [kept]


def test_digests_of_files_are_remembered_until_a_file_changes(
    photos: Path, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "_SETTLED", 0)
    task = f"folder:{photos}"
    before, read = datasets.content(task), contents._file_digest
    seen: list[Path] = []
    monkeypatch.setattr(contents, "_file_digest", lambda path: seen.append(path) or read(path))
    assert datasets.content(task) == before
    assert seen == []
    Image.new("RGB", (20, 20), (1, 2, 3)).save(photos / "a" / "1.png")
    assert datasets.content(task) != before
    assert seen == [photos / "a" / "1.png"]
    (file,) = large.glob("*.json")
    file.write_text("{")
    assert datasets.content(task) != before


def test_a_subset_reads_what_it_hands_out_and_no_more() -> None:
    pixels = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1).repeat(1, 3, 4, 4)
    whole = Images(pixels, torch.arange(20))
    part = whole.subset(torch.tensor([5, 7, 9, 11])).subset(torch.tensor([1, 3])).unlabelled()
    assert part.shape == (2, 3, 4, 4)
    assert (part.take(torch.tensor([1])).images * 255).round()[0, 0, 0, 0] == 11
    assert [len(batch) for batch in whole.batches(8)] == [8, 8, 4]
    assert torch.equal(torch.cat([b.images for b in whole.batches(8)]), whole.images)
    assert part.pixels[:, 0, 0, 0].tolist() == [7, 11]
    assert not part.labelled


@pytest.mark.parametrize("most", [0, 1 << 30])
def test_sets_of_images_cross_a_wire_in_parts(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(packing, "LARGE", most)
    monkeypatch.setattr(packing, "_PART", 100)
    pixels = torch.randint(0, 256, (9, 3, 5, 5), dtype=torch.uint8)
    images = Images(pixels).subset(torch.tensor([8, 1, 3]))
    labels = torch.tensor([4, 5, 6])
    length, parts = packing.packed({"pixels": images, "labels": labels})
    data = bytearray(b"".join(bytes(part) for part in parts))
    assert len(data) == length
    out = packing.unpacked(data)
    assert torch.equal(out["pixels"], pixels[[8, 1, 3]])
    assert torch.equal(out["labels"], labels)


def test_other_content_of_the_same_size_and_time_is_other_content(
    tmp_path: Path, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive with fixed dates gives every file its old time when it is unpacked anew."""
    monkeypatch.setattr(contents, "_SETTLED", 0)
    root, found = tmp_path / "bitmaps", set()
    for shade in (0, 200):
        for kind in ("a", "b"):
            (root / kind).mkdir(parents=True, exist_ok=True)
            for i in range(12):
                Image.new("RGB", (20, 20), (8 * i, shade, 60)).save(root / kind / f"{i}.bmp")
                os.utime(root / kind / f"{i}.bmp", (315532800, 315532800))
        found.add(str(datasets.content(f"folder:{root}")))
    assert len(found) == 2
