"""One question to an endpoint and its reply. Whatever the endpoint sends is data, and may be hostile.

The standard library is enough: one POST whose reply is read within a deadline and a size. What a library would add
(streams, tools, retries of its own) is not used here.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

from bench.language.endpoint import KEY, LONGEST_NAME, URL, Endpoint
from bench.legible import cut, visible

LARGEST = 1 << 20
"""Bytes of a reply."""
LONGEST = 100_000
"""Characters of a reply's text."""
TOKENS = 4096
"""Tokens that the model may write; a model that reasons spends some before its answer."""
AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses after which the question is sent again."""
LONGEST_PAUSE = 30.0
"""Seconds that an endpoint can ask for between two requests."""
SECRET = 8
"""Least characters of a key that is looked for in what comes back: a shorter one may be a word, such as ``none``."""
OK, REFUSED, EMPTY, CUT = "ok", "refused", "empty", "cut"


class EndpointFailed(Exception):
    """No reply came of a question, however often it was sent.

    Args:
        kind: ``timeout``, ``unreachable``, ``status``, ``redirect``, ``too-large`` or ``malformed``.
        message: one line, without the key and the full address.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Completion:
    """What a model answered.

    Args:
        text: its words; empty where it refused.
        outcome: ``ok``; ``refused``; ``empty``; ``cut``: it ran into the limit of tokens.
        served: the model's name as the endpoint has it.
    """

    text: str
    outcome: str
    served: str = ""


class _Again(Exception):
    """A request that may go better the next time."""

    def __init__(self, failure: EndpointFailed, after: float | None = None) -> None:
        super().__init__(str(failure))
        self.failure, self.after = failure, after


def complete(endpoint: Endpoint, payload: Mapping[str, Any], sleep: Callable[[float], None] = time.sleep) -> Completion:
    """The reply of ``endpoint`` to ``payload`` (model and messages); the limit of tokens is added here.

    Args:
        sleep: waits so many seconds between requests.

    Raises:
        EndpointFailed: none came.
    """
    limit, pause = "max_tokens", endpoint.pause
    for attempt in range(1, endpoint.attempts + 1):
        try:
            try:
                return _once(endpoint, {**payload, limit: TOKENS})
            except _OtherLimit:  # newer models of OpenAI know the limit by another name alone
                limit = "max_completion_tokens"
                return _once(endpoint, {**payload, limit: TOKENS})
        except _Again as again:
            if attempt == endpoint.attempts:
                raise again.failure from None
            sleep(min(LONGEST_PAUSE, pause if again.after is None else max(pause, again.after)))
            pause *= 2
    raise EndpointFailed("unreachable", "no request was allowed")


class _OtherLimit(EndpointFailed):
    """The endpoint wants ``max_completion_tokens``."""


def _once(endpoint: Endpoint, payload: Mapping[str, Any]) -> Completion:
    headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "lockbench"}
    if endpoint.key:
        headers["Authorization"] = f"Bearer {endpoint.key}"
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked where the endpoint is read
        endpoint.url, json.dumps(payload).encode(), headers, method="POST"
    )
    watch = _Watch(endpoint.timeout)
    try:
        with watch, _opener(endpoint, watch).open(request, timeout=endpoint.timeout) as response:
            body = _body(response)
    except urllib.error.HTTPError as error:
        raise _of_status(endpoint, error, watch) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Again(_of_fault(endpoint, error, watch)) from None
    if watch.is_over:
        raise _Again(_late(endpoint))
    return _completion(endpoint, body)


def _of_fault(endpoint: Endpoint, error: Exception, watch: _Watch) -> EndpointFailed:
    """What a connection that failed means; the error's own words may quote what was sent, and are not shown."""
    reason = getattr(error, "reason", error)
    if watch.is_over or isinstance(reason, TimeoutError):
        return _late(endpoint)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return EndpointFailed("unreachable", f"{endpoint.place} has no certificate that this machine trusts")
    words = getattr(reason, "strerror", None) or type(reason).__name__
    return EndpointFailed("unreachable", f"{endpoint.place} cannot be reached: {visible(str(words))[:100]}")


def _late(endpoint: Endpoint) -> EndpointFailed:
    return EndpointFailed("timeout", f"{endpoint.place} did not answer within {endpoint.timeout:g} s")


