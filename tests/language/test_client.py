"""One question and its reply: every way in which an endpoint can behave, and what is never shown."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from chat_server import KEY, SLOW, environment, serving

from bench.errors import UserError
from bench.language import client, endpoint
from bench.language.client import Completion, EndpointFailed, complete
from bench.language.endpoint import Endpoint

ASKED = {"model": "m", "messages": [{"role": "user", "content": "name concepts"}]}


def _ask(url: str, timeout: float = 5.0, attempts: int = 1, sleep: Callable[[float], None] = time.sleep) -> Completion:
    at = Endpoint(f"{url}/chat/completions", KEY, timeout=timeout, attempts=attempts, pause=0.0)
    return complete(at, ASKED, sleep)


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [("good", "ok"), ("parts", "ok"), ("cut", "cut"), ("refusing", "refused"), ("filtered", "refused"),
     ("empty", "empty"), ("injected", "ok")],
)  # fmt: skip
def test_a_reply_has_an_outcome(kind: str, outcome: str) -> None:
    with serving(kind) as chat:
        done = _ask(chat.url)
    assert (done.outcome, done.served) == (outcome, "served-7b")
    assert bool(done.text) == (outcome in ("ok", "cut"))
    assert chat.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert chat.asked[0]["messages"] == ASKED["messages"]
    assert chat.asked[0]["max_tokens"] > 0


@pytest.mark.parametrize(
    ("kind", "says"),
    [("slow", "timeout"), ("drip", "timeout"), ("malformed", "malformed"), ("half", "malformed"),
     ("deep", "malformed"), ("not-text", "malformed"), ("no-choices", "malformed"), ("huge", "too-large"),
     ("busy", "status"), ("broken", "status"), ("moved", "redirect"), ("key", "status"), ("missing", "status")],
)  # fmt: skip
def test_what_is_no_reply_is_one_clear_error_without_the_key(kind: str, says: str) -> None:
    with serving(kind) as chat, pytest.raises(EndpointFailed) as failed:
        _ask(chat.url, timeout=SLOW / 2 if kind in ("slow", "drip") else 5.0)
    assert failed.value.kind == says
    assert KEY not in str(failed.value) + repr(failed.value)
    assert "\n" not in str(failed.value)


def test_nobody_there() -> None:
    with serving("good") as chat:
        url = chat.url
    with pytest.raises(EndpointFailed, match="cannot be reached") as failed:
        _ask(url)
    assert failed.value.kind == "unreachable"


@pytest.mark.parametrize("kind", ["busy", "broken", "malformed", "slow"])
def test_what_may_go_better_is_sent_again_after_longer_and_longer_pauses(kind: str) -> None:
    pauses: list[float] = []
    with serving(lambda _, number: kind if number < 2 else "good") as chat:
        at = Endpoint(f"{chat.url}/chat/completions", timeout=SLOW / 2 if kind == "slow" else 5.0, pause=0.5)
        assert complete(at, ASKED, pauses.append).outcome == "ok"
    assert pauses == [0.5, 1.0]
    assert "Authorization" not in chat.headers[0], "no key, no header"


@pytest.mark.parametrize("kind", ["missing", "key", "moved", "huge"])
def test_what_will_not_go_better_is_sent_once(kind: str) -> None:
    with serving(kind) as chat, pytest.raises(EndpointFailed):
        _ask(chat.url, attempts=3)
    assert len(chat.asked) == 1


def test_a_model_that_knows_the_limit_by_another_name_gets_it() -> None:
    with serving(lambda payload, _: "other-limit" if "max_tokens" in payload else "good") as chat:
        assert _ask(chat.url).outcome == "ok"
    assert "max_completion_tokens" in chat.asked[1]


def test_a_key_that_comes_back_is_cut_out() -> None:
    with serving("echo") as chat:
        assert _ask(chat.url).text == "Your key is Bearer [key]"


@pytest.mark.parametrize(
    ("url", "completions"),
    [("http://localhost:8000/v1", "http://localhost:8000/v1/chat/completions"),
     ("https://a.example/v1/", "https://a.example/v1/chat/completions"),
     ("https://a.example/x/chat/completions?v=1", "https://a.example/x/chat/completions?v=1"),
     ("http://[::1]:1/v1", "http://[::1]:1/v1/chat/completions")],
)  # fmt: skip
def test_addresses_that_serve(url: str, completions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(endpoint.URL, url)
    at = endpoint.from_environment()
    assert at is not None
    assert at.url == completions


@pytest.mark.parametrize(
    "url",
    ["ftp://a", "file:///etc/passwd", "a.example/v1", "http://a.example/v1", "https://user:pw@a.example/v1",
     "https://a.example/\nx", "http://127.0.0.1:x/", "https://a b/", "http://[", "http://127.0.0.1.evil.example/"],
)  # fmt: skip
def test_addresses_that_are_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(endpoint.URL, url)
    with pytest.raises(UserError) as refused:
        endpoint.from_environment()
    assert "pw" not in str(refused.value)
    assert endpoint.describe() == str(refused.value)


def test_plain_http_to_another_machine_can_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(endpoint.URL, "http://gpu.example:8000/v1")
    monkeypatch.setenv(endpoint.PLAIN, "1")
    assert endpoint.from_environment() is not None


def test_what_is_shown_of_an_endpoint_has_no_path_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (endpoint.URL, endpoint.MODEL, endpoint.KEY):
        monkeypatch.delenv(name, raising=False)
    assert "none is set" in endpoint.describe()
    with serving("good") as chat:
        for name, value in environment(chat).items():
            monkeypatch.setenv(name, value)
    monkeypatch.setenv(endpoint.URL, f"{chat.url}?token=secret")
    assert endpoint.describe() == f"test-7b at {chat.url.removesuffix('/v1')}, with a key"
    assert KEY not in repr(endpoint.from_environment())
    assert "secret" not in repr(endpoint.from_environment())
    monkeypatch.setenv(endpoint.KEY, f"{KEY}\nX-Evil: 1")
    with pytest.raises(UserError) as refused:
        endpoint.from_environment()
    assert KEY not in str(refused.value)


@pytest.mark.parametrize("text", ["0", "nan", "soon", "1e9"])
def test_a_timeout_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(endpoint.URL, "http://localhost/v1")
    monkeypatch.setenv(endpoint.TIMEOUT, text)
    with pytest.raises(UserError, match="seconds"):
        endpoint.from_environment()


def test_a_secret_in_the_query_of_an_address_is_cut_out_of_what_comes_back() -> None:
    at = Endpoint("https://example.org/v1/chat/completions?api-key=s3cret%2Bvalue&version=2", KEY)
    for secret in ("s3cret%2Bvalue", "s3cret+value", KEY):
        assert client._without(at, f"404: no model at /v1?api-key={secret}!") == "404: no model at /v1?api-key=[key]!"
    assert client._without(at, "version 2") == "version 2"
