"""Messages between the harness and a guest: JSON and safetensors over a socket. Nothing is unpickled.

A message is a JSON object with a ``kind``, and perhaps tensors by name. Sizes are limited, and the harness
reads and writes with a deadline, so that no guest can make the harness wait or fill its memory.
"""

from __future__ import annotations

import itertools
import json
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from bench.guests import packing

if TYPE_CHECKING:
    from torch import Tensor

    from bench.contracts import Images

TEXT = 4 << 20
"""Largest JSON part of a message, bytes."""
TENSORS = 16 << 30
"""Largest tensor part of a message, bytes."""
_HEAD = struct.Struct("<qq")
_ONCE = 1 << 20


class WireFault(Exception):
    """What came is no message, or too large a one."""


class WireClosed(Exception):
    """The other side has closed the wire."""


@dataclass(frozen=True)
class Message:
    """One message.

    Args:
        kind: what it is for.
        body: the JSON object, ``kind`` apart.
        tensors: by name.
    """

    kind: str
    body: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


class Wire:
    """One end of a connected stream socket.

    Args:
        end: the socket; this object owns it.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(
        self,
        kind: str,
        body: Mapping[str, Any] | None = None,
        tensors: Mapping[str, Tensor | Images] | None = None,
        deadline: float | None = None,
    ) -> None:
        """Send one message.

        Args:
            deadline: reading of `time.monotonic` at which waiting for the other side to read ends; None: never.

        Raises:
            TimeoutError: the deadline passed.
            TypeError, ValueError: ``body`` is no JSON, or holds a number that is not finite.
            WireFault: it is too large.
            WireClosed: nobody listens.
        """
        text = encode({"kind": kind, "body": dict(body or {})})
        length, parts = packing.packed(tensors) if tensors is not None else (0, iter(()))
        if len(text) > TEXT or length > TENSORS:
            raise WireFault(f"a message of {len(text) + length:,} bytes is too large")
        head = _HEAD.pack(len(text), length if tensors is not None else -1)
        try:
            for part in itertools.chain((head + text,), parts):
                self._wait_until(deadline)
                self._end.sendall(part)
        except TimeoutError:
            raise
        except OSError:
            raise WireClosed from None

    def receive(self, deadline: float | None = None) -> Message:
        """The next message.

        Args:
            deadline: reading of `time.monotonic` at which waiting ends; None: never.

        Raises:
            TimeoutError: the deadline passed.
            WireClosed: the other side is gone.
            WireFault: what came is no message.
        """
        length, packed = _HEAD.unpack(self._read(_HEAD.size, deadline))
        if not 0 <= length <= TEXT or not -1 <= packed <= TENSORS:
            raise WireFault("a message of a size that is not allowed")
        value = decode(self._read(length, deadline))
        kind, body = value.get("kind"), value.get("body")
        if not isinstance(kind, str) or not isinstance(body, dict):
            raise WireFault("a message without a kind")
        return Message(kind, body, {} if packed < 0 else _unpack(self._read(packed, deadline)))

    def close(self) -> None:
        """Close this end."""
        self._end.close()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._end.fileno()

    def _wait_until(self, deadline: float | None) -> None:
        """Let the next operation wait until ``deadline``.

        Raises:
            TimeoutError: it has passed.
        """
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError
        self._end.settimeout(left)

    def _read(self, n: int, deadline: float | None) -> bytearray:
        out = bytearray(min(n, _ONCE))  # grows as bytes arrive: a claimed size alone takes no memory
        got = 0
        while got < n:
            if got == len(out):
                out.extend(bytes(min(n - got, len(out))))
            self._wait_until(deadline)
            try:
                count = self._end.recv_into(memoryview(out)[got:])
            except TimeoutError:
                raise
            except OSError:
                raise WireClosed from None
            if count == 0:
                raise WireClosed
            got += count
        return out


def encode(value: Mapping[str, Any]) -> bytes:
    """``value`` as JSON; numbers of numpy and torch become plain ones.

    Raises:
        TypeError: it holds something JSON cannot say.
        ValueError: a number that is not finite, or an object that contains itself.
    """
    try:
        return json.dumps(value, allow_nan=False, default=_plain).encode()
    except RecursionError:
        raise ValueError("nested too deeply for JSON") from None


def decode(text: bytes | bytearray) -> dict[str, Any]:
    """The JSON object of ``text``.

    Raises:
        WireFault: it is none, or holds a number that is not finite.
    """
    try:
        value = json.loads(bytes(text), parse_constant=_not_finite)
    except (ValueError, RecursionError):
        raise WireFault("a message that is no JSON") from None
    if not isinstance(value, dict):
        raise WireFault("a message that is no JSON object")
    return value


def _not_finite(_name: str) -> NoReturn:
    raise ValueError("not finite")


def _plain(value: Any) -> Any:
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "size", None) is not None:  # a number of numpy or torch
        return item()
    raise TypeError(f"{type(value).__name__} is no JSON")


def _unpack(data: bytearray) -> dict[str, Tensor]:
    from safetensors import SafetensorError

    try:
        return packing.unpacked(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise WireFault(f"tensors that cannot be read ({type(error).__name__})") from None
