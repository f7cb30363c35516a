"""The leaderboard's site: complete, self-contained, and made of what the archives hold."""

from __future__ import annotations

import copy
import csv
import io
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
import submissions
import yaml
from example_records import baselines, calibration, record
from places import ROOT
from submissions import Entry

from bench.errors import UserError
from bench.store import Store
from reports.board import checks, folder, scenario, site, submission
from reports.board import pool as pools
from reports.rows.aggregate import rows

RECORDS = ROOT / "leaderboard" / "records"


class Links(HTMLParser):
    """Targets, identifiers, and elements that load something, of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: set[str] = set()
        self.scripts = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs)
        self.scripts += tag == "script"
        self.targets += [value for name in ("href", "src") if (value := own.get(name))]
        if own.get("id"):
            self.ids.add(str(own["id"]))


def submit(place: Path, name: str, card: str = submissions.CARD, seeds: str = "3") -> Path:
    file = submissions.written(place / f"{name}.zip", seeds)
    file.with_suffix(".toml").write_text(card)
    shutil.rmtree(file.with_suffix(".store"))
    return file


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("records")
    submit(place, "ours", submissions.CARD + "third_party = false\n")
    theirs = submit(place, "theirs", seeds="5")

    def other_lock(entries: list[Entry]) -> None:
        for value, _ in entries:
            lock = value["cell"]["lock"]
            if lock["name"] == "modellock":
                lock["name"] = value["provenance"]["inputs"]["protected"]["lock"] = "<b>lock"
                submissions.rename(value)

    submissions.rewritten(theirs, other_lock)
    folder.write_sums(place)
    return place


@pytest.fixture(scope="module")
def built(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site.write(records, tmp_path_factory.mktemp("out") / "site").index.parent


def test_every_link_leads_somewhere_and_nothing_is_loaded_from_elsewhere(built: Path) -> None:
    pages = {file: Links(file.read_text()) for file in built.rglob("*.html")}
    assert {"index.html", "join.html", "flags.html", "locks", "attacks"} <= {file.name for file in built.iterdir()}
    for file, page in pages.items():
        assert page.scripts == 0
        for target in page.targets:
            path, _, anchor = target.partition("#")
            if target.startswith(("data:", "https://")):
                continue
            place = (file.parent / path).resolve() if path else file
            assert place.exists(), f"{file.name}: {target}"
            assert not anchor or anchor in pages[place].ids, f"{file.name}: {target}"
    for style in built.rglob("*.css"):
        assert "url(" not in style.read_text()


def test_a_cell_shows_rp_its_interval_the_baseline_and_its_seeds(built: Path) -> None:
    text = re.sub(r"<[^>]+>|\s+", " ", (built / "index.html").read_text())
    cells = re.findall(r"75\.0 .{0,60}?public 40\.0 +\d seeds[ ◔⚑‡\d]*", text)
    assert {("◔" in cell, "‡" in cell) for cell in cells} == {(False, True), (True, False)}
    assert "✓ destroyed must not open" in re.sub(r"\s+", " ", text)
    assert "permuted-logits must open" in re.sub(r"\s+", " ", text)


def test_a_folder_with_something_else_in_it_is_left_alone(records: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="Name another folder with --out"):
        site.write(records, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_text_of_a_stranger_is_no_markup(built: Path) -> None:
    for file in built.rglob("*.html"):
        assert "<b>lock" not in file.read_text()
    assert "&lt;b&gt;lock" in (built / "index.html").read_text()


def test_the_matrix_stands_beside_the_page_as_csv_and_latex(built: Path) -> None:
    (file,) = built.glob("data/*keyed.csv")
    heading, *lines = csv.reader(io.StringIO(file.read_text()))
    assert heading == ["rank", "lock", "key", "UP", "LP", "oracle", "logit-surgery"]
    by_lock = {line[1]: line for line in lines}
    assert by_lock["modellock"][3:6] == ["90.0", "20.0", "85.0"]
    assert by_lock["modellock"][6].startswith("75.0 [")
    assert by_lock["modellock"][6].endswith("3 seeds)")
    assert by_lock["destroyed"][0] == "—"
    assert r"\begin{tabular}{lllrrrr}" in file.with_suffix(".tex").read_text()


def test_a_row_of_two_submissions_is_the_maintainers_and_names_the_other(records: Path, built: Path) -> None:
    text = (built / "locks" / "destroyed.html").read_text()
    assert "From <code>ours.zip</code> by A group; also measured in <code>theirs.zip</code>." in text


def test_submissions_that_disagree_are_named(tmp_path: Path) -> None:
    submit(tmp_path, "a", submissions.CARD + "third_party = false\n")
    other = submit(tmp_path, "b")

    def another_run(entries: list[Entry]) -> None:
        for value, arrays in entries:
            if value["cell"]["lock"]["name"] == "modellock" and value["cell"]["replicate"] == 0:
                value["provenance"]["inputs"]["base"]["versions"]["torch"] = "1.13"
                submissions.rehash(value)
                submissions.restate(value, arrays, "RP", submissions.answers(50, "other"))

    submissions.rewritten(other, another_run)
    folder.write_sums(tmp_path)
    notes = site.write(tmp_path, tmp_path / "site-of-both").notes
    assert any("RP 75.0 in a, which counts, and 50.0 in b" in note for note in notes)


@pytest.mark.parametrize(("digest", "differs"), [("1" * 64, False), ("2" * 64, True)])
def test_plugins_of_one_name_and_different_source_are_named(digest: str, differs: bool, tmp_path: Path) -> None:
    for name, source in (("a", "1" * 64), ("b", digest)):

        def with_source(entries: list[Entry], source: str = source) -> None:
            for value, _ in submissions.of(entries, "modellock", "logit-surgery"):
                value["provenance"]["inputs"]["protected"]["code"]["lockbench_plugin_mine"] = source
                submissions.rehash(value)

        submissions.rewritten(submit(tmp_path, name), with_source)
    folder.write_sums(tmp_path)
    notes = site.write(tmp_path, tmp_path / "site-of-both").notes
    expected = "lock modellock: its source is not the same in a, b; ask for another name"
    assert (expected in notes) == differs


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: (p / folder.SUMS).unlink(), "SHA256SUMS is missing"),
        (lambda p: (p / "a.toml").write_text(submissions.CARD + "# more\n"), "a.toml is not the file"),
        (lambda p: shutil.copy(p / "a.zip", p / "b.zip"), "lacks b.zip"),
        (lambda p: (p / "run.sh").write_text("rm"), "run.sh is no file of a submission"),
        (lambda p: (p / "a.zip").unlink(), "names a.zip, which is missing"),
        (lambda p: (p / folder.SUMS).write_text("x"), "a line that is no checksum"),
    ],
)
def test_a_folder_whose_checksums_do_not_fit_makes_no_site(change: object, reason: str, tmp_path: Path) -> None:
    place = tmp_path / "records"
    place.mkdir()
    (place / "a.zip").write_bytes(b"zip")
    (place / "a.toml").write_text(submissions.CARD)
    folder.write_sums(place)
    assert folder.problems(place) == []
    change(place)  # type: ignore[operator]
    with pytest.raises(UserError) as refused:
        site.write(place, tmp_path / "site")
    assert reason in str(refused.value)
    assert not (tmp_path / "site").exists()


def test_rows_of_a_page_are_told_apart_by_what_the_attacker_has(tmp_path: Path) -> None:
    def fewer(entries: list[Entry]) -> list[Entry]:
        own = [e for e in entries if e[0]["cell"]["lock"]["name"] == "modellock"]  # under the attack, and under none
        more = copy.deepcopy(own)
        for value, _ in more:
            value["cell"]["threat"]["share"] = 0.1
            submissions.rename(value)
            submissions.rehash(value)
        return [*entries, *more]

    submissions.rewritten(submit(tmp_path, "two"), fewer)
    folder.write_sums(tmp_path)
    text = (site.write(tmp_path, tmp_path / "site").index.parent / "locks" / "modellock.html").read_text()
    table = text.partition("<tbody>")[2].partition("</tbody>")[0]
    assert re.findall(r"<td><small>([^<]*)</small></td>", table) == [
        "1 % labelled unauthorised images", "10 % labelled unauthorised images", "",
    ]  # fmt: skip


def test_a_row_whose_code_has_changed_since_is_marked(built: Path, tmp_path: Path) -> None:
    """What a plugin does today may be something else than what its row says."""

    def older(entries: list[Entry]) -> None:
        for value, _ in submissions.of(entries, "modellock", "logit-surgery"):
            value["provenance"]["inputs"]["unlocked"]["code"]["attacks.logit_surgery"] = "0" * 16
            submissions.rehash(value)

    submissions.rewritten(submit(tmp_path, "older"), older)
    folder.write_sums(tmp_path)
    other = site.write(tmp_path, tmp_path / "site").index.parent
    for place, is_older in ((built, False), (other, True)):
        assert ("†</small>" in (place / "index.html").read_text()) == is_older
        assert ("today: attack logit-surgery" in (place / "locks" / "modellock.html").read_text()) == is_older


def test_the_records_of_this_repository_are_sound_and_make_a_site(tmp_path: Path) -> None:
    assert folder.problems(RECORDS) == []
    lasting = {"own", "duplicates", "seeds", "evidence", "controls", "calibration", "baselines"}
    for entry in folder.entries(RECORDS):
        opened, findings = submission.open_(entry.archive, Store(tmp_path / entry.name))
        assert opened is not None
        found = {f.check: f for f in [*findings, *checks.run(opened)]}
        # Code and defaults move on; what was measured stays.
        bad = [f for name, f in found.items() if not f.ok and name not in ("versions", "settings")]
        assert bad == []
        assert lasting <= set(found)
    written = site.write(RECORDS, tmp_path / "site")
    assert written.rows > 0
    text = re.sub(r"\s+", " ", written.index.read_text())
    commands = re.findall(
        r"<code>bench run [^<]*</code>", (written.index.parent / "locks" / "modellock.html").read_text()
    )
    assert commands
    assert all(command.endswith("--entropy plan</code>") for command in commands)
    assert re.search(r"<b>Ranks\.</b> Optimistic for [^<]*: the worst of several rows was chosen", text)


def test_a_flag_without_a_text_links_to_the_page_alone(records: Path, tmp_path: Path) -> None:
    """An archive of another version may raise one that no page explains."""
    stores = pools.Stores(tmp_path / "stores")
    board = site.Board(stores, pools.read(records, stores), tmp_path)
    assert board.flag_href("lp-below-floor") == "flags.html#lp-below-floor"
    assert board.flag_href("of-another-version") == "flags.html"


def test_a_spot_of_several_rows_shows_the_one_that_judge_validation_images_choose() -> None:
    """As the page of the same records does; the highest on test images would be optimistic."""
    pool = [record(RP=80.0), record(RP=70.0, attack_explicit={"steps": 9})]
    table = rows([*pool, *baselines(30.0), *calibration()])
    scores: dict[str, float | None] = {pool[0].row_key: 60.0, pool[1].row_key: 75.0}
    (one,) = scenario.scenarios(table, lambda row: pool[0].cell, scores)
    assert one.matrix is not None
    shown = [spot.row.mean("RP") for line in one.matrix.methods for spot in line.spots if spot is not None]
    assert shown == [70.0]


CHANGES = {
    "a changed archive": ("printf b > a.zip", ["a.zip"]),
    "a renamed and changed one": ("git mv a.zip z.zip && printf x >> z.zip", ["z.zip"]),
    "a changed card": ("printf b > a.toml", ["a.zip"]),
    "a card and its archive": ("printf b > a.toml && printf b > a.zip", ["a.zip"]),
    "a changed source": ("printf b > own.py", ["a.zip", "b c.zip"]),
    "a removed archive": ("git rm -q a.zip a.toml", []),
    "a page": ("printf b > README.md", []),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_workflow_looks_at_every_archive_that_a_change_touches(name: str, tmp_path: Path) -> None:
    change, looked_at = CHANGES[name]
    flow = yaml.safe_load((ROOT / ".github" / "workflows" / "leaderboard.yml").read_text())
    (step,) = [step for step in flow["jobs"]["check"]["steps"] if step.get("name") == "bench submit"]
    place = tmp_path / "leaderboard" / "records"
    place.mkdir(parents=True)
    for file in ("a.zip", "b c.zip", "a.toml", "own.py", "README.md"):
        (place / file).write_text(file * 400)
    command = tmp_path / ".venv" / "bin" / "bench"
    command.parent.mkdir(parents=True)
    command.write_text('#!/bin/sh\nprintf "%s\\n" "$2" >> "$LOG"\n')
    command.chmod(0o755)
    git = "git -c user.name=n -c user.email=e@e.example"
    log, environment = tmp_path / "log", {**os.environ, "GITHUB_STEP_SUMMARY": os.devnull}
    setup = f"git init -q && git add -A leaderboard && {git} commit -qm base && cd leaderboard/records && {change}"
    subprocess.run(["bash", "-ec", setup], cwd=tmp_path, check=True)
    environment |= {"BASE": "HEAD", "LOG": str(log)}
    subprocess.run(["bash", "-e", "-o", "pipefail", "-c", step["run"]], cwd=tmp_path, check=True, env=environment)
    shown = [Path(line).name for line in log.read_text().splitlines()] if log.exists() else []
    assert shown == looked_at


@pytest.mark.parametrize("file", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[0-9]*.yml")), ids=lambda f: f.stem)
def test_an_issue_form_is_one(file: Path) -> None:
    form = yaml.safe_load(file.read_text())
    assert {"name", "description", "body"} <= set(form)
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in form["body"]} <= {"markdown", "input", "textarea", "dropdown", "checkboxes"}
    ids = [field["id"] for field in fields]
    assert len(ids) == len(set(ids))
    assert all(field["attributes"].get("label") for field in fields)
    assert {"command", "archive"} <= set(ids)


def test_the_workflow_has_no_right_but_to_publish() -> None:
    flow = yaml.safe_load((ROOT / ".github" / "workflows" / "leaderboard.yml").read_text())
    assert flow["permissions"] == {"contents": "read"}
    rights = {name: job.get("permissions") for name, job in flow["jobs"].items()}
    assert rights == {"check": None, "build": None, "publish": {"pages": "write", "id-token": "write"}}
    uses = [step["uses"] for job in flow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", name) for name in uses)
    shell = "".join(step.get("run", "") for job in flow["jobs"].values() for step in job["steps"])
    assert "${{" not in shell  # a name in a pull request is never part of a script
    assert "pull_request" in flow["jobs"]["publish"]["if"]
