"""What the judge asks: models and predictors, in this process or, where guests made them, in one of theirs.

A subject gets copies of images, and what it answers is checked. Nothing that it does to its input, or to the state
of its process, reaches another cell.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from bench import models, predictors, registry
from bench.contracts import Classifier, Images, Predictor
from bench.guests import checks
from bench.guests.failure import InvalidResult
from bench.guests.process import Guest, Handler

Answer = Callable[[Tensor], Tensor]


class Model(Protocol):
    """A classifier as the judge sees it."""

    k: int
    extra: int
    parameters: int
    has_batch_norm: bool

    def outputs(self, images: Tensor | Images) -> Tensor:
        """(N, K + extra) finite float32 outputs on the CPU for (N, 3, H, W) images; a set is read batch by batch.

        In segmentation they are (N, K + extra, H, W).

        Raises:
            InvalidResult: the model answers with something else.
        """
        ...

    def adapted(self, pool: Tensor | Images, images: Tensor | Images) -> Tensor:
        """As `outputs`, once batch-norm statistics are those of ``pool``."""
        ...

    def close(self) -> None:
        """End the process it runs in, if it has one."""
        ...


class LocalModel:
    """A classifier of the project's own code, in this process."""

    def __init__(self, classifier: Classifier, device: str | torch.device = "cpu", dense: bool = False) -> None:
        self.classifier = classifier.to(device)
        self.device, self._dense = device, dense
        self.k, self.extra = classifier.k, classifier.extra
        self.parameters = sum(p.numel() for p in classifier.parameters())
        self.has_batch_norm = models.has_batch_norm(classifier)

    def outputs(self, images: Tensor | Images) -> Tensor:
        return self._checked(models.outputs(self.classifier, images), images)

    def adapted(self, pool: Tensor | Images, images: Tensor | Images) -> Tensor:
        again = copy.deepcopy(self.classifier)
        models.reestimate_batch_norm(again, pool)
        return self._checked(models.outputs(again, images), images)

    def _checked(self, outputs: Tensor, images: Tensor | Images) -> Tensor:
        return checks.scores(outputs, len(images), self.k + self.extra, "the model", _pixels(images, self._dense))

    def close(self) -> None:
        return None


class RemoteModel:
    """A classifier in a guest's process."""

    def __init__(
        self, spec: Mapping[str, Any], state: Mapping[str, Tensor], device: str, what: str, dense: bool = False
    ) -> None:
        self._what, self._dense = what, dense
        self._guest = _started(self, "classifier", what)
        facts = self._guest.call("load", {**_surroundings(device), "spec": dict(spec)}, state).body
        self.k, self.extra = int(facts["k"]), int(facts["extra"])
        self.parameters, self.has_batch_norm = int(facts["parameters"]), bool(facts["has_batch_norm"])

    def outputs(self, images: Tensor | Images) -> Tensor:
        return self._scores("outputs", images, {"images": images})

    def adapted(self, pool: Tensor | Images, images: Tensor | Images) -> Tensor:
        return self._scores("adapted", images, {"images": images, "pool": pool})

    def close(self) -> None:
        self._guest.end()

    def _scores(self, kind: str, images: Tensor | Images, tensors: Mapping[str, Tensor | Images]) -> Tensor:
        answer = self._guest.call(kind, {}, tensors).tensors.get("outputs")
        return checks.scores(answer, len(images), self.k + self.extra, self._what, _pixels(images, self._dense))


