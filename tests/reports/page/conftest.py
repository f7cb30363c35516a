"""The example page that the tests of pages and of browsers read."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_records import FakeStore
from example_site import everything

from bench.records import Record
from reports.page import site as html


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return everything()


@pytest.fixture(scope="module")
def site(records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "page"
    html.write(FakeStore(records, samples=True), out)
    return out
