"""Public sets on small archives of the exact published format, made here: read, counted, and refused where damaged."""

from __future__ import annotations

import bz2
import functools
import hashlib
import http.server
import io
import pickle
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets as tv
from PIL import Image

from bench import datasets
from bench.datasets import _torchvision, alignment, imagenette, mnist_m, oxford_pet
from bench.errors import UserError

N = 40


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder whose files are served on this machine, and its address."""
    folder = tmp_path_factory.mktemp("served")
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of data; what was loaded before is forgotten."""
    monkeypatch.setenv("LOCKBENCH_DATA", str(tmp_path))
    for cache in (_torchvision.build, mnist_m.build):
        cache.cache_clear()
    yield tmp_path
    for cache in (_torchvision.build, mnist_m.build):
        cache.cache_clear()


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def _pixels(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, shape, np.uint8)


def _mnist(home: Path) -> np.ndarray:
    raw = home / "mnist" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    pixels, labels = _pixels((N, 28, 28)), (np.arange(N) % 10).astype(np.uint8)
    pixels[:, :14] = 0
    for split in ("train", "t10k"):
        for what, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            head = bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape)
            (raw / f"{split}-{what}-ubyte").write_bytes(head + array.tobytes())
    return pixels


def test_mnist_is_read_from_idx_files(home: Path) -> None:
    pixels = _mnist(home)
    data = datasets.load("mnist", size=28)
    assert data.images[:, 0].numpy().tolist() == pixels.tolist()
    assert data.labels.tolist() == [i % 10 for i in range(N)]


def test_usps_is_read_from_its_packed_text(home: Path) -> None:
    (home / "usps").mkdir()
    row = " ".join(f"{at}:{-1 if at % 2 else 1}" for at in range(1, 257))
    text = "".join(f"{1 + i % 10} {row}\n" for i in range(N))
    (home / "usps" / "usps.bz2").write_bytes(bz2.compress(text.encode()))
    data = datasets.load("usps", size=16)
    assert data.images[0, 0, 0, :4].tolist() == [0, 255, 0, 255]
    assert data.labels.tolist() == [i % 10 for i in range(N)]


def test_svhn_is_read_from_matlab_files_and_ten_is_zero(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat

    (home / "svhn").mkdir()
    file = home / "svhn" / "train_32x32.mat"
    pixels = _pixels((32, 32, 3, N))
    savemat(file, {"X": pixels, "y": (1 + np.arange(N) % 10)[:, None].astype(np.uint8)})
    monkeypatch.setattr(tv.SVHN, "split_list", {"train": ["http://127.0.0.1:9/x", file.name, _md5(file)]})
    data = datasets.load("svhn", size=32)
    assert data.labels.tolist() == [(1 + i) % 10 for i in range(N)]
    assert data.images[0].numpy().tolist() == pixels[..., 0].transpose(2, 0, 1).tolist()
    _torchvision.build.cache_clear()
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(UserError, match=r"svhn is not in .* cannot be fetched"):
        datasets.load("svhn", size=32)


def _cifar(home: Path, monkeypatch: pytest.MonkeyPatch, cls: type, task: str, key: str, classes: int) -> np.ndarray:
    """Batches of a CIFAR as its authors pickle them; checksums are those of the batches made here."""
    folder = home / task / cls.base_folder
    folder.mkdir(parents=True)
    rows = _pixels((2 * classes, 3072))
    names = [f"c{at}" for at in range(classes)]

    def write(name: str, value: object) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(value))
        return [name, _md5(folder / name)]

    batch = {"data": rows, key: [at % classes for at in range(2 * classes)]}
    monkeypatch.setattr(cls, "train_list", [write("train", batch)])
    monkeypatch.setattr(cls, "test_list", [write("test", batch)])
    name, total = write(cls.meta["filename"], {cls.meta["key"]: names})
    monkeypatch.setattr(cls, "meta", {**cls.meta, "filename": name, "md5": total})
    monkeypatch.setattr(cls, "url", "http://127.0.0.1:9/nothing")
    return rows


