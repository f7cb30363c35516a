"""Which output stands for which class."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.checkpoints import class_order
from bench.errors import UserError

CLASSES = ("Bird", "ant", "cat10", "cat2")


@pytest.mark.parametrize(
    ("order", "outputs"),
    [("given", (0, 1, 2, 3)), ("codepoint", (0, 1, 2, 3)), ("casefold", (1, 0, 2, 3)), ("natural", (1, 0, 3, 2))],
)
def test_orders_that_training_code_sorts_by(order: str, outputs: tuple[int, ...]) -> None:
    assert class_order.sorted_by(CLASSES, order).outputs == outputs


def test_names_of_outputs_with_one_beyond_the_classes() -> None:
    found = class_order.named(CLASSES, ["cat2", "decoy", "Cat 10".replace(" ", ""), "ANT", "bird"], "classes.txt")
    assert found.outputs == (4, 3, 2, 0)
    assert found.extra == ("decoy",)


@pytest.mark.parametrize(
    ("names", "message"),
    [(["Bird", "ant"], "no output for cat10, cat2"), (["Bird", "Bird", "ant", "cat10", "cat2"], "names 'Bird' twice")],
)
def test_names_that_do_not_serve(names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        class_order.named(CLASSES, names, "classes.txt")


@pytest.mark.parametrize(
    "text",
    [
        "a\nb\n\nc\n",
        '["a", "b", "c"]',
        '{"a": 0, "c": 2, "b": 1}',
        '{"0": "a", "1": "b", "2": "c"}',
        '{"a": "0", "c": "2", "b": "1"}',
        "\ufeffa\r\nb\r\nc",
    ],
)
def test_files_of_classes(tmp_path: Path, text: str) -> None:
    (tmp_path / "f").write_text(text, encoding="utf-8")
    assert class_order.read(tmp_path / "f") == ["a", "b", "c"]


def test_names_that_are_numbers(tmp_path: Path) -> None:
    """torchvision's class_to_idx sorts folder names as texts."""
    names = sorted(map(str, range(12)))
    (tmp_path / "f").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    assert class_order.read(tmp_path / "f") == names


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "f").write_text(json.dumps({"a": []}))
    with pytest.raises(UserError, match="no list of classes"):
        class_order.read(tmp_path / "f")
    with pytest.raises(UserError, match="cannot be read"):
        class_order.read(tmp_path / "none")


def test_a_renaming_that_fits_is_found() -> None:
    labels = np.arange(200) % 4
    natural = np.asarray(class_order.sorted_by(CLASSES, "natural").outputs)
    found = class_order.renaming(labels, natural[labels], CLASSES)
    assert found is not None
    assert (found.order, found.accuracy, found.before) == ("natural", 100.0, 0.0)
    other = class_order.renaming(labels, (labels + 1) % 4, CLASSES)
    assert other is not None
    assert (other.order, other.outputs) == ("", (1, 2, 3, 0))
    assert class_order.renaming(labels, np.random.default_rng(0).integers(0, 4, 200), CLASSES) is None
    assert class_order.renaming(labels, np.full(200, 7), CLASSES) is None
