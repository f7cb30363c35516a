"""Sets whose masks are judged: drawn ones, and those of torchvision on small fake folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench import datasets
from bench.datasets import oxford_pet_seg, scenario, scenes_seg, shapes, voc2012
from bench.errors import UserError
from bench.pixels import main_class


def test_shapes_seg_is_shapes_with_masks_judged() -> None:
    plain, seg = datasets.load("shapes", size=16), datasets.load("shapes-seg", size=16)
    assert seg.kind == "segmentation"
    assert seg.classes == ("background", *plain.classes)
    assert torch.equal(seg.images, plain.images)
    assert seg.masks is not None
    assert torch.equal(seg.labels, plain.labels + 1)
    assert torch.equal(seg.masks.flatten(1).amax(1).long(), seg.labels)


def test_scenes_show_two_to_five_objects_and_every_class_often() -> None:
    data = datasets.load("scenes-seg", size=16)
    assert data.classes == datasets.load("shapes-seg", size=16).classes
    assert data.masks is not None
    assert data.masks.dtype == torch.uint8
    shown = torch.stack([(data.masks == label).flatten(1).any(1) for label in range(len(data.classes))], 1)
    assert shown[:, 1:].sum(1).max() <= scenes_seg.MOST
    assert (shown[:, 1:].sum(1) >= 2).float().mean() > 0.8  # two objects may be of one class, or one may hide another
    assert shown.sum(0).min() > 500
    assert torch.bincount(data.labels).tolist() == [0] + [scenes_seg.PER_CLASS] * 10


def test_objects_of_a_scene_hide_one_another() -> None:
    kinds, coverage = scenes_seg._objects(np.arange(10).repeat(4), 32, np.random.default_rng(0))
    assert ((coverage >= 0.5).sum(1) > 1).any((1, 2)).mean() > 0.3
    assert kinds[:, 0].tolist() == np.arange(10).repeat(4).tolist()


def test_a_scene_is_drawn_from_its_seed_but_not_the_class_of_its_largest_object() -> None:
    first, second = datasets.load("scenes-seg", size=16), datasets.load("scenes-seg", size=16, generator_seed=1)
    scenes_seg.build.cache_clear()
    assert datasets.load("scenes-seg", size=16).fingerprint == first.fingerprint != second.fingerprint
    assert torch.equal(first.labels, second.labels)


def test_colours_of_a_scene_can_be_told_apart() -> None:
    colours = scenes_seg._colours(200, 6, np.random.default_rng(0))[:, :, 0, 0]
    apart = np.linalg.norm(colours[:, :, None] - colours[:, None], axis=-1) + 9 * np.eye(6)
    assert apart.min() >= 0.3
    assert apart[:, 0].min() >= 0.5


def test_the_kind_of_a_task_is_known_by_its_name() -> None:
    assert [datasets.kind(t) for t in ("shapes", "shapes-seg", "shapes-seg:scenes-seg", "nothing")] == [
        "classification", "segmentation", "segmentation", "classification",
    ]  # fmt: skip


def test_the_main_class_is_the_most_frequent_but_for_the_background() -> None:
    masks = np.array([[[0, 0, 0], [2, 2, 1]], [[0, 0, 0], [0, 255, 0]], [[1, 2, 1], [2, 0, 0]]], np.uint8)
    assert main_class(torch.from_numpy(masks), 3).tolist() == [2, 0, 1]


def _voc(root: Path) -> None:
    base = root / "voc2012" / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (base / name).mkdir(parents=True)
    (base / "ImageSets/Segmentation/trainval.txt").write_text("a\nb\n")
    for name, value in (("a", 15), ("b", 20)):
        Image.new("RGB", (40, 30), (value, 0, 0)).save(base / "JPEGImages" / f"{name}.jpg")
        values = np.zeros((30, 40), np.uint8)
        values[:, 10:30] = value
        values[:15, 19:21] = 255
        mask = Image.fromarray(values).convert("P")
        mask.save(base / "SegmentationClass" / f"{name}.png")


def test_voc_keeps_its_values_and_leaves_borders_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKBENCH_DATA", str(tmp_path))
    voc2012.build.cache_clear()
    _voc(tmp_path)
    data = datasets.load("voc2012", size=16)
    assert (data.kind, len(data.classes)) == ("segmentation", 21)
    assert data.labels.tolist() == [15, 20]
    assert data.masks is not None
    assert data.masks[0].unique().tolist() == [0, 15, 255]
    voc2012.build.cache_clear()


def test_a_trimap_names_the_species_and_leaves_the_border_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKBENCH_DATA", str(tmp_path))
    oxford_pet_seg.build.cache_clear()
    base = tmp_path / "oxford-pet-seg" / "oxford-iiit-pet"
    (base / "images").mkdir(parents=True)
    (base / "annotations" / "trimaps").mkdir(parents=True)
    (base / "annotations" / "trainval.txt").write_text("Abyssinian_1 1 1 1\nbeagle_1 5 2 1\n")
    trimap = np.full((20, 20), 2, np.uint8)
    trimap[5:15, 5:15] = 3
    trimap[7:13, 7:13] = 1
    for name in ("Abyssinian_1", "beagle_1"):
        Image.new("RGB", (20, 20), (9, 9, 9)).save(base / "images" / f"{name}.jpg")
        Image.fromarray(trimap).save(base / "annotations" / "trimaps" / f"{name}.png")
    data = datasets.load("oxford-pet-seg", size=20)
    assert data.classes == ("background", "cat", "dog")
    assert data.masks is not None
    assert [[int(m[10, 10]), int(m[5, 5]), int(m[0, 0])] for m in data.masks] == [[1, 255, 0], [2, 255, 0]]
    oxford_pet_seg.build.cache_clear()


def test_a_folder_that_was_unpacked_in_part_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKBENCH_DATA", str(tmp_path))
    voc2012.build.cache_clear()
    _voc(tmp_path)
    gone = sorted((tmp_path / "voc2012" / "VOCdevkit" / "VOC2012" / "JPEGImages").iterdir())[-1]
    gone.unlink()
    with pytest.raises(UserError, match=f"voc2012 in .* is not whole: {gone.name}"):
        datasets.load("voc2012", size=16)
    voc2012.build.cache_clear()


@pytest.mark.parametrize(("task", "cls"), [("voc2012", "VOCSegmentation"), ("oxford-pet-seg", "OxfordIIITPet")])
def test_a_set_that_is_not_here_is_one_clear_line(
    task: str, cls: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision.datasets

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("LOCKBENCH_DATA", str(tmp_path))
    monkeypatch.setattr(torchvision.datasets, cls, offline)
    with pytest.raises(UserError, match=rf"{task} is not in .* cannot be fetched"):
        datasets.load(task)


def test_data_of_another_kind_than_their_plugin_declares_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load", lambda *_a, **_k: shapes.build(32, 0))
    with pytest.raises(UserError, match=r"declares tasks = \('segmentation',\), and its data are of classification"):
        scenario.load("shapes-seg", 0)
