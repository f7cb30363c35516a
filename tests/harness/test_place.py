"""Stages share a card as long as its memory lasts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.harness.place import Place, places


def test_stages_share_a_card_until_its_memory_is_taken() -> None:
    card = Place("0", 10.0)
    assert card.fits(4.0)
    card.at_work += [4.0]
    assert card.fits(5.0)
    assert not card.fits(5.1)


def test_a_stage_that_is_larger_than_its_card_runs_there_alone() -> None:
    card = Place("0", 10.0)
    assert card.fits(80.0)
    card.at_work += [1.0]
    assert not card.fits(80.0)


def test_where_the_memory_is_not_known_there_is_no_limit() -> None:
    assert Place("0", None, [1e9]).fits(1e9)


def test_cards_are_counted_among_those_that_may_be_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '0, GPU-a, 16000'\necho '3, GPU-b, 80000'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-a")
    found = places([0, 1])
    assert [place.card for place in found] == ["3", "GPU-a"]
    assert [place.gigabytes for place in found] == [
        pytest.approx(80000 * 2**20 / 1e9),
        pytest.approx(16000 * 2**20 / 1e9),
    ]


def test_without_cards_the_processors_are_one_place() -> None:
    (place,) = places([])
    assert place.card is None
    assert place.gigabytes is None or place.gigabytes > 0.1
