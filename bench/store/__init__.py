"""Artefacts and records on disk, their identities, and archives of them."""

from bench.store.store import Store

__all__ = ["Store"]
