"""What an attack's process may ask of a language model: a number of concepts, given scores of earlier ones. No more.

The harness words the question and reads the reply. The process chooses a number, which of the concepts it knows it
names, in which order, and a score for each. It cannot send a text of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from bench.errors import UserError
from bench.guests.failure import GuestFailed
from bench.harness.job import Job
from bench.language import asking, questions, replies
from bench.language.client import EndpointFailed

MOST = 64
"""Concepts of one question, and scores in it."""
LARGEST = 1e6
"""Largest absolute score."""


def question_of(body: Mapping[str, Any], guesses: int) -> tuple[int, dict[str, float]]:
    """The number and the scores in the message of an attack's process.

    Args:
        guesses: that the attack has announced so far: it has no more scores.

    Raises:
        GuestFailed: the message is no such question.
    """
    n, listed = body.get("n"), body.get("scores")
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= MOST:
        raise GuestFailed(f"the attack asked a language model for a number of concepts that is not 1 to {MOST}")
    if not isinstance(listed, list) or len(listed) > min(MOST, guesses):
        raise GuestFailed(f"the attack sent a language model more scores than guesses, or more than {MOST}")
    scores: dict[str, float] = {}
    for item in listed:
        concept, score = item if isinstance(item, list) and len(item) == 2 else (None, None)
        if not isinstance(concept, str) or not isinstance(score, int | float) or isinstance(score, bool):
            raise GuestFailed("the attack sent a language model scores that are none")
        if not math.isfinite(score) or abs(score) > LARGEST:
            raise GuestFailed("the attack sent a language model a score that is not finite, or huge")
        scores[concept] = float(score)
    return n, scores


class Proposals:
    """The language model as an attack reaches it: called with a number and scores, it returns concepts.

    Args:
        job: what the attack may have; names of classes, known key parts, word list and seed count.
        model: the model's name.

    Attributes:
        answered: questions that came back with a reply, whatever it said.
    """

    def __init__(self, job: Job, model: str) -> None:
        self._model, self._seed = model, job.seed
        self._classes, self._editor = job.task.classes, _shown(job.known.get("editor"))
        self._words: Sequence[str] = tuple(job.words or ())
        self._sayable = set(self._words)
        self._problem: EndpointFailed | None = None
        self.answered = 0

    def __call__(self, n: int, scores: Mapping[str, float]) -> list[str]:
        """At most ``n`` concepts; none where the model refused, said nothing of use, or did not answer.

        Raises:
            GuestFailed: a score of a concept that is neither in the word list nor was proposed.
            UserError: no model is named, or no endpoint is set and the reply is not in the store.
        """
        if not self._sayable.issuperset(scores):
            raise GuestFailed("the attack sent a language model a concept that is neither in its list nor was proposed")
        question = questions.guesses(
            asking.model_of(self._model), n, self._classes, self._editor, self._words, list(scores.items()), self._seed
        )
        try:
            done = asking.ask(question)
        except EndpointFailed as failed:
            self._problem = failed
            return []
        self.answered += 1
        found = replies.concepts(done.text, n)
        self._sayable.update(found)
        return found

    def check(self) -> None:
        """Whether any question was answered, where one was asked.

        Raises:
            UserError: none was; what the attack then reached says nothing of a language model.
        """
        if self._problem is not None and not self.answered:
            raise UserError(f"the language model answered no question: {self._problem}.", "Run the same command again.")


def _shown(editor: object) -> str | None:
    """The editor's name; of a folder its last part, since a path tells of the machine."""
    if not isinstance(editor, str) or not editor:
        return None
    is_path = editor.startswith(("/", ".", "~")) or "\\" in editor
    return PurePath(editor.replace("\\", "/")).name if is_path else editor
