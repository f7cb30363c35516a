"""The leaderboard as a static site: a matrix for each scenario, a page for each lock and attack, and how to join.

It needs no script, no server and no network. Everything is recomputed from the records of the archives.
"""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, FileSystemLoader

from reports.board import pool as pools
from reports.board import scenario as scenarios
from reports.board.checks import FULL_SEEDS
from reports.board.folder import Entry
from reports.board.pool import Pool
from reports.board.scenario import KINDS, Scenario
from reports.files import name_of
from reports.page import plugin_page, prose
from reports.page import site as page
from reports.page.folder import MARK, lockbench_version, replacing
from reports.rows.row import Row
from reports.text import tables
from reports.text.formatting import threat_terms

TEMPLATES = Path(__file__).resolve().parent / "templates"
JOIN = "how-to/join-the-leaderboard.md"
KINDS_OF_PLUGIN = ("lock", "attack")


@dataclass(frozen=True)
class Built:
    """A site: its first page, how many rows and submissions it shows, and what its maker should know."""

    index: Path
    rows: int
    submissions: int
    notes: tuple[str, ...]


def write(records: Path, out: Path) -> Built:
    """Write the site of the archives in ``records``.

    Args:
        records: a folder as `reports.board.folder` describes it.
        out: made if absent, replaced whole if it is such a site already.

    Raises:
        UserError: an archive, a card or a checksum that cannot be trusted, or a place that cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="lockbench-") as name:
        stores = pools.Stores(Path(name))
        pool = pools.read(records, stores)
        with replacing(out, "--out") as folder:
            board = Board(stores, pool, folder)
            board.build()
        return Built(out / "index.html", len(board.rows), len(pool.entries), tuple(pool.notes))


class Board(page.Site):
    """All pages of one leaderboard.

    Args:
        stores: where the evidence is.
        pool: of submissions.
        folder: an empty one, for the pages.
    """

    full_seeds = FULL_SEEDS
    kinds = KINDS

    def __init__(self, stores: pools.Stores, pool: Pool, folder: Path) -> None:
        super().__init__(stores.evidence, [], folder, keep=lambda _: pool.rows)
        self.pool, self.records, self.root = pool, pool.records, ""
        validation = {row.row_key: self._validation(row) for row in self.rows}
        self.scenarios = scenarios.scenarios(self.rows, lambda row: self.of_row(row)[0].cell, validation)
        self.jinja.loader = ChoiceLoader([FileSystemLoader(TEMPLATES), FileSystemLoader(page.TEMPLATES)])
        self.jinja.globals |= {"few": scenarios.few, "n_records": pool.n_records, "version": lockbench_version()}

    def build(self) -> None:
        """Write every page and the tables beside them."""
        for name in ("assets", "locks", "attacks", "data"):
            (self.folder / name).mkdir()
        newest = max((r.provenance.created for records in self.records.values() for r in records), default="")
        self.jinja.globals |= {"newest": newest[:10]}
        self._page("assets/page.css", "page.css")
        self._page("assets/board.css", "board.css")
        self._page("index.html", "board.html")
        for kind in KINDS_OF_PLUGIN:
            for name in dict.fromkeys(getattr(row, f"{kind}_name") for row in self.rows):
                self._subject(kind, name)
        text, _ = prose.page(JOIN)
        self._page("join.html", "text.html", text=text, heading="How to join")
        for name, (text, _) in self.docs.items():
            self._page(f"{name}.html", "text.html", text=text, heading=prose.DOCS[name])
        for scenario in self.scenarios:
            self._data(scenario)
        mark = json.dumps({"made_by": "lockbench", "version": lockbench_version()})
        (self.folder / MARK).write_text(mark, encoding="utf-8")

    def _page(self, file: str, template: str, **context: Any) -> None:
        self.root = "../" * file.count("/")
        super()._page(file, template, root=self.root, **context)

    def _subject(self, kind: str, name: str) -> None:
        context = plugin_page.context(kind, name, self.rows, self.groups, lambda row: self.of_row(row)[0].cell)
        first: dict[Any, Row] = {}
        for row in context["own"]:  # without an attack a threat model changes nothing: one row stands for all
            is_attack = row.attack_purpose != "no-attack"
            place = (row.lock, row.key, row.attack, row.scenario, row.model, row.row_key if is_attack else "")
            first.setdefault(place, row)
        file = f"{kind}s/{name_of(name, ending='.html')}"
        self._page(file, "subject.html", told_apart=list(first.values()), budgets=_budgets(context["own"]), **context)

    def _data(self, scenario: Scenario) -> None:
        texts = {
            "csv": scenarios.as_csv(scenario),
            "tex": scenarios.as_latex(scenario),
            "rows.csv": tables.render(scenario.group.rows, "csv"),
        }
        for ending, text in texts.items():
            (self.folder / "data" / f"{scenario.stem}.{ending}").write_text(text, encoding="utf-8")

    # What templates ask for.

    def href(self, kind: str, name: str) -> str:
        """The page of a lock or an attack, from the page that is being written."""
        return f"{self.root}{kind}s/{name_of(name, ending='.html')}"

    def flag_href(self, name: str) -> str:
        """Where a red flag is explained."""
        known = name in self.docs["flags"][1]
        return self.root + (super().flag_href(name) if known else "flags.html")

    def source(self, row: Row) -> Entry:
        """The submission that a row comes from."""
        return self.pool.sources[row.row_key, row.status]

    def commands(self, row: Row) -> list[str]:
        """As a page of a store has them, with what the archive's keys were drawn from."""
        entropy = shlex.quote(self.source(row).card.entropy)
        return [f"{command} --entropy {entropy}" for command in super().commands(row)]

    def third_party(self, row: Row) -> bool:
        """Whether others than the maintainers measured a row."""
        return self.source(row).card.third_party

    def changed(self, row: Row) -> list[str]:
        """Lock, key and attack of a row whose code has changed since it was measured."""
        return self.pool.changed[row.row_key, row.status]

    def also(self, row: Row) -> Sequence[Entry]:
        """Submissions that measured the row too."""
        return self.pool.others.get((row.row_key, row.status), [])

    def flags(self, row: Row) -> list[str]:
        """The red flags of a row, but for the one that every imported record has."""
        return [name for name in row.flags if name != "third-party"]


def _budgets(rows: Sequence[Row]) -> dict[str, str]:
    """What the attacker of each row has that others of ``rows`` have not, by row key: nothing without an attack.

    Empty where all have the same.
    """
    terms = {row.row_key: threat_terms(row.threat) for row in rows if row.attack_purpose != "no-attack"}
    shared = set.intersection(*map(set, terms.values())) if terms else set()
    own = {key: ", ".join(term for term in each if term not in shared) for key, each in terms.items()}
    return {row.row_key: own.get(row.row_key, "") for row in rows} if any(own.values()) else {}