@pytest.mark.parametrize(
    ("task", "cls", "key", "k"), [("cifar10", tv.CIFAR10, "labels", 10), ("cifar100", tv.CIFAR100, "fine_labels", 100)]
)
def test_cifar_is_read_from_its_batches(
    task: str, cls: type, key: str, k: int, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = _cifar(home, monkeypatch, cls, task, key, k)
    data = datasets.load(task, size=32)
    assert (len(data), len(data.classes)) == (2 * k, k)
    assert data.images[5].numpy().tolist() == rows[5].reshape(3, 32, 32).tolist()
    assert data.labels.tolist() == [at % k for at in range(2 * k)]
    _torchvision.build.cache_clear()
    (home / task / cls.base_folder / "train").write_bytes(
        b"cos\nsystem\n(S'exit 1'\ntR."
    )  # never unpickled: its checksum differs
    with pytest.raises(UserError, match=rf"{task} is not in .* cannot be fetched"):
        datasets.load(task, size=32)


def test_cifar_100_has_its_hundred_names_in_order() -> None:
    from bench.datasets.cifar100 import CLASSES

    assert len(CLASSES) == 100
    assert list(CLASSES) == sorted(CLASSES)


def test_stl_and_cifar_share_nine_classes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home / "stl10" / "stl10_binary"
    folder.mkdir(parents=True)
    pixels = _pixels((N, 3, 96, 96))
    (folder / "train_X.bin").write_bytes(pixels.transpose(0, 1, 3, 2).tobytes())  # columns first
    (folder / "train_y.bin").write_bytes((1 + np.arange(N) % 10).astype(np.uint8).tobytes())
    stl = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]
    (folder / "class_names.txt").write_text("\n".join(stl))
    for name in ("train_list", "test_list"):
        files = [[f, _md5(folder / f)] for f in ("train_X.bin", "train_y.bin")]
        monkeypatch.setattr(tv.STL10, name, files)
    _cifar(home, monkeypatch, tv.CIFAR10, "cifar10", "labels", 10)
    whole = datasets.load("stl10", size=96)
    assert whole.images[3].numpy().tolist() == pixels[3].tolist()
    assert [whole.classes[label] for label in whole.labels[:10]] == [
        {"car": "automobile", "monkey": "frog"}.get(name, name) for name in stl
    ]
    nine = [datasets.load(task, size=16, settings={"classes": "shared"}) for task in ("stl10", "cifar10")]
    assert nine[0].classes == nine[1].classes == alignment.NINE
    assert len(nine[0]) == N * 9 // 10
    names = [nine[0].classes[label] for label in nine[0].labels[:9]]
    assert names == [{"car": "automobile"}.get(name, name) for name in stl if name != "monkey"]


def test_classes_of_another_order_are_matched_by_name() -> None:
    from bench.datasets.base import Dataset

    images = torch.zeros(3, 3, 16, 16, dtype=torch.uint8)
    source = Dataset("a", images, torch.tensor([0, 1, 2]), ("Desk_Lamp", "fan", "pen"))
    target = Dataset("b", images, torch.tensor([0, 1, 2]), ("pen", "desk lamp", "fan"))
    found = alignment.aligned(source, target)
    assert found.classes == source.classes
    assert found.labels.tolist() == [2, 0, 1]
    other = Dataset("c", images, torch.tensor([0, 1, 2]), ("pen", "ink", "fan"))
    assert alignment.aligned(source, other) is other
    assert alignment.aligned(source, source) is source


def test_mnist_m_takes_black_and_white_digits_from_a_ground() -> None:
    ground = np.full((1, 28, 28, 3), 100, np.uint8)
    strokes = np.zeros((1, 28, 28), np.uint8)
    strokes[0, 0, 0] = 255
    assert mnist_m.blended(ground, strokes)[0, 0, :2, 0].tolist() == [155, 100]


def test_mnist_m_is_mnist_image_by_image(home: Path) -> None:
    pixels = _mnist(home)
    data = datasets.load("mnist-m", size=28)
    assert data.origin == "mnist"
    assert data.labels.tolist() == [i % 10 for i in range(N)]
    again = datasets.load("mnist-m", size=28, generator_seed=1)
    assert not torch.equal(data.images, again.images)
    flipped = np.abs(mnist_m.digits()[0].astype(int))
    assert set(np.unique(flipped)) == {0, 255}
    assert (flipped > 0).tolist() == (pixels > 0).tolist()


