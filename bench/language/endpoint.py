"""Where a language model is asked: address, key and patience, from the environment."""

from __future__ import annotations

import ipaddress
import math
import os
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from bench.errors import UserError
from bench.legible import visible

URL, MODEL, KEY = "LOCKBENCH_LLM_URL", "LOCKBENCH_LLM_MODEL", "LOCKBENCH_LLM_KEY"
TIMEOUT, PLAIN = "LOCKBENCH_LLM_TIMEOUT", "LOCKBENCH_LLM_PLAIN"
PATH = "/chat/completions"
LONGEST_NAME = 200
"""Characters of a model's name."""


@dataclass(frozen=True)
class Endpoint:
    """An endpoint that speaks OpenAI's chat completions.

    Args:
        url: of the completions. Nobody but the client reads it: a query may hold a secret.
        key: sent as a bearer token; empty: none is. It is in no record, log or error.
        timeout: wall seconds of one request, headers and body included.
        attempts: requests to one question at most.
        pause: seconds before the second request; each later one waits twice as long.
    """

    url: str = field(repr=False)
    key: str = field(default="", repr=False)
    timeout: float = 60.0
    attempts: int = 3
    pause: float = 1.0

    @property
    def place(self) -> str:
        """Scheme, host and port: what may be shown."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{visible(parts.netloc)}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must be in no record, log or error: the key, and each value of the address's query, as sent and read."""
        query = urlsplit(self.url).query
        values = [value for _, value in parse_qsl(query)]
        sent = [part.partition("=")[2] for part in query.split("&")]
        return tuple(dict.fromkeys([self.key, *values, *sent]))

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine."""
        return _is_loopback(urlsplit(self.url).hostname or "")


def from_environment() -> Endpoint | None:
    """The endpoint that the environment names; None where it names none.

    Raises:
        UserError: an address that is none, that would send a key in the clear, or a key that no header can hold.
    """
    text = os.environ.get(URL, "").strip()
    if not text:
        return None
    return Endpoint(_checked_url(text), _checked_key(os.environ.get(KEY, "").strip()), _seconds())


def model_from_environment() -> str:
    """The model that the environment names; empty where it names none."""
    return os.environ.get(MODEL, "").strip()


def describe() -> str:
    """What the environment says of a language model, in a line without address, path or key."""
    try:
        endpoint = from_environment()
    except UserError as error:
        return str(error)
    if endpoint is None:
        return f"none is set: {URL} is empty"
    model = model_from_environment() or f"no model: {MODEL} is empty"
    return f"{visible(model)[:LONGEST_NAME]} at {endpoint.place}, {'with a key' if endpoint.key else 'without a key'}"


def _checked_url(text: str) -> str:
    remedy = f"Set {URL} to the address of the API, e.g. http://localhost:8000/v1."
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise UserError(f"{URL} is no address.", remedy) from None
    if parts.scheme not in ("http", "https") or not host or not (text.isascii() and text.isprintable()):
        raise UserError(f"{URL} is no address of http or https.", remedy)
    if "@" in parts.netloc or " " in text or parts.fragment:
        raise UserError(f"{URL} holds a user, a blank or a fragment.", f"Put the key into {KEY}.")
    if parts.scheme == "http" and not _is_loopback(host) and os.environ.get(PLAIN) != "1":
        raise UserError(
            f"{URL} is http on another machine: key and images would travel in the clear.",
            f"Use https, or allow it with {PLAIN}=1.",
        )
    return urlunsplit(_completions(parts))


def _completions(parts: SplitResult) -> SplitResult:
    path = parts.path.rstrip("/")
    return parts._replace(path=path if path.endswith(PATH) else path + PATH)


def _checked_key(text: str) -> str:
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise UserError(f"{KEY} holds characters that no header can hold.", "Set it to the key alone, on one line.")
    return text


def _seconds() -> float:
    text = os.environ.get(TIMEOUT, "").strip()
    try:
        seconds = float(text) if text else 60.0
    except ValueError:
        seconds = math.nan
    if not 0.01 <= seconds <= 3600:
        raise UserError(f"{TIMEOUT} is no number of seconds from 0.01 to 3600.", f"Leave {TIMEOUT} empty for 60.")
    return seconds


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
