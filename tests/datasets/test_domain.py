"""Domain scenarios: how a pair is named, split, keyed and refused."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
from example_records import record
from PIL import Image

from bench import datasets, plan
from bench.augment import recolour
from bench.contracts import Images
from bench.datasets import _torchvision as vision
from bench.datasets.scenario import load
from bench.errors import UserError
from reports.rows.controls import Controls


@pytest.mark.parametrize(
    ("task", "sides"),
    [
        ("digits:fonts", ("digits", "fonts")),
        ("folder:/a:folder:/b", ("folder:/a", "folder:/b")),
        ("digits:folder:/b", ("digits", "folder:/b")),
        ("mnist:usps", ("mnist", "usps")),
        ("digits", None),
        ("folder:/a", None),
    ],
)
def test_a_pair_is_told_from_one_set(task: str, sides: tuple[str, str] | None) -> None:
    assert datasets.pair(task) == sides


@pytest.mark.parametrize(
    ("task", "said"), [("digits:digits", "both sides"), ("digits:font", "font"), ("digit:fonts", "digit")]
)
def test_a_wrong_pair_is_named(task: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        datasets.check(task)


def test_digits_that_both_sides_share_are_split_alike() -> None:
    scenario = load("digits:digits-m", 0)
    a, b = scenario.authorised.splits, scenario.unauthorised.splits
    assert all(torch.equal(getattr(a, part), getattr(b, part)) for part in a.__dict__)
    assert scenario.is_domain
    assert not load("digits", 0).is_domain


def _folder(root: Path, classes: tuple[str, ...]) -> str:
    for c in classes:
        (root / c).mkdir(parents=True)
        for i in range(12):
            Image.new("RGB", (16, 16), (i * 20, 90, len(c) * 40)).save(root / c / f"{i}.png")
    return f"folder:{root}"


def test_other_classes_are_an_error_that_names_both_lists(tmp_path: Path) -> None:
    first, second = _folder(tmp_path / "a", ("cat", "dog")), _folder(tmp_path / "b", ("cat", "fox", "hen"))
    with pytest.raises(UserError, match=r"2 \(cat, dog\).*3 \(cat, fox, hen\)"):
        load(f"{first}:{second}", 0)


def test_a_pair_has_the_domain_key_and_nothing_else_has() -> None:
    assert plan.make_cell("modellock", "none", "digits:fonts", "cnn", {}).key.name == "domain"
    with pytest.raises(UserError, match="edit"):
        plan.make_cell("modellock", "none", "digits:fonts", "cnn", {"lock.key": "edit"})
    with pytest.raises(UserError, match="domain"):
        plan.make_cell("modellock", "none", "digits", "cnn", {"lock.key": "domain"})
    with pytest.raises(UserError, match="prompt-search"):
        plan.make_cell("modellock", "prompt-search", "digits:fonts", "cnn", {})
    with pytest.raises(UserError, match="leak"):
        plan.make_cell("modellock", "logit-surgery", "digits:fonts", "cnn", {"threat.leaked": "4"})


def test_a_missing_download_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torchvision.datasets

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("LOCKBENCH_DATA", str(tmp_path))
    monkeypatch.setattr(torchvision.datasets, "USPS", offline)
    with pytest.raises(UserError, match=r"usps is not in .* cannot be fetched"):
        datasets.load("usps")


def test_known_sets_are_unpacked_into_one_form() -> None:
    import numpy as np

    class Stl:
        data = np.arange(4 * 3 * 8 * 8, dtype=np.uint8).reshape(4, 3, 8, 8)
        labels = np.array([0, 1, 2, 9])

    pixels, labels = vision.unpack("stl10", Stl())
    assert pixels.shape == (4, 8, 8, 3)
    assert labels.tolist() == [0, 2, 1, 9]
    assert vision.resized(pixels, 32).shape == (4, 32, 32, 3)
    assert vision.stratified(np.array([0, 0, 0, 1, 1]), 2).tolist() == [0, 3]
    assert vision.stratified(np.array([0, 0, 0, 1, 1]), 5).tolist() == [0, 1, 2, 3, 4], "a set that fits is whole"


def test_recolouring_keeps_shape_and_range_and_follows_its_seed(toy: Images) -> None:
    images = toy.images[:16]
    first, second = (recolour(images, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == images.shape
    assert 0 <= first.min() <= first.max() <= 1
    assert (first.amax((2, 3)) - first.amin((2, 3))).amax(1).median() > 0.1


def test_the_remedy_for_a_missing_calibration_is_the_cell_that_the_plan_makes() -> None:
    cell = plan.make_cell("ntl", "finetune", "digits:fonts", "cnn", {})
    result = record("ntl", "finetune").model_copy(update={"cell": cell})
    (lack,) = [m for m in Controls([result]).missing([result]) if m.control == "permuted-logits"]
    words = shlex.split(lack.command)
    request = plan.parse_params([words[words.index("-p") + 1]])
    text = plan.make_cell("permuted-logits", "logit-surgery", "digits:fonts", "cnn", request)
    planned = plan.build([plan.SuiteLine(["ntl"], ["finetune"], ["digits:fonts"], ["cnn"])])
    assert text.row_key() in {item.cell.row_key() for item in planned}
