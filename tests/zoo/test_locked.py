"""What an attack author gets of an entry: the locked model, granted images, a score; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import bench
from bench.errors import UserError
from bench.store import sums
from bench.zoo import shelf


def test_the_locked_model_scores_the_card_s_LP(stock: Path) -> None:
    locked = bench.load_locked("modellock", task="digits", folder=stock)
    score = locked.score(locked.model)
    assert score.RP.value == pytest.approx(locked.card.LP.value, abs=200 / score.RP.n)
    assert score.oracle == locked.card.oracle
    assert locked.model(torch.zeros(2, 3, 32, 32)).shape == (2, 11)


def test_the_key_in_the_weights_makes_the_model_of_its_user(stock: Path) -> None:
    locked = bench.load_locked("nn-splitter", folder=stock)
    changed = [n for n, v in locked.unlocked.state_dict().items() if not torch.equal(v, locked.model.state_dict()[n])]
    assert changed
    assert locked.score(locked.unlocked).RP.value == pytest.approx(locked.card.UP.value, abs=200 / 395)


def test_the_threat_model_decides_what_images_there_are(stock: Path) -> None:
    usual = bench.load_locked("modellock", folder=stock)
    assert not usual.images("unlabelled").labelled
    with pytest.raises(UserError, match=r'threat=\{"authorised": 0.01\}'):
        usual.images("authorised")
    more = bench.load_locked("modellock", folder=stock, threat={"share": 0.1, "authorised": 0.02, "leaked": 3})
    assert len(more.images("labelled")) > len(usual.images("labelled")) > 0
    assert more.images("authorised").labelled
    raw, keyed = more.leaked_pairs
    assert torch.equal((more.key(raw.images) * 255).round().byte(), keyed.pixels)
    with pytest.raises(UserError, match="has no parameter 'shre'"):
        bench.load_locked("modellock", folder=stock, threat={"shre": 1})
    with pytest.raises(UserError, match="there are no images 'test'"):
        usual.images("test")


def test_a_score_says_what_an_answer_must_be(stock: Path) -> None:
    locked = bench.load_locked("modellock", folder=stock)
    with pytest.raises(UserError, match=r"answers with \(64, 3, 32, 32\)|answers with"):
        locked.score(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4)))

    class NotFinite(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.full((len(images), 10), torch.nan)

    with pytest.raises(UserError, match="finite"):
        locked.score(NotFinite())
    with pytest.raises(UserError, match="batches of 1 image or more"):
        locked.score(nn.Flatten(), batch=0)
    assert locked.score(lambda images: torch.zeros(len(images), 10)).RP.n == 395


def test_slips_in_a_notebook_have_a_remedy(stock: Path) -> None:
    with pytest.raises(UserError, match="threat='weights' is no mapping"):
        bench.load_locked("modellock", folder=stock, threat="weights")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="seed='0' is no seed"):
        bench.load_locked("modellock", folder=stock, seed="0")  # type: ignore[arg-type]


def test_what_is_not_there_is_answered_with_what_is(stock: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean modellock"):
        bench.load_locked("modelock", folder=stock)
    with pytest.raises(UserError, match=r"no modellock with model=cnn seed=7.*It has modellock--digits--cnn--0"):
        bench.load_locked("modellock", seed=7, folder=stock)
    with pytest.raises(UserError, match="no zoo"):
        bench.load_locked("modellock", folder=tmp_path / "none")


@pytest.mark.parametrize("file", [shelf.MODEL, shelf.CARD, shelf.KEY, shelf.PAGE])
def test_a_changed_file_is_not_loaded(zoo: Path, file: str) -> None:
    path = shelf.find("modellock", folder=zoo).folder / file
    content = bytearray(path.read_bytes())
    content[-2] ^= 4
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"damaged|no lock"):
        bench.load_locked("modellock", folder=zoo)


def test_a_missing_or_foreign_file_is_named(zoo: Path) -> None:
    folder = shelf.find("modellock", folder=zoo).folder
    (folder / "more.py").write_text("")
    with pytest.raises(UserError, match=r"more\.py is no file of it"):
        bench.load_locked("modellock", folder=zoo)
    (folder / "more.py").unlink()
    (folder / shelf.KEY).unlink()
    with pytest.raises(UserError, match=r"key\.json is missing"):
        bench.load_locked("modellock", folder=zoo)


@pytest.mark.parametrize(
    "change",
    [
        {"class": "antigravity:Anything"},
        {"name": "hf-hub:somebody/something"},
        {"source": "factory", "name": "x:y"},
        {"kwargs": {"pretrained": True, "pretrained_cfg": {"url": "http://127.0.0.1/x.pth"}}},
        {"kwargs": {"checkpoint_path": "/tmp/x.pth"}},
    ],
)
def test_a_card_names_no_code_that_is_run(zoo: Path, change: dict[str, Any]) -> None:
    """The checksums of an entry that somebody wrote on purpose fit."""
    import sys

    folder = shelf.find("modellock", folder=zoo).folder
    card = json.loads((folder / shelf.CARD).read_text())
    card["spec"] |= change
    (folder / shelf.CARD).write_text(json.dumps(card))
    sums.write(folder)
    with pytest.raises(UserError, match=r"no part of LockBench|names a place to fetch from"):
        bench.load_locked("modellock", folder=zoo)
    assert "antigravity" not in sys.modules


def test_of_several_entries_the_usual_one_stands_for_the_lock(zoo: Path) -> None:
    entry = shelf.find("modellock", folder=zoo)
    card = json.loads((entry.folder / shelf.CARD).read_text())
    other = zoo / "modellock--digits--cnn--0--plain"
    other.mkdir()
    card["name"] = other.name
    (other / shelf.CARD).write_text(json.dumps(card))
    with pytest.raises(UserError, match="2 entries of the zoo fit"):
        shelf.find("modellock", folder=zoo)
    card["lock"]["explicit"] = {}
    (other / shelf.CARD).write_text(json.dumps(card))
    assert shelf.find("modellock", folder=zoo).card.name == other.name
