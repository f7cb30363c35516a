"""Sets of domains as folders: named by part, counted, split by published lists, and refused where not whole."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from PIL import Image

from bench import datasets, registry
from bench.datasets import alignment, facts, parts
from bench.datasets.office_home import CLASSES
from bench.datasets.scenario import load
from bench.errors import UserError

EACH = 10


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Art and Clipart of Office-Home, and photographs of PACS, ten images a class; those counts stand as published."""
    monkeypatch.setenv("LOCKBENCH_DATA", str(tmp_path))
    for at, part in enumerate(("Art", "Clipart")):
        _write(tmp_path / "office-home" / part, CLASSES, 100 * at)
    _write(tmp_path / "pacs" / "photo", alignment.PACS, 7)
    _write(tmp_path / "visda" / "train", alignment.VISDA, 9)
    current = registry.current()
    counts = {"office-home": len(CLASSES), "pacs": len(alignment.PACS), "visda": len(alignment.VISDA)}
    plugins = current.all("task")
    small = {
        name: dataclasses.replace(
            plugins[name], parts={part: (EACH * k, places) for part, (_, places) in plugins[name].parts.items()}
        )
        for name, k in counts.items()
    }
    real = registry.Registry.get
    monkeypatch.setattr(registry.Registry, "get", lambda self, kind, name: small.get(name) or real(self, kind, name))
    real_find = registry.Registry.find
    monkeypatch.setattr(
        registry.Registry, "find", lambda self, kind, name: small.get(name) or real_find(self, kind, name)
    )
    return tmp_path


def _write(root: Path, classes: tuple[str, ...], green: int) -> None:
    for at, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(EACH):
            Image.new("RGB", (18, 16), (at, green, i)).save(root / name / f"pic_{i:03}.png")


@pytest.mark.parametrize(
    ("task", "sides"),
    [
        ("office-home:Art", None),
        ("office-home:Art:office-home:Clipart", ("office-home:Art", "office-home:Clipart")),
        ("visda:train:visda:validation", ("visda:train", "visda:validation")),
        ("digits:pacs:photo", ("digits", "pacs:photo")),
        ("pacs:photo:folder:/a", ("pacs:photo", "folder:/a")),
    ],
)
def test_a_part_is_told_from_a_pair(task: str, sides: tuple[str, str] | None) -> None:
    assert datasets.pair(task) == sides


@pytest.mark.parametrize(
    "task", ["office-home", "office-home:art", "office-home:", "office-home:../..", "pacs:photo:x"]
)
def test_a_part_that_is_none_is_named(task: str) -> None:
    with pytest.raises(UserError) as caught:
        datasets.check(task)
    assert "names no part" in caught.value.message or "Unknown task" in caught.value.message


def test_two_parts_are_a_domain_pair(home: Path) -> None:
    scenario = load("office-home:Art:office-home:Clipart", 0, size=16)
    assert scenario.is_domain
    source, target = (side.dataset for side in scenario.sides)
    assert source.classes == target.classes == CLASSES
    assert [side.name for side in (source, target)] == ["office-home:Art", "office-home:Clipart"]
    assert source.images[0, :, 0, 0].tolist() == [0, 0, 0]
    assert target.images[0, :, 0, 0].tolist() == [0, 100, 0]
    assert list(CLASSES) == sorted(CLASSES)


def test_what_lies_in_the_folder_decides_the_identity(home: Path) -> None:
    before = datasets.content("office-home:Art")
    assert before != datasets.content("office-home:Clipart")
    Image.new("RGB", (18, 16), (255, 255, 255)).save(home / "office-home" / "Art" / "TV" / "pic_000.png")
    assert datasets.content("office-home:Art") != before


def test_a_part_that_is_not_here_says_where_to_get_it(home: Path) -> None:
    with pytest.raises(UserError, match="office-home:Product is not here") as caught:
        datasets.check("office-home:Product")
    assert "OfficeHomeDataset_10072016.zip" in caught.value.remedy
    info = registry.current().find("task", "office-home")
    assert not facts.of(info, "Product").here
    assert facts.of(info, "Art").here


def test_a_part_with_an_image_less_or_an_odd_class_is_refused(home: Path) -> None:
    art = home / "office-home" / "Art"
    (art / "TV" / "pic_000.png").unlink()
    with pytest.raises(UserError, match=r"649 images in .* published with 650"):
        datasets.load("office-home:Art")
    (art / "TV").rename(art / "Television")
    Image.new("RGB", (18, 16)).save(art / "Television" / "pic_000.png")
    with pytest.raises(UserError, match="other classes than office-home was published with: TV, Television"):
        datasets.load("office-home:Art")


def test_a_damaged_image_is_named(home: Path) -> None:
    (home / "office-home" / "Art" / "TV" / "pic_004.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"such as TV/pic_004.png \(empty\)"):
        datasets.load("office-home:Art")


def test_the_first_of_each_class_are_taken_where_a_set_is_large(home: Path) -> None:
    info = registry.current().find("task", "visda")
    _, found = parts.read(info, "train", {"count": 24})
    assert [entry.name for entry in found.images[:3]] == [
        "aeroplane/pic_000.png", "aeroplane/pic_001.png", "bicycle/pic_000.png",
    ]  # fmt: skip
    assert len(found.images) == 24


def _list(home: Path, text: str) -> None:
    (home / "pacs" / "splits").mkdir(exist_ok=True)
    (home / "pacs" / "splits" / "photo_crossval_kfold.txt").write_text(text)


def test_a_published_list_picks_the_images(home: Path) -> None:
    names = [f"photo/{kind}/pic_{i:03}.png" for kind in alignment.PACS for i in (1, 4)]
    _list(home, "".join(f"{name} {at // 2 + 1}\n" for at, name in enumerate(names)))
    data = datasets.load("pacs:photo", size=16, settings={"lists": "crossval"})
    assert data.images[:, 2, 0, 0].tolist() == [1, 4] * 7
    assert datasets.content("pacs:photo", {"lists": "crossval"}) != datasets.content("pacs:photo")
    assert len(datasets.load("pacs:photo", size=16)) == 70


@pytest.mark.parametrize("line", ["photo/../../../etc/passwd 1", "/etc/passwd 1", "photo/dog/none.png 1", ""])
def test_a_list_that_leads_elsewhere_is_refused(home: Path, line: str) -> None:
    _list(home, f"{line}\n")
    with pytest.raises(UserError, match=r"not in .*photo, such as|is empty"):
        datasets.load("pacs:photo", size=16, settings={"lists": "crossval"})


def test_a_list_that_is_not_here_is_named(home: Path) -> None:
    with pytest.raises(UserError, match=r"no list photo_train_kfold.txt"):
        datasets.load("pacs:photo", size=16, settings={"lists": "train"})
