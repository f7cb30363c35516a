"""Folders that tests read from."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PLUGINS = ROOT / "tests" / "plugins"
BENCHMARKS = ROOT / "tests" / "benchmarks"
