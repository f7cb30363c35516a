"""Attacks that CLIP guides take any CLIP by one parameter: the pack's by default, a folder of open_clip, a name."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_clips import tiny_clip

from attacks.difo import DIFO
from attacks.kit.proposers import by_clip
from attacks.kit.zero_shot import ZeroShot
from bench import plan, predictors, registry
from bench.contracts import Images, Spec
from bench.hashing import folder_digest
from bench.miniature import PACK
from bench.store import identity
from bench.store.settings import Settings

SPEC = Spec(32, ("circle", "square", "star"))
WORDS = ("oil pastel", "picasso", "church", "zebra", "pop art")
BYTES = torch.randint(256, (6, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
SOME = BYTES / 255
USERS = {("key", "edit"), ("attack", "prompt-search"), ("attack", "difo"), ("attack", "from-scratch")}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The pack's CLIP in a folder of the user's."""
    folder = tmp_path_factory.mktemp("clips") / "copy"
    shutil.copytree(PACK / "clip", folder)
    return str(folder)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Another CLIP, with random weights."""
    return str(tiny_clip(tmp_path_factory.mktemp("clips") / "tiny"))


def test_one_parameter_of_one_name() -> None:
    plugins = registry.current()
    found = {
        (kind, info.name)
        for kind in registry.KINDS
        for info in plugins.all(kind).values()
        if {"clip", "pack:clip"} & set(info.assets)
    }
    assert found == USERS
    for kind, name in USERS:
        info = plugins.find(kind, name)
        assert "clip" in info.assets
        assert info.params["clip"].default == "miniature"


def test_guesses_are_ranked_by_the_clip_that_is_named(copy: str, tiny: str) -> None:
    leaked = Images(BYTES), Images(BYTES.flip(1))
    usual = by_clip(WORDS, leaked)
    assert by_clip(WORDS, leaked, copy) == usual
    assert sorted(by_clip(WORDS, leaked, tiny)) == sorted(usual)
    assert by_clip(WORDS, leaked, tiny) != usual


def test_zero_shot_travels_with_the_name_of_its_clip(copy: str, tiny: str) -> None:
    usual = ZeroShot.of("miniature", SPEC, "a photo of {}").predict(SOME)
    assert torch.equal(ZeroShot.of(copy, SPEC, "a photo of {}").predict(SOME), usual)
    predictor = ZeroShot.of(tiny, SPEC, "a photo of {}")
    again = predictors.rebuild(predictors.describe(predictor), predictor.state_dict())
    assert again.predict(SOME).shape == (6, 3)
    torch.testing.assert_close(again.predict(SOME), predictor.predict(SOME))


def test_difo_looks_with_the_clip_that_is_named(tiny: str) -> None:
    target: Any = SimpleNamespace(spec=SPEC, unlabelled=Images(BYTES))
    run: Any = SimpleNamespace(device=torch.device("cpu"))
    images, texts = DIFO(clip=tiny)._clip(target, run)
    assert (images.shape, texts.shape) == ((6, 8), (3, 8))


def test_the_hash_has_the_content_of_the_clip(copy: str, tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def assets(clip: str) -> Any:
        cell = plan.make_cell("ntl", "difo", "digits:fonts", "cnn", {"attack.clip": clip})
        return identity.of(cell, Settings()).inputs["unlocked"]["assets"]

    assert assets("miniature") == assets(copy) == {"clip": folder_digest(PACK / "clip")}
    assert assets(tiny) == {"clip": folder_digest(Path(tiny))}
    assert assets("ViT-B-32/laion2b_s34b_b79k") == {"clip": "ViT-B-32/laion2b_s34b_b79k"}
    monkeypatch.chdir(Path(tiny).parent)
    cell = plan.make_cell("ntl", "difo", "digits:fonts", "cnn", {"attack.clip": "tiny"})
    assert cell.attack.explicit["clip"] == tiny  # an attack's process has another working directory
