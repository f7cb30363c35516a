"""`bench list` and `bench show` say whose the data are, how large, and whether they are here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Bench = Callable[..., Any]


def test_the_list_names_licence_and_size(bench: Bench) -> None:
    text = " ".join(bench("list").stdout.split())
    assert "10 classes. Licence: none stated; the images are of ImageNet, for research; 2.6 GB." in text
    assert "office-home:Art|Clipart|Product|RealWorld" in text
    fonts = text.partition(" fonts ")[2].partition(" imagenette ")[0]
    assert fonts.endswith("10 classes.")


def test_a_set_shows_its_archives_and_where_it_lies(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCKBENCH_DATA", str(tmp_path))
    shown = bench("show", "svhn").stdout
    assert "licence: non-commercial use" in shown
    assert "train_32x32.mat (182.0 MB, md5:e26dedcc434d2e4c54c9b2d4a06d8373)" in shown
    assert "here: no. Fetch it: bench prepare --task svhn" in shown
    (tmp_path / "svhn").mkdir()
    (tmp_path / "svhn" / "train_32x32.mat").touch()
    shown = bench("show", "svhn").stdout
    assert "here: yes" in shown
    assert f"place: {tmp_path}/svhn" in shown
    assert "visda:train (152,397 images)" in bench("show", "visda").stdout
