"""The importers by name, and the formats of files that they know by the names of weights. No torch here."""

from __future__ import annotations

from collections.abc import Collection

from bench.checkpoints.importers import efficientnet_pytorch, mae
from bench.checkpoints.importers.form import Form, Package

PACKAGES: dict[str, Package] = {"efficientnet-lite0": efficientnet_pytorch.LITE0}
"""Weights that a Python package carries, by the name that ``--weights`` takes."""
FORMS: tuple[Form, ...] = (efficientnet_pytorch.FORM, mae.FORM)


def form_of(names: Collection[str]) -> Form | None:
    """The format whose weights have these ``names``; None for one with the architecture's own names."""
    return next((form for form in FORMS if form.mark(names)), None)
