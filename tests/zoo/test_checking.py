"""A zoo is checked: files, pages, and numbers measured again; so is the one that comes with LockBench."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from places import DOCS

from bench import registry
from bench.store import sums
from bench.store.code import code_identity
from bench.zoo import checking, page, shelf

MOST = 12e6
"""Bytes of the whole zoo."""
LOCKS = {
    "modellock", "nn-splitter", "ntl", "cuti", "map", "staining", "authority-backdoor", "clamp", "encoder-lock",
}  # fmt: skip
"""Locks of which there is an entry at least."""
GUIDE = DOCS / "how-to" / "start-from-a-locked-model.md"


def _edit(folder: Path, **changes: object) -> None:
    """Change fields of a card, and everything else to fit."""
    card = json.loads((folder / shelf.CARD).read_text())
    for name, value in changes.items():
        card[name] = value
    (folder / shelf.CARD).write_text(json.dumps(card))
    (folder / shelf.PAGE).write_text(page.of(shelf.read_card(folder)))
    sums.write(folder)


def test_an_entry_holds_and_its_numbers_are_measured_again(stock: Path) -> None:
    for finding in checking.check(stock):
        assert not finding.problems
        assert set(finding.numbers) == {"UP", "LP", "UP_shipped", "LP_shipped"}
        assert not finding.changed


def test_a_number_that_the_model_does_not_reach_is_found(zoo: Path) -> None:
    entry = shelf.find("modellock", folder=zoo)
    UP = entry.card.UP.model_dump()
    wrong = 100 - UP["value"] if abs(UP["value"] - 50) > 5 else 100.0
    _edit(entry.folder, UP={**UP, "value": wrong})
    (problem,) = checking.of(shelf.find("modellock", folder=zoo)).problems
    assert problem == f"UP is {UP['value']:.2f}, not {wrong:.2f}"


def test_a_page_and_data_that_are_others_are_found(zoo: Path) -> None:
    entry = shelf.find("modellock", folder=zoo)
    (entry.folder / shelf.PAGE).write_text("Everything is fine.")
    origin = entry.card.origin.model_dump() | {"data": "0" * 20, "code": {"locks.modellock": "1"}}
    card = json.loads((entry.folder / shelf.CARD).read_text()) | {"origin": origin}
    (entry.folder / shelf.CARD).write_text(json.dumps(card))
    sums.write(entry.folder)
    finding = checking.of(shelf.find("modellock", folder=zoo))
    assert "README.md does not say" in finding.problems[0]
    assert "data of digits are not those" in finding.problems[1]
    assert "locks.modellock" in finding.changed


def test_a_classifier_that_this_version_cannot_build_is_found(zoo: Path) -> None:
    entry = shelf.find("modellock", folder=zoo)
    _edit(entry.folder, spec=entry.card.spec | {"class": "bench.architectures.cnn:Gone"})
    (problem,) = checking.of(shelf.find("modellock", folder=zoo)).problems
    assert "of another version: its classifier cannot be built" in problem


def test_the_commands_list_show_and_check(bench: Callable[..., object], zoo: Path) -> None:
    listing = bench("zoo", "list", "--zoo", str(zoo))
    assert "nn-splitter--digits--cnn--0" in listing.stdout
    assert "2 entries" in listing.stdout
    shown = bench("zoo", "show", "nn-splitter", "--zoo", str(zoo))
    assert "Audit it: bench audit" in shown.stdout
    (zoo / "broken").mkdir()
    listing = bench("zoo", "list", "--zoo", str(zoo))
    assert "broken is damaged: card.json is missing" in listing.stderr
    checked = bench("zoo", "check", "--zoo", str(zoo))
    assert checked.returncode == 1
    assert "card.json is missing" in checked.stdout
    assert checked.stdout.count("holds") == 2
    assert bench("zoo", "list", "--zoo", str(zoo / "none")).returncode == 2


def test_the_python_api_is_no_part_of_a_lock_s_code() -> None:
    names = set(code_identity(registry.current().find("lock", "modellock")))
    assert "locks.modellock" in names
    assert "bench" not in names


def test_every_entry_that_comes_with_the_suite_is_whole() -> None:
    found = shelf.shelf()
    assert not found.damaged
    assert {entry.card.lock.name for entry in found.entries} >= LOCKS
    for entry in found.entries:
        assert shelf.problem(entry) is None
        assert (entry.folder / shelf.PAGE).read_text(encoding="utf-8") == page.of(entry.card)
    assert sum(entry.size for entry in found.entries) <= MOST


@pytest.mark.slow  # a judge for every entry
@pytest.mark.parametrize("name", [entry.card.name for entry in shelf.shelf().entries])
def test_every_entry_reaches_its_numbers(name: str) -> None:
    assert not checking.of(shelf.find(name)).problems


def test_the_guide_s_attack_opens_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    place: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(GUIDE), "exec"), place)
    printed = capsys.readouterr().out
    score = place["score"]
    assert score.RP.value > score.LP.value + 20  # as the page says: most of the loss is back
    assert f"{score.RP.value:.1f}" in printed
