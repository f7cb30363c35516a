"""Replies of language models in the store: content-addressed, complete or not there, asked for once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.harness import artefacts
from bench.language.questions import Question, without_images
from bench.store.store import Store


class StoredReplies:
    """The replies that a store keeps, by the hash of their question, which is written beside them.

    Of two processes that ask the same, one waits for the other's reply. The key is in no question, and neither is the
    address.

    Args:
        store: of the run.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def reply(self, question: Question, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """As `bench.language.asking.Cache`."""
        with self._store.making("reply", question.hash) as part:
            if part is not None:
                words = {"model": question.model, "messages": without_images(question.messages), "draw": question.draw}
                artefacts.save_json({"question": words, **make()}, part)
        return artefacts.load_json(self._store.artefact("reply", question.hash))
