"""The notebook of the docs runs from top to bottom, and holds the outputs of such a run."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from places import DOCS, ROOT

NOTEBOOK = DOCS / "how-to" / "notebook.ipynb"


def _code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_holds_the_outputs_of_one_run_in_order() -> None:
    cells = _code(nbformat.read(NOTEBOOK, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(output.output_type != "error" for cell in cells for output in cell.outputs)
    assert any("text/html" in output.get("data", {}) for cell in cells for output in cell.outputs)


def test_no_path_of_a_machine_is_in_it() -> None:
    assert not re.search(r"/(?:home|Users|root|tmp)/", NOTEBOOK.read_text(encoding="utf-8"))


@pytest.mark.slow  # trains a victim and a lock on real images, in a kernel of its own
def test_it_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    last = _code(notebook)[-1].outputs
    assert last
    assert all(output.output_type != "error" for output in last)
