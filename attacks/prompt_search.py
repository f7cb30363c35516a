"""Prompt search: guess the key prompt, edit images with each guess, and keep the guess that opens the lock."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from attacks.kit import proposers
from attacks.kit.access import ANSWERS, ask, handle
from attacks.kit.known import edit_settings
from attacks.kit.selection import guess_score
from bench.contracts import Acceptance, Attack, AttackerView, BudgetSpent, Predictor, Run, ThreatModel, param
from bench.pixels import main_class
from bench.predictors import Edited

HAND_IN = frozenset(4**i for i in range(10))
"""Guesses tried in the first rung at which the leader is handed in: each costs the judge a test set of edits."""


class PromptSearch(Attack):
    """Many prompts are guessed, and the one that opens the lock best is used.

    Successive halving: each rung scores its prompts on more images than the one before, and the best part goes on.
    Local changes of the best follow. The score is the mean log-probability of the right label on a few labelled raw
    images. Without labels it is confidence and class balance on unlabelled ones.
    """

    title = "prompt search"
    paper = "ours; it tests the claim of Gao et al., 2024, that the key prompt is not easily found"
    keys = ("edit",)
    against = ("modellock",)
    language_model_if = {"proposer": ("llm",)}
    selection = "own-scorer"
    tasks = ("classification", "segmentation")
    assets = ("clip",)
    defaults = {"threat.access": "logits", "threat.share": 0.01, "threat.known": "editor+settings"}
    quick = {"first": 2, "most": 2, "refine": 0}

    scorer: str = param(
        "auto",
        "what a guess is scored by; auto: labels where there are any",
        choices=("auto", "labelled", "label-free"),
    )
    proposer: str = param(
        "dictionary",
        "where guesses come from; clip needs leaked pairs, llm a language model",
        choices=("dictionary", "grammar", "clip", "evolutionary", "llm"),
    )
    clip: str = param(
        "miniature",
        "`miniature`, an open_clip folder, or a model as ViT-B-32/laion2b_s34b_b79k",
        where={"proposer": ("clip",)},
    )
    first: int = param(4, "images each guess is scored on in the first rung", ge=1, le=256, unit="images")
    most: int = param(32, "images in the last rung", ge=1, le=1024, unit="images")
    keep: float = param(0.3, "share of the guesses that goes on to the next rung", ge=0.05, le=0.9)
    refine: int = param(8, "local changes of the best guess that are tried at the end", ge=0, le=1000, unit="guesses")
    population: int = param(
        24, "guesses in a generation", ge=4, le=1000, unit="guesses", where={"proposer": ("evolutionary",)}
    )
    proposals: int = param(24, "guesses a question asks for", ge=1, le=64, unit="guesses", where={"proposer": ("llm",)})
    questions: int = param(4, "questions to the model", ge=1, le=100, unit="questions", where={"proposer": ("llm",)})
    language_model: str = param(
        "", "its name at the endpoint; empty: LOCKBENCH_LLM_MODEL", where={"proposer": ("llm",)}
    )

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(
            ANSWERS,
            labelled=self.scorer == "labelled",
            unlabelled=self.scorer == "label-free",
            images=True,
            leaked=self.proposer == "clip",
            words=True,
            language_model=self.proposer == "llm",
            known=("settings",),
        )

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        self.search = _Search(self, target, run)
        words = target.wordlist()
        rng = random.Random(run.seed("guesses"))
        if self.proposer == "evolutionary":
            first = rng.sample(list(words), min(self.population, len(words)))
            best = self._halve(proposers.dictionary(first, rng))
            for _ in range(3):
                best = self._halve(proposers.mutations(best, words, self.population // 2, rng), best)
        elif self.proposer == "llm":
            best = self._converse(target, run, proposers.dictionary(words, rng))
        else:
            if self.proposer == "grammar":
                guesses = proposers.grammar(words, rng)
            elif self.proposer == "clip":
                guesses = proposers.by_clip(words, target.leaked_pairs, self.clip)
            else:
                guesses = proposers.dictionary(words, rng)
            if run.budget.guesses is not None:
                guesses = guesses[: max(1, run.budget.guesses - self.refine)]
            best = self._halve(guesses)
        if self.refine:
            self._halve(proposers.mutations(best, words, self.refine, rng), best)
        return self.search.predictor()

    def _converse(self, target: AttackerView, run: Run, spare: Sequence[str]) -> list[str]:
        """Rounds of guesses that a language model proposes, each given the scores so far; the best guesses, in order.

        What the model leaves open of a round, because it refuses, repeats itself or talks of something else, is filled
        from ``spare``: a round costs the same number of guesses whatever the reply.
        """
        best: list[str] = []
        for _ in range(self.questions):
            n, outputs = self.proposals, self.search.outputs
            if run.budget.guesses is not None:
                n = min(n, run.budget.guesses - self.refine - run.meter.guesses)
            if n < 1 and best:
                break
            n = max(1, n)
            proposed = proposers.by_language_model(target, n, self.search.scores(self.first))
            guesses = [p for p in dict.fromkeys([*proposed, *spare]) if p not in outputs][:n]
            if guesses:
                best = self._halve(guesses, best)
        return best

    def _halve(self, guesses: Sequence[str], incumbents: Sequence[str] = ()) -> list[str]:
        """Successive halving; the survivors of the last rung and the ``incumbents`` of an earlier one, best first.

        Incumbents have answers to all images already, so the few images of a first rung may not drop them.
        """
        n, alive = self.first, list(dict.fromkeys(guesses))
        while n < self.most:
            alive = self.search.rank(alive, n)
            alive = alive[: max(3, round(self.keep * len(alive)))]
            n *= 2
        by_score = self.search.rank(list(dict.fromkeys([*incumbents, *alive])), self.most)
        return by_score[: max(3, len(alive))]


class _Search:
    """Scores of prompts on the attacker's images, each image edited once with each prompt."""

    def __init__(self, attack: PromptSearch, target: AttackerView, run: Run) -> None:
        self.target, self.run, self.k = target, run, target.spec.k
        self.labelled = attack.scorer == "labelled" or (attack.scorer == "auto" and target.threat.share > 0)
        source = target.labelled if self.labelled else target.unlabelled
        order = torch.randperm(len(source), generator=run.rng("images"))
        if self.labelled:
            order = _round_robin(main_class(source.labels, self.k), order)
        self.images = source.subset(order[: attack.most])
        self.settings = edit_settings(target.known)
        self.outputs: dict[str, Tensor] = {}
        self.best: str | None = None

    def rank(self, prompts: Sequence[str], n: int) -> list[str]:
        """``prompts`` by score on the first ``n`` images, best first; hands in each new best guess."""
        n = min(n, len(self.images))
        for start in sorted({len(self.outputs.get(p, ())) for p in prompts}):
            if start < n:
                self._extend([p for p in prompts if len(self.outputs.get(p, ())) == start], start, n)
        by_score = self._by_score([p for p in prompts if len(self.outputs.get(p, ())) >= n], n)
        if by_score:
            self._hand_in(by_score[0])
        return by_score

    def scores(self, n: int) -> dict[str, float]:
        """Every prompt tried, with its score on the first ``n`` images."""
        return {p: self._score(outputs[:n]) for p, outputs in self.outputs.items()}

    def _extend(self, prompts: Sequence[str], start: int, n: int) -> None:
        """Answers to images ``done`` to ``n`` for each of ``prompts``; hands in the leader as guesses multiply."""
        if start == 0 and self.run.budget.guesses is not None:  # what the budget does not cover is not tried
            prompts = prompts[: max(0, self.run.budget.guesses - self.run.meter.guesses)] or prompts[:1]
        try:
            for i, (prompt, edited) in enumerate(self.run.edits(self.images.images[start:n], prompts, self.settings)):
                if start == 0:
                    self.run.guess(prompt)
                new = ask(self.target, edited)
                self.outputs[prompt] = torch.cat([self.outputs[prompt], new]) if start else new
                self.run.progress(i + 1, len(prompts), f"guesses on {n} images")
                if start == 0 and len(self.outputs) in HAND_IN:
                    self._hand_in_leader(n)
        except BudgetSpent:  # what it has paid for still counts
            self._hand_in_leader(n if start == 0 else start)
            raise

    def _hand_in_leader(self, n: int) -> None:
        """Hand in the best of the prompts that were tried on ``n`` images, if there is any."""
        if ranked := self._by_score([p for p in self.outputs if len(self.outputs[p]) >= n], n):
            self._hand_in(ranked[0])

    def _by_score(self, prompts: Sequence[str], n: int) -> list[str]:
        return sorted(prompts, key=lambda p: self._score(self.outputs[p][:n]), reverse=True)

    def _hand_in(self, prompt: str) -> None:
        """Submit ``prompt`` if it beats the best so far on the images that both were tried on."""
        outputs = self.outputs[prompt]
        if self.best is not None:
            shared = min(len(outputs), len(self.outputs[self.best]))
            if self._score(outputs[:shared]) <= self._score(self.outputs[self.best][:shared]):
                return
        self.best = prompt
        self.run.submit(self.predictor(), prompt=prompt, score=round(self._score(outputs), 4))

    def predictor(self) -> Predictor:
        """The locked model on images edited with the best guess."""
        if self.best is None:
            raise RuntimeError("no prompt was tried")
        return Edited(handle(self.target), self.best, self.settings)

    def _score(self, outputs: Tensor) -> float:
        labels = self.images.labels[: len(outputs)] if self.labelled else None
        return guess_score(outputs, labels, self.k)


def _round_robin(labels: Tensor, order: Tensor) -> Tensor:
    """``order`` rearranged so that every class comes once before any comes twice."""
    counts: dict[int, int] = {}
    turn = []
    for i in order.tolist():
        label = int(labels[i])
        counts[label] = counts.get(label, 0) + 1
        turn.append(counts[label])
    return order[torch.argsort(torch.tensor(turn), stable=True)]
