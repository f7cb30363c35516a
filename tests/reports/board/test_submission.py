"""What may join the leaderboard: an honest archive is accepted, each dishonest one refused for its own reason."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import submissions
from forgeries import DISHONEST, higher_RP, unknown_lock
from submissions import Entry, main

from bench.cli import stubs
from bench.plugin_modules import code_digest
from bench.store import Store
from bench.store.settings import Settings
from reports.board import checks, code, submission, summary
from reports.board.finding import Finding

Found = dict[str, Finding]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return submissions.written(tmp_path_factory.mktemp("honest") / "theirs.zip")


@pytest.fixture
def file(original: Path, tmp_path: Path) -> Path:
    for ending in (".zip", ".toml"):
        shutil.copy(original.with_suffix(ending), tmp_path / f"theirs{ending}")
    return tmp_path / "theirs.zip"


def look(file: Path) -> Found:
    opened, findings = submission.open_(file, Store(file.parent / "looked"))
    return {f.check: f for f in [*findings, *([] if opened is None else checks.run(opened))]}


def refusals(found: Found) -> set[str]:
    return {name for name, finding in found.items() if not finding.ok}


def test_an_honest_archive_is_accepted(file: Path) -> None:
    found = look(file)
    assert refusals(found) == set(), [f for f in found.values() if not f.ok]
    assert set(found) == {
        "archive", "checksums", "records", "card", "own", "duplicates", "seeds", "settings", "evidence", "completeness",
        "consistency", "controls", "calibration", "baselines", "versions", "plugins", "flags",
    }  # fmt: skip


@pytest.mark.parametrize(("change", "check", "reason"), DISHONEST, ids=lambda x: getattr(x, "__name__", None))
def test_a_dishonest_archive_is_refused_for_its_own_reason(
    change: Callable[[list[Entry]], list[Entry] | None], check: str, reason: str, file: Path
) -> None:
    submissions.rewritten(file, change)
    found = look(file)
    assert check in refusals(found), [f for f in found.values() if not f.ok]
    assert reason in " ".join([found[check].what, *found[check].lines])
    assert found[check].remedy


def _flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


def _edited(file: Path) -> None:
    contents = submissions.members(file)
    name = next(name for name in contents if name.endswith("record.json"))
    contents[name] = contents[name].replace(b'"value": 75.0', b'"value": 79.0', 1)
    name = next(name for name in contents if name.endswith("safetensors"))
    contents[name] = contents[name][:-1] + bytes([contents[name][-1] ^ 1])
    submissions.zipped(file, contents, honest=False)


def _led_outside(file: Path) -> None:
    submissions.zipped(file, {**submissions.members(file), "records/../../evil.py": b"print()"})


def _bomb(file: Path) -> None:
    names = list(submissions.members(file))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        for name in names:
            out.writestr(name, b"\0" * 2**23)


def _other_hash(file: Path) -> None:
    def change(entries: list[Entry]) -> None:
        value, _ = main(entries)
        value["provenance"]["inputs"]["unlocked"]["seed"] = 7  # and the hashes stay

    submissions.rewritten(file, change)


@pytest.mark.parametrize(
    ("damage", "check", "reason"),
    [
        (_flipped, "archive", "is refused"),
        (_edited, "checksums", "the checksum of"),
        (_led_outside, "archive", "it has a member 'records/../../evil.py'"),
        (_bomb, "archive", "would unpack to"),
        (_other_hash, "records", "was not made from what it says entered it"),
        (lambda file: file.write_text("hello"), "archive", "is refused"),
    ],
    ids=["flipped", "edited", "outside", "bomb", "hash", "text"],
)
def test_damage_is_refused_and_nothing_more_is_looked_at(
    damage: Callable[[Path], Any], check: str, reason: str, file: Path
) -> None:
    damage(file)
    found = look(file)
    assert refusals(found) == {check}
    assert reason in found[check].what
    assert list(found)[-1] == check


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "theirs.toml is missing"),
        ("who = ", "is no TOML"),
        (submissions.CARD.replace("licence", "license"), "licence is missing"),
        (submissions.CARD.replace('commit = "0123', 'commit = "main'), "commit is no commit"),
        (submissions.CARD + 'sources = ["../evil.py"]\n', "sources is no list of file names"),
        (submissions.CARD + 'sources = ["gone.py"]\n', "names gone.py, which is not there"),
        (submissions.CARD.replace("A group", "A\\u001b[31m group"), "holds what cannot be printed"),
    ],
)
def test_a_card_that_does_not_say_who_and_how_is_refused(text: str | None, reason: str, file: Path) -> None:
    card = file.with_suffix(".toml")
    card.unlink() if text is None else card.write_text(text)
    found = look(file)
    assert "card" in refusals(found)
    assert reason in found["card"].what


@pytest.mark.parametrize(("name", "declared"), [("quick_lock", True), ("other_lock", False)])
def test_a_source_must_declare_the_plugin_that_it_stands_for(name: str, declared: bool, file: Path) -> None:
    source = stubs.write("lock", name.replace("_", "-"), file.parent)

    def own_source(entries: list[Entry]) -> None:
        unknown_lock(entries)
        for value, _ in entries:
            if value["cell"]["lock"]["name"] == "quick-lock":
                value["provenance"]["inputs"]["protected"]["code"]["lockbench_plugin_quick_lock"] = code_digest(source)
                submissions.rehash(value)

    submissions.rewritten(file, own_source)
    opened, _ = submission.open_(file, Store(file.parent / "looked"), plugins=[source])
    assert opened is not None
    found = code.plugins(opened)
    assert found.ok is declared, found
    assert declared or "the lock quick-lock is declared by no source here" in found.what


def test_entropy_that_the_card_names_is_accepted(file: Path, tmp_path: Path) -> None:
    secret = submissions.written(tmp_path / "secret.zip", settings=Settings(entropy="a secret"))
    assert refusals(look(secret)) == {"settings"}
    card = secret.with_suffix(".toml")
    card.write_text(submissions.CARD + 'entropy = "a secret"\n')
    shutil.rmtree(tmp_path / "looked")
    assert refusals(look(secret)) == set()


def test_a_summary_for_a_pull_request_names_what_failed(file: Path) -> None:
    submissions.rewritten(file, higher_RP)
    opened, findings = submission.open_(file, Store(file.parent / "looked"))
    assert opened is not None
    findings += checks.run(opened)
    text = summary.markdown("a|b.zip", findings, opened)
    assert text.startswith("## a\\|b.zip: refused: evidence, consistency\n")
    assert "| ✗ | evidence |" in text
    assert "modellock (blockwise) | logit-surgery | 0–2 |" in text


def test_every_number_with_evidence_is_recomputed() -> None:
    """A field that the judge measures by image cannot be forgotten here."""
    from bench.harness.judge import AttackVerdict, LockVerdict
    from reports.board.evidence import SIDES

    fields = {**LockVerdict.model_fields, **AttackVerdict.__dataclass_fields__}
    by_image = {name for name, field in fields.items() if "Measured" in str(getattr(field, "annotation", field))}
    by_image |= {"RP", "RP_validation", "authorised_after"}
    assert by_image == set(SIDES)


def test_a_default_that_has_moved_is_named_as_one(file: Path) -> None:
    """An archive of older code is no forgery: the line says which of the two it may be."""

    def older(entries: list[Entry]) -> None:
        for value, _ in submissions.of(entries, "modellock", "logit-surgery"):
            attack, inputs = value["cell"]["attack"], value["provenance"]["inputs"]["unlocked"]
            attack["params"]["rounds"] = inputs["params"]["rounds"] = 7
            inputs["code"]["attacks.logit_surgery"] = "0" * 16
            submissions.rename(value)
            submissions.rehash(value)

    submissions.rewritten(file, older)
    found = look(file)["settings"]
    assert "though its label has the default; its code has changed since" in " ".join(found.lines)
    assert "at the commit of the card" in found.remedy
