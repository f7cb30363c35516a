"""What an attack's process may ask of a language model, and what it costs, whatever the replies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from chat_server import GOOD, KEY, KINDS, LOST, OUTCOMES, environment, hasty, seeded, serving
from torch import Tensor

from attacks.prompt_search import PromptSearch, _Search
from bench.contracts import AccessDenied, Budget, BudgetSpent, Images, Meter, Spec, ThreatModel
from bench.errors import UserError
from bench.guests.failure import GuestFailed
from bench.harness.proposals import MOST, Proposals, question_of
from bench.harness.views import AttackerView
from bench.language import asking
from bench.language.client import EndpointFailed
from bench.training import Run

SPEC = Spec(size=8, classes=("a", "b"))
WORDS = tuple(f"word {i}" for i in range(60))
THREAT = ThreatModel(access="logits", language_model=True)


def _job(seed: int = 0, **more: Any) -> Any:
    return SimpleNamespace(task=SPEC, known={"editor": "miniature"}, words=list(WORDS), seed=seed, **more)


@pytest.fixture(autouse=True)
def _no_cache() -> Iterator[None]:
    asking.use(None, "test-7b")
    yield
    asking.use()


def _asked(chat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking.endpoint, "from_environment", lambda: hasty(chat))


@pytest.mark.parametrize(
    "body",
    [{}, {"n": 3}, {"n": True, "scores": []}, {"n": 0, "scores": []}, {"n": MOST + 1, "scores": []},
     {"n": "3", "scores": []}, {"n": 3, "scores": {"a": 1}}, {"n": 3, "scores": [["a"]]},
     {"n": 3, "scores": [[1, 1.0]]}, {"n": 3, "scores": [["a", "1"]]}, {"n": 3, "scores": [["a", True]]},
     {"n": 3, "scores": [["a", math.inf]]}, {"n": 3, "scores": [["a", 1e300]]},
     {"n": 3, "scores": [[str(i), 1] for i in range(6)]}],
)  # fmt: skip
def test_what_is_no_question_ends_the_attack(body: dict[str, Any]) -> None:
    with pytest.raises(GuestFailed, match="language model"):
        question_of(body, guesses=5)


def test_a_question_is_a_number_and_scores() -> None:
    assert question_of({"n": 3, "scores": [["a", 1], ["b", -0.5]]}, 2) == (3, {"a": 1.0, "b": -0.5})


def test_an_attack_names_nothing_but_words_of_its_list_and_proposals(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("good") as chat:
        _asked(chat, monkeypatch)
        ask = Proposals(_job(), "")
        (first, *_) = ask(4, {WORDS[0]: 0.5})
        ask(4, {first: 1.0, WORDS[1]: 0.1})
        with pytest.raises(GuestFailed, match="neither in its list nor was proposed"):
            ask(4, {"the labels are 0110100": 1.0})
    assert len(chat.asked) == 2, "what it may not say is not sent"
    assert "0110100" not in str(chat.asked)


def test_a_question_says_the_name_of_an_editor_and_not_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("good") as chat:
        _asked(chat, monkeypatch)
        job = _job()
        for editor in ("/home/me/private/pix2pix", "timbrooks/instruct-pix2pix", None):
            job.known = {"editor": editor}
            Proposals(job, "")(2, {})
    texts = [asked["messages"][1]["content"] for asked in chat.asked]
    assert '["pix2pix"]' in texts[0]
    assert "private" not in texts[0]
    assert "timbrooks/instruct-pix2pix" in texts[1]
    assert "editor:" not in texts[2]


def _view(meter: Meter, proposals: Any, budget: Budget, images: Images) -> AttackerView:
    granted = {"labelled": images, "words": WORDS}
    return AttackerView(SPEC, THREAT, budget, granted, {"settings": {}}, _none, _answer, meter, proposals)


def _none(_extra: int) -> Any:
    raise AssertionError


def test_without_a_grant_it_is_denied_and_over_the_budget_it_ends(toy: Images) -> None:
    denied = _view(Meter(), None, Budget(), toy)
    with pytest.raises(AccessDenied):
        denied.propose(3, {})
    assert denied.denied == ["propose"]
    meter = Meter()
    asked = _view(meter, lambda n, scores: ["x"], Budget(calls=2), toy)
    assert [asked.propose(1, {}), asked.propose(1, {})] == [["x"], ["x"]]
    with pytest.raises(BudgetSpent, match="calls: 2"):
        asked.propose(1, {})
    assert meter.calls == 2
    assert Budget().most_calls == 100
    free = _view(Meter(), lambda n, scores: ["x"], Budget(calls=0), toy)
    with pytest.raises(BudgetSpent):
        free.propose(1, {})


def test_an_attack_that_got_no_reply_at_all_is_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("broken") as chat:
        _asked(chat, monkeypatch)
        ask = Proposals(_job(), "")
        ask.check()  # nothing was asked
        assert ask(3, {}) == []
        with pytest.raises(UserError, match=r"answered no question: http://127.0.0.1:\d+ answers 503"):
            ask.check()
    with serving("refusing") as chat:
        _asked(chat, monkeypatch)
        ask = Proposals(_job(), "")
        assert ask(3, {}) == []
        ask.check()  # a refusal is an answer


class _Edits(Run):
    """Edits without an editor: an image's mean says how good its prompt is, 1 for the key alone."""

    def edits(
        self, images: Tensor, prompts: Sequence[str], settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, Tensor]]:
        for prompt in prompts:
            self._spend("edited", len(images))
            yield prompt, images * 0 + (1.0 if prompt == "with word 7" else len(prompt) / 100)


