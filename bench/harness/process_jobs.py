"""What every process that trains shares: its first message, and how it speaks of progress, budgets and shared work."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from bench.contracts import AccessDenied, BudgetSpent, Images
from bench.guests.process import Handler, Reply
from bench.guests.wire import Message, Wire
from bench.training import Progress

OFTEN = 0.2
"""Least seconds between reports of progress."""


class Speaker:
    """The guest's side: what its `bench.training.Run` and view say over the wire."""

    def __init__(self, wire: Wire) -> None:
        self.wire, self._last = wire, 0.0

    def progress(self, done: int, total: int, what: str) -> None:
        """Report progress, not too often."""
        now = time.monotonic()
        if now - self._last > OFTEN or done >= total:
            self._last = now
            self.wire.send("progress", {"done": done, "total": total, "what": what})

    def ask(self, kind: str, body: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None) -> Message:
        """Ask the harness.

        Raises:
            AccessDenied: the view withholds it.
            BudgetSpent: the budget does not allow it.
        """
        self.wire.send(kind, body, tensors)
        answer = self.wire.receive()
        if answer.kind == "denied":
            raise AccessDenied(answer.body["why"])
        if answer.kind == "spent":
            raise BudgetSpent(answer.body["what"])
        return answer

    def images(self, name: str) -> Images:
        """The image set ``name`` of the view."""
        return images_of(self.ask("read", {"name": name}).tensors)

    def artefact(
        self, name: str, inputs: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """What several runs share: from the store, or made here and kept there."""
        answer = self.ask("artefact", {"name": name, "inputs": dict(inputs)})
        if answer.kind == "make":
            answer = self.ask("made", {}, make())
        return dict(answer.tensors)


def report(progress: Progress) -> Handler:
    """The harness's side of `Speaker.progress`; what is no progress is ignored."""

    def handle(message: Message) -> None:
        done, total, what = (message.body.get(name) for name in ("done", "total", "what"))
        if isinstance(done, int) and isinstance(total, int):
            progress(done, total, str(what)[:60])

    return handle


def sent(images: Images) -> Reply:
    """``images`` as a reply."""
    tensors: dict[str, Any] = {"pixels": images}  # read from their file as they are sent
    return "images", {}, tensors | ({} if images.stored_labels is None else {"labels": images.stored_labels})


def images_of(tensors: Mapping[str, Tensor]) -> Images:
    """What `sent` sent."""
    return Images(tensors["pixels"], tensors.get("labels"))
