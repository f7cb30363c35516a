"""What locks that wrap a network share: the network inside, its spec, and where images are counted."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from bench import models
from bench.contracts import Classifier


class Wrapped(Classifier):
    """A classifier around another one, f, which it holds as ``inner``.

    Parameters of f are named ``inner.…``; `bench.parameters.counterparts` finds them in a plain network.

    Args:
        spec: ``inner``, the spec of f; ``extra``, outputs beyond the K real classes, 0 by default.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        super().__init__()
        self.spec = {**copy.deepcopy(spec), "extra": int(spec.get("extra", 0))}
        self.inner = models.rebuild(self.spec["inner"])
        self.k, self.extra = self.inner.k, int(self.spec["extra"])

    @property
    def passed(self) -> Any:
        """Where the images that f sees are counted."""
        return getattr(self.inner, "passed", self.inner)


class WithHead(Wrapped):
    """A classifier around another one, f, whose head is that of f.

    Args:
        spec: as of `Wrapped`; ``extra`` is that of f by default, and f gets as many.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        inner: dict[str, Any] = dict(spec["inner"])
        extra = int(spec.get("extra", inner.get("extra", 0)))
        super().__init__({**spec, "extra": extra, "inner": {**inner, "extra": extra}})

    @property
    def last(self) -> nn.Module:
        """The layers from `embed` to the outputs: those of f."""
        layer: nn.Module = self.inner.last  # type: ignore[assignment]
        return layer

    def head(self, embedding: Tensor) -> Tensor:
        """(N, D) to (N, K + extra), by f."""
        return self.inner.head(embedding)