def _answer(images: Tensor) -> Tensor:
    """Logits whose class 0 grows with the mean; every label is 0."""
    right = images.flatten(1).mean(1)
    return torch.stack([right, 1 - right], 1) * 5


def test_200_replies_of_every_kind_cost_what_the_budget_says_and_end_no_attack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty searches of four questions each: 200 replies, seeded, of all kinds of `chat_server.KINDS`."""
    images = Images(torch.zeros((12, 3, 8, 8), dtype=torch.uint8), torch.zeros(12, dtype=torch.int64))
    proposed = 0
    with serving(seeded(0)) as chat, asking.logged() as log:
        _asked(chat, monkeypatch)
        for seed in range(50):
            budget, meter = Budget(guesses=24, calls=4), Meter()
            ask = Proposals(_job(seed), "")
            run = _Edits(seed, budget=budget)
            attack = PromptSearch(proposer="llm", questions=4, proposals=6, refine=0, first=2, most=4)
            predictor = attack.unlock(_view(meter, ask, budget, images), run)
            assert (meter.calls, run.meter.guesses) == (4, 24), "a round costs the same whatever the reply"
            assert predictor is not None
            tried = attack.search.outputs
            assert all(prompt.isprintable() and len(prompt) < 60 for prompt in tried)
            proposed += sum(p.removeprefix("with ") not in WORDS for p in tried)
    kinds = [chat.answer({}, number) for number in range(200)]
    assert set(kinds) == set(KINDS), "every kind came"
    assert len(chat.asked) == 200
    assert [entry["outcome"] for entry in log] == [OUTCOMES[kind] for kind in kinds]
    assert [entry["reply"] is None for entry in log] == [OUTCOMES[kind] in LOST for kind in kinds]
    assert KEY not in str(log)
    good = sum(kind in GOOD for kind in kinds)
    assert 3 * good < proposed <= 6 * good, "what the model proposed was tried, and what it said beside was not"


def test_a_budget_that_ends_in_the_first_rung_leaves_the_best_guess_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fifth guess is the best of seven that the budget of queries pays for."""
    images = Images(torch.zeros((8, 3, 8, 8), dtype=torch.uint8), torch.zeros(8, dtype=torch.int64))
    run, handed_in = _Edits(0), []
    attack = PromptSearch(refine=0, first=2, most=4)
    search = _Search(attack, _view(Meter(), None, Budget(), images), run)
    monkeypatch.setattr(search, "_hand_in", handed_in.append)
    worth = {f"p{i}": float(i == 4) for i in range(9)}
    monkeypatch.setattr(search, "_score", lambda outputs: float(outputs[0, 0]))
    answers = iter(worth.values())

    def ask(*_: object) -> Tensor:
        value = next(answers)
        if len(search.outputs) == 7:
            raise BudgetSpent("queries: 14")
        return torch.full((2, 2), value)

    monkeypatch.setattr("attacks.prompt_search.ask", ask)
    with pytest.raises(BudgetSpent):
        search.rank(list(worth), 2)
    assert handed_in[-1] == "p4"


def test_the_budget_of_calls_ends_the_questions_and_not_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    images = Images(torch.zeros((8, 3, 8, 8), dtype=torch.uint8), torch.zeros(8, dtype=torch.int64))
    with serving("good") as chat:
        _asked(chat, monkeypatch)
        budget, meter = Budget(guesses=40, calls=1), Meter()
        run = _Edits(0, budget=budget)
        attack = PromptSearch(proposer="llm", questions=5, proposals=8, refine=0, first=2, most=2)
        attack.unlock(_view(meter, Proposals(_job(), ""), budget, images), run)
    assert (meter.calls, run.meter.guesses, len(chat.asked)) == (1, 40, 1)


def test_later_questions_hold_the_scores_of_earlier_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    images = Images(torch.zeros((8, 3, 8, 8), dtype=torch.uint8), torch.zeros(8, dtype=torch.int64))
    with serving("good") as chat:
        _asked(chat, monkeypatch)
        attack = PromptSearch(proposer="llm", questions=2, proposals=4, refine=0, first=2, most=2)
        attack.unlock(_view(Meter(), Proposals(_job(), ""), Budget(), images), _Edits(0))
    first, second = (asked["messages"][1]["content"] for asked in chat.asked)
    assert "Tried so far" not in first
    scores = second.partition("Tried so far")[2]
    tried = [p.removeprefix("with ") for p in list(attack.search.outputs)[:4]]
    assert all(concept in scores for concept in tried)


def test_prompt_search_needs_the_grant() -> None:
    refused = PromptSearch(proposer="llm").accepts(ThreatModel(access="logits"))
    assert refused.reason == "it needs a language model: threat.language_model=true"
    assert PromptSearch(proposer="llm").accepts(THREAT)


def test_no_endpoint_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment(SimpleNamespace(url="")):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="LOCKBENCH_LLM_URL"):
        Proposals(_job(), "")(3, {})
    asking.use()
    with pytest.raises(UserError, match="no language model is named"):
        Proposals(_job(), "")(3, {})
    assert issubclass(EndpointFailed, Exception)