def test_mnist_m_takes_patches_of_photographs_and_their_content_counts(home: Path) -> None:
    _mnist(home)
    settings = {"ground": "photographs"}
    with pytest.raises(UserError, match="no photographs") as caught:
        datasets.load("mnist-m", settings=settings)
    assert "BSR_bsds500.tgz" in caught.value.remedy
    folder = home / "bsds500" / "BSR" / "BSDS500" / "data" / "images" / "train"
    folder.mkdir(parents=True)
    Image.new("RGB", (60, 40), (10, 20, 30)).save(folder / "2.png")
    Image.new("RGB", (20, 20), (255, 255, 255)).save(folder / "small.png")  # smaller than a patch: left out
    data = datasets.load("mnist-m", size=28, settings=settings)
    assert data.images[:, :, 0, 0].unique(dim=0).tolist() == [[10, 20, 30]]
    first = datasets.content("mnist-m", settings)
    assert first != datasets.content("mnist-m", {}) == {}
    Image.new("RGB", (60, 40), (200, 20, 30)).save(folder / "2.png")
    assert datasets.content("mnist-m", settings) != first
    assert datasets.load("mnist-m", size=28, settings=settings).images[0, 0, 0, 0] == 200
    (folder / "2.png").write_text("no image")
    with pytest.raises(UserError, match="cannot be read"):
        datasets.load("mnist-m", settings=settings)


@pytest.mark.parametrize("first", ["mnist", "mnist-m"])
def test_sets_that_share_images_are_no_pair(first: str) -> None:
    for task in (f"{first}:mnist5k", f"mnist5k:{first}"):
        with pytest.raises(UserError, match="images of mnist on both sides"):
            datasets.check(task)
    datasets.check("mnist:mnist-m")
    datasets.check("mnist-m:mnist")


def _imagenette(served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, checksum: str = "", extra: str = "") -> None:
    """The archive of Imagenette with two photographs a class, where torchvision fetches it from."""
    folder, address = served
    archive = folder / "imagenette2-320.tgz"
    monkeypatch.setattr(imagenette, "PUBLISHED", 20)
    with tarfile.open(archive, "w:gz") as tar:
        for at, wnid in enumerate(tv.Imagenette._WNID_TO_CLASS):
            for i in range(2):
                stream = io.BytesIO()
                Image.new("RGB", (40, 30), (at * 20, i, 0)).save(stream, "JPEG")
                for split in ("train", "val"):
                    _add(tar, f"imagenette2-320/{split}/{wnid}/{wnid}_{i}.JPEG", stream.getvalue())
        if extra:
            _add(tar, extra, b"x")
    published = {"320px": (f"{address}/{archive.name}", checksum or _md5(archive))}
    monkeypatch.setattr(tv.Imagenette, "_ARCHIVES", published)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def test_imagenette_is_fetched_unpacked_and_read(
    home: Path, served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [names[0] for names in tv.Imagenette._WNID_TO_CLASS.values()] == list(imagenette.CLASSES)
    _imagenette(served, monkeypatch)
    data = datasets.load("imagenette", size=16)
    assert data.classes == imagenette.CLASSES
    assert data.labels.tolist() == [at // 2 for at in range(20)]
    (home / "imagenette" / "imagenette2-320" / "train" / "n01440764" / "n01440764_0.JPEG").unlink()
    with pytest.raises(UserError, match="19 photographs here, and was published with 20"):
        datasets.load("imagenette", size=16)


def test_an_archive_of_another_checksum_is_not_unpacked(
    home: Path, served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _imagenette(served, monkeypatch, checksum="0" * 32, extra="../../escaped")
    with pytest.raises(UserError, match=r"imagenette is not in .* cannot be fetched"):
        datasets.load("imagenette", size=16)
    assert not list(home.parent.rglob("escaped"))


def test_oxford_pets_are_read_with_their_breeds(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = home / "oxford-pet-seg" / "oxford-iiit-pet"  # the folder of the trimaps serves both
    (base / "images").mkdir(parents=True)
    (base / "annotations").mkdir()
    monkeypatch.setattr(oxford_pet, "PUBLISHED", 4)
    for split, lines in (
        ("trainval", "Abyssinian_1 1 1 1\nbeagle_1 5 2 1\n"),
        ("test", "Abyssinian_2 1 1 1\npug_3 26 2 9\n"),
    ):
        (base / "annotations" / f"{split}.txt").write_text(lines)
    for at, name in enumerate(("Abyssinian_1", "beagle_1", "Abyssinian_2", "pug_3")):
        Image.new("RGB", (30, 20), (at, 9, 9)).save(base / "images" / f"{name}.jpg", quality=100)
    data = datasets.load("oxford-pet", size=16)
    assert [data.classes[label] for label in data.labels] == ["Abyssinian", "Beagle", "Abyssinian", "Pug"]
    assert len(data.classes) == 37
    (base / "images" / "pug_3.jpg").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"1 photographs of oxford-pet cannot be read, such as images/pug_3.jpg"):
        datasets.load("oxford-pet", size=16)
