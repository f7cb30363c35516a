"""A locked model under a key: the model that ships, or the one that a key in the weights makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from bench.contracts import Images, Key, Withheld
from bench.contracts.plugins import weights_after
from bench.guests.subjects import Model


class LockedModel:
    """A locked model that lacks weights. As a `Model` it is what ships; `under` a key it may be another.

    Args:
        shipped: what ships.
        weights: its state dict.
        withheld: what it lacks, by parameter.
        rebuild: the model with another state dict.
    """

    def __init__(
        self,
        shipped: Model,
        weights: Mapping[str, Tensor],
        withheld: Mapping[str, Withheld],
        rebuild: Callable[[Mapping[str, Tensor]], Model],
    ) -> None:
        self.k, self.extra, self.parameters = shipped.k, shipped.extra, shipped.parameters
        self.has_batch_norm = shipped.has_batch_norm
        self._shipped, self._weights, self._withheld, self._rebuild = shipped, weights, withheld, rebuild
        self._last: tuple[Key, Model] | None = None

    def outputs(self, images: Tensor | Images) -> Tensor:
        """What ships answers, as `Model.outputs`."""
        return self._shipped.outputs(images)

    def adapted(self, pool: Tensor | Images, images: Tensor | Images) -> Tensor:
        """As `Model.adapted`."""
        return self._shipped.adapted(pool, images)

    def close(self) -> None:
        """End the processes of what ships and of the last model under a key."""
        self._shipped.close()
        if self._last is not None:
            self._last[1].close()

    def under(self, key: Key) -> Model:
        """The model after ``key``. The last one is kept, since the judge asks for the right key's more than once."""
        if self._last is None or self._last[0] != key:
            weights = weights_after(key, self._weights, self._withheld)
            self._last = key, self._shipped if weights is self._weights else self._rebuild(weights)
        return self._last[1]

    @property
    def held_megabytes(self) -> float:
        """Size of the withheld weights with their places, in 10^6 bytes."""
        tensors = [tensor for part in self._withheld.values() for tensor in (part.at, part.values)]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6


def under(model: Model, key: Key) -> Model:
    """``model`` after ``key``: itself, unless it lacks weights that ``key`` puts back."""
    return model.under(key) if isinstance(model, LockedModel) else model


def held_megabytes(model: Model) -> float:
    """Size of what a rightful user holds of the weights of ``model``, in 10^6 bytes."""
    return model.held_megabytes if isinstance(model, LockedModel) else 0.0
