"""The folder of a page is replaced whole, or left as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import UserError
from reports.page.folder import replacing


def test_a_folder_that_cannot_be_moved_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="cannot write the page"), replacing(Path()) as part:
        (part / "index.html").write_text("new")
    assert list(tmp_path.iterdir()) == []
