"""The HTML page: one folder that opens from disk, with no server and no network. Records to what the templates print.

Everything is recomputed from records; the scripts in it sort, filter and draw, and hold no number of their own.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from bench import registry
from bench.legible import shortened, visible
from bench.records import Record
from reports.files import name_of
from reports.page import charts, curves, draw_plotly, gallery, matrix, palette, prose
from reports.page import plugin_page as plugin_pages
from reports.page.chart_spec import Chart
from reports.page.folder import MARK, lockbench_version, plotly_script, replacing
from reports.rows import budget_surface as surface
from reports.rows.aggregate import LONGEST_NAME, MOST_METERS, current
from reports.rows.aggregate import rows as to_rows
from reports.rows.ensemble import worst_cases
from reports.rows.intervals import Value
from reports.rows.real import real
from reports.rows.rerun import commands_of
from reports.rows.row import Row
from reports.rows.source import Evidence, Store
from reports.text.captions import captions
from reports.text.cells import fields_of, heading, verdict
from reports.text.formatting import EMPTY, HEADINGS, digits, interval, number, seeds_words, threat_terms, threat_words
from reports.text.groups import Group, grouped, lock_name, title

TEMPLATES = Path(__file__).resolve().parent / "templates"
COLUMNS = (
    "UP", "LP", "RP", "advantage", "recovery", "public_baseline", "oracle", "victim_authorised", "UP_shipped",
    "LP_shipped", "authorised_after",
)  # fmt: skip
LARGE = 1000
"""Rows from which the first page lists the tables in place of showing them."""
PAGE_LENGTH = 200
"""Rows of a table, controls apart, that are shown at once."""
VERDICTS = ("broken", "undecided", "not broken by this attack", "no result")
TONES = {"broken": "bad", "failed": "bad", "invalid": "bad", "undecided": "open", "not broken by this attack": "good"}
COST_WORDS = {
    "extra_parameters": "lock: parameters more than the victim’s",
    "key_ms_per_image": "key: milliseconds an image (this machine’s)",
    "key_megabytes": "key: megabytes of weights",
}
METER_WORDS = {"seconds": "seconds (this machine’s)", "peak_memory_mb": "peak memory, MB"}


def write(store: Store, out: str | Path, keep: Callable[[Sequence[Row]], list[Row]] | None = None) -> Path:
    """Write the page of ``store``.

    Args:
        store: where the records are.
        out: the folder; made if absent, replaced whole if it is such a page already.
        keep: chooses among the rows, as `reports.rows.filters.Filters.narrow` does; None means all.

    Returns:
        ``index.html`` in ``out``.

    Raises:
        UserError: ``out`` holds something else, or cannot be written.
    """
    records = current(store.records())
    with replacing(Path(out)) as folder:
        Site(store.evidence, records, folder, keep).build()
    return Path(out) / "index.html"


class Site:
    """All pages of some records.

    Args:
        evidence: per-image arrays of a record.
        records: of the rows that are shown.
        folder: an empty one, for the pages.
        keep: chooses among the rows.
    """

    def __init__(
        self,
        evidence: Evidence,
        records: Sequence[Record],
        folder: Path,
        keep: Callable[[Sequence[Row]], list[Row]] | None = None,
    ) -> None:
        """Join ``records`` to rows."""
        self.evidence, self.folder = evidence, folder
        table = to_rows(records, evidence)
        self.rows = table if keep is None else keep(table)
        self.groups = grouped(self.rows)
        self.records: dict[tuple[str, str], list[Record]] = {}
        for record in [*records, *(record for record, _ in worst_cases(records))]:
            self.records.setdefault((record.row_key, record.status), []).append(record)
        self.docs = {name: prose.doc(name) for name in prose.DOCS}
        terms = [threat_terms(row.threat) for row in self.rows]
        shared = {term for term in (terms[0] if terms else ()) if all(term in other for other in terms)}
        self.threats = {
            threat_words(row.threat): ", ".join(t for t in threat_terms(row.threat) if t not in shared)
            or "the only one"
            for row in self.rows
        }
        self.jinja = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True, finalize=_shown,
        )  # fmt: skip
        self.jinja.globals |= {
            "site": self, "HEADINGS": HEADINGS, "heading": heading, "palette": palette, "figure": draw_plotly.figure,
            "DOCS": prose.DOCS, "inline": prose.inline, "breakable": prose.breakable, "title": title,
            "seeds_words": seeds_words, "threat_words": threat_words, "lock_name": lock_name, "matrix": matrix,
        }  # fmt: skip

    def build(self) -> None:
        """Write every page and what they load."""
        assets = self.folder / "assets"
        assets.mkdir()
        self._page("assets/page.css", "page.css")
        shutil.copyfile(TEMPLATES / "page.js", assets / "page.js")
        shutil.copyfile(plotly_script(), assets / "plotly.min.js")
        newest = max((r.provenance.created for rs in self.records.values() for r in rs), default="")
        self.jinja.globals |= {
            "n_records": sum(map(len, self.records.values())), "newest": newest[:10], "version": lockbench_version(),
        }  # fmt: skip
        self._page("index.html", "index.html", empty=EMPTY)
        for group in self.groups:
            self._scenario(group)
        for kind in ("lock", "attack"):
            for name in dict.fromkeys(getattr(row, f"{kind}_name") for row in self.rows):
                self._page(self.href(kind, name), "plugin.html", **self._plugin(kind, name))
        for name, (text, anchors) in self.docs.items():
            raised = plugin_pages.raised(self.rows) if name == "flags" else {}
            unknown = [flag for flag in raised if flag not in anchors]
            self._page(f"{name}.html", "doc.html", text=text, heading=prose.DOCS[name], raised=raised, unknown=unknown)
        (self.folder / MARK).write_text(
            json.dumps({"made_by": "lockbench", "version": lockbench_version()}), encoding="utf-8"
        )

    def _page(self, file: str, template: str, **context: Any) -> None:
        text = self.jinja.get_template(template).render(here=file, **context)
        (self.folder / file).write_text(text, encoding="utf-8")

    def _plugin(self, kind: str, name: str) -> dict[str, Any]:
        return plugin_pages.context(kind, name, self.rows, self.groups, lambda row: self.of_row(row)[0].cell)

    def _scores(self, group: Group) -> dict[str, float | None]:
        return {row.row_key: self._validation(row) for row in group.rows}

    def _scenario(self, group: Group) -> None:
        scores = self._scores(group)
        shown: dict[str, Sequence[Chart | None]] = {
            "Cost against strength": [charts.trade_off(group, scores)],
            "Source and target": [charts.drops(group)],
            "Recovery against what was spent": curves.recovery_curves(group),
            "Recovery against what may be spent": curves.budgets(group),
            "Key conditions": charts.conditions(group),
        }
        by_heading = {heading: [c for c in pool if c is not None] for heading, pool in shown.items()}
        sheets: dict[str, list[gallery.Strip]] = {}
        for row in group.rows:
            own = sheets.setdefault(f"{row.lock}, key {row.key}", [])
            own += [strip for strip in self._samples(group, row) if strip not in own]
        self._page(
            self.scenario_href(group), "scenario.html", group=group, charts=by_heading,
            sheets={heading: strips for heading, strips in sheets.items() if strips},
            has_charts=any(by_heading.values()),
        )  # fmt: skip

    def _validation(self, row: Row) -> float | None:
        """The mean RP on judge-validation images, None unless every seed has one."""
        values = [r.RP_validation for r in self.of_row(row)]
        known = [v.value for v in values if v is not None]
        return float(np.mean(known)) if known and len(known) == len(values) else None

    def _samples(self, group: Group, row: Row) -> list[gallery.Strip]:
        if row.status != "ok":
            return []
        whose = f"{row.attack} ({group.threat(row)})"
        by_record = (gallery.strips(r, self.evidence(r), self.folder, whose) for r in self.of_row(row))
        return next((strips for strips in by_record if strips), [])

    # What templates ask for.

    all_columns = (*COLUMNS, "floor")
    page_length = PAGE_LENGTH
    verdicts = VERDICTS

    @property
    def is_large(self) -> bool:
        """Whether the tables are too much for one page."""
        return len(self.rows) > LARGE

    def contents(self) -> list[dict[str, Any]]:
        """Of each table its group, how much there is in it, and its rows by verdict."""
        lines = []
        for group in self.groups:
            counts = Counter(row.verdict if row.status == "ok" else VERDICTS[-1] for row in group.methods)
            names = {kind: len({getattr(row, f"{kind}_name") for row in group.methods}) for kind in ("lock", "attack")}
            lines.append(
                {
                    "group": group, "locks": names["lock"], "attacks": names["attack"], "rows": len(group.rows),
                    "verdicts": [counts[verdict] for verdict in VERDICTS],
                }
            )  # fmt: skip
        return lines

    def of_row(self, row: Row) -> list[Record]:
        """The records that ``row`` was made of."""
        return self.records[row.row_key, row.status]

    def href(self, kind: str, name: str) -> str:
        """The page of a lock or an attack; names that would share a file get a digest."""
        return name_of(kind, name, ending=".html")

    def scenario_href(self, group: Group) -> str:
        """The page of a scenario and model."""
        return name_of("scenario", group.scenario, group.model, ending=".html")

    def anchor(self, row: Row) -> str:
        """The identifier of a row on every page."""
        return f"row-{row.row_key[:12]}" + ("" if row.status == "ok" else f"-{row.status}")

    def choices(self, name: str) -> list[tuple[str, str]]:
        """The values of a filter, with what it prints for each."""
        return [(value, value) for value in sorted({getattr(row, name) for row in self.rows})]

    def threat_choices(self) -> list[tuple[int, str]]:
        """The threat models there are, each by what tells it from the others."""
        return list(enumerate(self.threats.values()))

    def plugins(self, kind: str) -> list[tuple[str, str]]:
        """The locks or attacks that appear, with a line on each."""
        infos = {name: registry.current().get(kind, name) for name, _ in self.choices(f"{kind}_name")}
        return [(name, "" if info is None else info.summary) for name, info in infos.items()]

    def threat_number(self, row: Row) -> int:
        """Which of the filter's threat models ``row`` has."""
        return list(self.threats).index(threat_words(row.threat))

    def matrix(self, group: Group) -> matrix.View | None:
        """Locks against attacks in ``group``; None where no attack was run."""
        return matrix.view(group, self._scores(group))

    def mean(self, value: Value | None) -> str:
        """A mean in percent, as the matrix prints it."""
        return number(None if value is None else value.mean)

    def columns(self, group: Group) -> list[str]:
        """The fields that a table of ``group`` has columns for."""
        return fields_of(group, COLUMNS)

    def number(self, row: Row, name: str) -> dict[str, str]:
        """A cell: text, interval, what the interval varies, and the full number to sort by."""
        value = row.values[name]
        if value is None:
            return {"text": number(None), "ci": "", "kind": "", "sort": ""}
        ci = interval(value, digits(name)).replace("-", "−")
        text = number(value.mean, digits(name)).replace("-", "−")
        return {"text": text, "ci": ci, "kind": value.kind or "", "sort": repr(value.mean)}

    def per_seed(self, row: Row, name: str) -> list[str]:
        """The field for each seed."""
        value = row.values[name]
        return [] if value is None else [number(x, digits(name)).replace("-", "−") for x in value.per_seed]

    def verdict(self, row: Row) -> tuple[str, str]:
        """The verdict, and its tone."""
        return verdict(row), TONES.get(row.verdict, "plain")

    def images(self, row: Row) -> str:
        """Test images, once where every seed has as many."""
        return " / ".join(dict.fromkeys("—" if n is None else str(n) for n in row.n))

    def captions(self, group: Group) -> list[Markup]:
        """The sentences under a table, with links to what explains them."""
        return [self._linked(line) for line in captions(group)]

    def _linked(self, line: str) -> Markup:
        head, colon, rest = line.partition(": ")
        titled = bool(colon) and len(head) < 60
        pieces = re.split(r"docs/reference/flags\.md#([\w-]+)", rest if titled else line)
        link = Markup('<a href="{}">{}</a>')
        text = Markup("").join(link.format(self.flag_href(p), p) if i % 2 else escape(p) for i, p in enumerate(pieces))
        return Markup("<strong>{}:</strong> {}").format(head, text) if titled else text

    def flag_href(self, name: str) -> str:
        """Where a red flag is explained."""
        return f"flags.html#{name if name in self.docs['flags'][1] else name_of('flag', name)}"

    def commands(self, row: Row) -> list[str]:
        """What makes the row again."""
        first = self.of_row(row)[0]
        return commands_of(first.cell, row.seeds, first.provenance.threads, first.provenance.dtype)

    def costs(self, row: Row) -> list[tuple[str, str]]:
        """What the attack, the lock and the key cost, means over seeds; what was not metered is left out."""
        meters = [r.lock_meter or {} for r in self.of_row(row)]
        costs = [(f"attack: {meter_words(name)}", value) for name, value in (row.meter or {}).items()]
        names = list(meters[0])[:MOST_METERS]
        costs += [(f"lock: {meter_words(name)}", mean([m.get(name) for m in meters])) for name in names]
        costs += [(words, row.lock_cost.get(name)) for name, words in COST_WORDS.items()]
        shown = [(words, f"{value:,.10g}") for words, value in costs if value is not None]
        halves = surface.halves_words(row)
        return shown + ([("guess at which half of the loss is back", halves)] if halves else [])


def _shown(value: Any) -> Any:
    """What a template prints: nothing invisible in it, whether it is escaped already or will be."""
    if not isinstance(value, str):
        return value
    text = visible(value, keep="\n")
    return Markup(text) if isinstance(value, Markup) else text  # noqa: S704 - an escape of ours needs none itself


def meter_words(name: str) -> str:
    """A meter's name in words."""
    return METER_WORDS.get(name, shortened(name.replace("_", " "), LONGEST_NAME))


def mean(values: Iterable[Any]) -> float | None:
    """The mean; None unless all are numbers, since what is unknown must not count as 0."""
    listed = list(values)
    known = [number for v in listed if (number := real(v)) is not None]
    return float(np.mean(known)) if known and len(known) == len(listed) else None
