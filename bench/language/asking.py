"""The reply to a question: from a cache where it holds one, else from the endpoint. What was asked is logged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from bench.errors import UserError
from bench.hashing import LENGTH
from bench.language import client, endpoint
from bench.language.client import Completion, EndpointFailed
from bench.language.questions import Question


class Cache(Protocol):
    """Where replies are kept. `bench.harness.replies` has the store's."""

    def reply(self, question: Question, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The JSON of the reply to ``question``; `make`'s where there is none yet, which is then kept.

        What ``make`` raises passes, and nothing is kept.
        """
        ...


@dataclass
class _Place:
    cache: Cache | None = None
    model: str = ""


_place = _Place()
_log: ContextVar[list[dict[str, Any]] | None] = ContextVar("replies", default=None)


def use(cache: Cache | None = None, model: str = "") -> None:
    """From now on, this process keeps replies in ``cache``, and asks ``model`` where nothing else is named."""
    _place.cache, _place.model = cache, model


def model_of(named: object) -> str:
    """The model that is asked: ``named``, or that of this process.

    Raises:
        UserError: neither names one.
    """
    model = str(named or "") or _place.model
    if not model:
        raise UserError(
            "no language model is named.", f"Set {endpoint.MODEL}, or the parameter language_model of the plugin."
        )
    return model[: endpoint.LONGEST_NAME]


@contextmanager
def logged() -> Iterator[list[dict[str, Any]]]:
    """What is asked in the block, one entry a question, as JSON for a record.

    An entry has ``question`` (its hash), ``model``, ``served`` (the name that the endpoint gives), ``outcome`` and
    ``reply`` (the digest of its text; null where none came).
    """
    log: list[dict[str, Any]] = []
    token = _log.set(log)
    try:
        yield log
    finally:
        _log.reset(token)


def ask(question: Question) -> Completion:
    """The reply to ``question``.

    Raises:
        EndpointFailed: none came.
        UserError: none is cached, and no endpoint is set.
    """

    def make() -> dict[str, Any]:
        place = endpoint.from_environment()
        if place is None:
            raise UserError(
                "a language model is to be asked, the store holds no reply to the question, and no endpoint is set.",
                f"Set {endpoint.URL}, e.g. to http://localhost:8000/v1: see docs/how-to/language-models.md.",
            )
        done = client.complete(place, question.payload())
        return {"text": done.text, "outcome": done.outcome, "served": done.served}

    try:
        value = make() if _place.cache is None else _place.cache.reply(question, make)
    except EndpointFailed as failed:
        _note(question, failed.kind, "", None)
        raise
    done = Completion(str(value["text"]), str(value["outcome"]), str(value["served"]))
    text = hashlib.sha256(done.text.encode()).hexdigest()[:LENGTH]
    _note(question, done.outcome, done.served, text)
    return done


def _note(question: Question, outcome: str, served: str, reply: str | None) -> None:
    log = _log.get()
    if log is not None:
        entry = {"question": question.hash, "model": question.model, "served": served}
        log.append({**entry, "outcome": outcome, "reply": reply})
