"""Licence, size, checksum and place of every data set: stated, well formed, and those that torchvision checks."""

from __future__ import annotations

import re

import pytest
import torchvision.datasets as tv

from bench import datasets
from bench.datasets import facts, fashion_mnist, mnist5k

INFOS = {info.name: info for info in datasets.infos()}
CHECKED = {
    "mnist": dict(tv.MNIST.resources),
    "fashion-mnist": dict(tv.FashionMNIST.resources),
    "usps": {tv.USPS.split_list["train"][1]: tv.USPS.split_list["train"][2]},
    "svhn": {tv.SVHN.split_list["train"][1]: tv.SVHN.split_list["train"][2]},
    "cifar10": {tv.CIFAR10.filename: tv.CIFAR10.tgz_md5},
    "cifar100": {tv.CIFAR100.filename: tv.CIFAR100.tgz_md5},
    "stl10": {tv.STL10.filename: tv.STL10.tgz_md5},
    "oxford-pet": {url.rpartition("/")[2]: total for url, total in tv.OxfordIIITPet._RESOURCES},
    "oxford-pet-seg": {url.rpartition("/")[2]: total for url, total in tv.OxfordIIITPet._RESOURCES},
    "imagenette": {"imagenette2-320.tgz": tv.Imagenette._ARCHIVES["320px"][1]},
    "voc2012": {"VOCtrainval_11-May-2012.tar": tv.voc.DATASET_YEAR_DICT["2012"]["md5"]},
}
"""Name of each file -> its MD5, as torchvision fetches it."""


@pytest.mark.parametrize("name", INFOS)
def test_a_set_that_others_own_states_its_licence_and_where_it_is_published(name: str) -> None:
    found = facts.of(INFOS[name])
    if found.way in ("built in", "yours"):
        assert not found.archives
        return
    assert found.licence
    assert found.archives
    for archive in found.archives:
        assert re.match(r"https?://[^ ]+", archive.url)
        assert re.fullmatch(r"(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})?", archive.checksum)
    assert found.way != "by hand" or found.remedy


@pytest.mark.parametrize("name", CHECKED)
def test_checksums_are_those_that_torchvision_checks(name: str) -> None:
    stated = {a.url.rpartition("/")[2]: a.checksum.removeprefix("md5:") for a in facts.of(INFOS[name]).archives}
    assert stated == CHECKED[name]


def test_what_is_fetched_is_known_by_its_place() -> None:
    fetched = {name for name, info in INFOS.items() if facts.of(info).way == "fetched"}
    assert fetched == {*CHECKED, "mnist-m"}
    assert str(fashion_mnist.DEBIAN / f"{fashion_mnist.IMAGES.name}.gz") in INFOS["fashion-mnist"].unpacked
    assert INFOS["mnist5k"].package == mnist5k.PACKAGE


def test_sizes_in_words() -> None:
    words = [facts.size_words(n) for n in (12, 30_901_518, 2_640_397_119, None)]
    assert words == ["12 bytes", "30.9 MB", "2.6 GB", "not stated"]