def _of_status(endpoint: Endpoint, error: urllib.error.HTTPError, watch: _Watch) -> Exception:
    """What a status other than 200 means, as an exception to raise."""
    status, place = error.code, endpoint.place
    with error:
        if 300 <= status < 400:
            text = f"{place} answers {status}: it wants to send the question elsewhere, which is not followed"
            return EndpointFailed("redirect", f"{text}. Set {URL} to the final address")
        if status in (401, 403):  # such an answer likes to quote the key
            return EndpointFailed("status", f"{place} answers {status}: it does not accept the key in {KEY}")
        try:
            with watch:
                body = bytes(_body(error))
        except (OSError, http.client.HTTPException, ValueError, EndpointFailed):
            body = b""
        words = cut(_without(endpoint, visible(body.decode(errors="replace"))), 200).strip()
        failure = EndpointFailed("status", f"{place} answers {status}" + (f": {words}" if words else ""))
        if status == 400 and b"max_completion_tokens" in body:
            return _OtherLimit("status", str(failure))
        return _Again(failure, _after(error.headers.get("Retry-After"))) if status in AGAIN else failure


def _after(text: str | None) -> float | None:
    """Seconds that a header asks to wait; None where it names none."""
    try:
        seconds = float(text) if text else None
    except ValueError:
        return None
    return seconds if seconds is not None and 0 <= seconds < float("inf") else None


def _body(response: IO[bytes]) -> bytearray:
    out = bytearray()
    while part := response.read1(1 << 16):  # type: ignore[attr-defined]
        out += part
        if len(out) > LARGEST:
            raise EndpointFailed("too-large", f"the endpoint sent more than {LARGEST:,} bytes")
    return out


def _completion(endpoint: Endpoint, body: bytearray) -> Completion:
    """The completion in the JSON of ``body``; the key never is in it, whatever was sent."""
    malformed = _Again(EndpointFailed("malformed", f"{endpoint.place} sent what is no chat completion"))
    try:
        value = json.loads(bytes(body))
        choice = value["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
        reason, served = choice.get("finish_reason"), value.get("model")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise malformed from None
    if isinstance(content, list):  # parts of text, as some servers send them
        content = "".join(p["text"] for p in content if isinstance(p, dict) and isinstance(p.get("text"), str))
    if content is not None and not isinstance(content, str):
        raise malformed
    name = _without(endpoint, visible(served))[:LONGEST_NAME] if isinstance(served, str) else ""
    if refusal or reason == "content_filter":
        return Completion("", REFUSED, name)
    text = _without(endpoint, _sound(content or ""))[:LONGEST]
    outcome = EMPTY if not text.strip() else CUT if reason == "length" else OK
    return Completion(text, outcome, name)


def _sound(text: str) -> str:
    """``text`` without lone surrogates, which no file can hold."""
    return text.encode("utf-8", "replace").decode()


def _without(endpoint: Endpoint, text: str) -> str:
    """``text`` with ``[key]`` in place of each secret of ``endpoint``, the longest first."""
    for secret in sorted(endpoint.secrets, key=len, reverse=True):
        text = text.replace(secret, "[key]") if len(secret) >= SECRET else text
    return text


class _Watch:
    """Ends a connection at a deadline, however slowly the other side drips; a socket's own limit starts anew with
    every byte."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self.is_over = seconds, False
        self._socket: socket.socket | None = None

    def __enter__(self) -> _Watch:
        self._timer = threading.Timer(self._seconds, self._end)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def on(self, connection: socket.socket | None) -> None:
        """Watch this connection."""
        self._socket = connection
        if self.is_over:
            self._end()

    def _end(self) -> None:
        self.is_over = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # TLS says no goodbye


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the question and the key go where the user said."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Nowhere."""
        return None


def _opener(endpoint: Endpoint, watch: _Watch) -> urllib.request.OpenerDirector:
    """What opens a connection that ``watch`` ends; this machine is reached without the user's proxy."""
    context = ssl.create_default_context() if endpoint.url.startswith("https:") else None

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            watch.on(self.sock)

    class Secure(http.client.HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            watch.on(self.sock)

    class PlainHandler(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> Any:
            return self.do_open(Plain, req)

    class SecureHandler(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> Any:
            return self.do_open(Secure, req, context=context)

    proxies = urllib.request.ProxyHandler({} if endpoint.is_loopback else None)
    return urllib.request.build_opener(proxies, PlainHandler(), SecureHandler(), _Stay())