class Answerer(Protocol):
    """A predictor as the judge sees it."""

    transductive: bool
    costly: bool
    description: Mapping[str, Any]

    def scores(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """(n, K) finite float32 scores for each batch; a transductive predictor starts from a fresh copy.

        In segmentation they are (n, K, H, W).

        Raises:
            InvalidResult: the predictor answers with something else.
        """
        ...

    def transformed(self, images: Tensor) -> Tensor | None:
        """The images that the model inside sees in place of ``images``; None where they stay as they are."""
        ...

    def close(self) -> None:
        """End the process it runs in, if it has one."""
        ...


class LocalAnswerer:
    """A predictor of the project's own code, in this process."""

    def __init__(self, predictor: Predictor, k: int, device: str | torch.device = "cpu", dense: bool = False) -> None:
        self.predictor, self._k, self._device, self._dense = predictor.to(device), k, device, dense
        self.transductive, self.costly = predictor.transductive, predictor.costly
        self.description: Mapping[str, Any] = predictor.describe()

    def scores(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        predictor = copy.deepcopy(self.predictor) if self.transductive else self.predictor
        for b in batches:
            with torch.no_grad():
                out = predictor.predict(b.to(self._device).clone())
            yield checks.scores(out, len(b), self._k, "the predictor", _pixels(b, self._dense))

    def transformed(self, images: Tensor) -> Tensor | None:
        return self.predictor.transformed(images.clone())

    def close(self) -> None:
        return None


class RemoteAnswerer:
    """A predictor in a guest's process; its questions to the locked model are answered here."""

    def __init__(
        self,
        spec: Mapping[str, Any],
        state: Mapping[str, Tensor],
        k: int,
        device: str,
        what: str,
        answer: Answer | None,
        dense: bool = False,
    ) -> None:
        self._k, self._what, self._dense = k, what, dense
        self._guest = _started(self, "predictor", what)
        self._handlers: dict[str, Handler] = {}
        if answer is not None:
            self._handlers["query"] = lambda message: ("answer", {}, {"answer": answer(message.tensors["images"])})
        facts = self._guest.call("load", {**_surroundings(device), "spec": dict(spec)}, state).body
        self.transductive, self.costly = bool(facts["transductive"]), bool(facts["costly"])
        self.description: Mapping[str, Any] = dict(facts["describe"])

    def scores(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        for i, batch in enumerate(batches):
            answer = self._guest.call("predict", {"fresh": i == 0}, {"images": batch}, self._handlers)
            pixels = _pixels(batch, self._dense)
            yield checks.scores(answer.tensors.get("scores"), len(batch), self._k, self._what, pixels)

    def transformed(self, images: Tensor) -> Tensor | None:
        answer = self._guest.call("transformed", {}, {"images": images}, self._handlers)
        if not answer.body.get("is"):
            return None
        return checks.images(answer.tensors.get("images"), images, self._what)

    def close(self) -> None:
        self._guest.end()


def _pixels(images: Tensor | Images, dense: bool) -> tuple[int, ...]:
    """Height and width of what is answered for each image; nothing where that is one class."""
    return tuple(images.shape[2:]) if dense else ()


def model(
    spec: Mapping[str, Any], state: Mapping[str, Tensor], device: str, guest: bool, what: str, dense: bool = False
) -> Model:
    """The classifier of ``spec`` and ``state``, in a process of its own where ``guest`` code made it.

    Args:
        dense: whether every pixel has a class.

    Raises:
        InvalidResult: weights that are not finite.
    """
    checks.weights(state, what)
    if guest:
        return RemoteModel(spec, state, device, what, dense)
    return LocalModel(models.rebuild(dict(spec), dict(state)), device, dense)


def answerer(
    spec: Mapping[str, Any],
    state: Mapping[str, Tensor],
    k: int,
    device: str,
    guest: bool,
    what: str,
    answer: Answer | None = None,
    dense: bool = False,
) -> Answerer:
    """The predictor of ``spec`` and ``state``, in a process of its own where ``guest`` code made it.

    Args:
        dense: whether every pixel has a class.

    Raises:
        InvalidResult: weights that are not finite.
    """
    checks.weights(state, what)
    if guest:
        return RemoteAnswerer(spec, state, k, device, what, answer, dense)
    return LocalAnswerer(predictors.rebuild(spec, state, answer), k, device, dense)


def _started(owner: object, kind: str, what: str) -> Guest:
    """A guest that ends with ``owner`` at the latest."""
    guest = Guest(f"bench.guests.answering:{kind}", what).__enter__()
    weakref.finalize(owner, guest.end)
    return guest


def _surroundings(device: str) -> dict[str, Any]:
    return {
        "plugin_files": list(registry.current().files),
        "device": device,
        "threads": torch.get_num_threads(),
    }


__all__ = ["Answerer", "InvalidResult", "LocalAnswerer", "LocalModel", "Model", "answerer", "model"]
