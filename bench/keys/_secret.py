"""The secret of a key that has one: 64 hex digits."""

from __future__ import annotations

import re

from bench.contracts import Run
from bench.errors import UserError

BITS = 256


def of(number: int) -> str:
    """``number`` of `BITS` bits as a secret."""
    return f"{number:0{BITS // 4}x}"


def choose(secret: str | None, run: Run) -> str:
    """``secret``, or where there is none the one that ``run`` draws for the key.

    Raises:
        UserError: it is no secret.
    """
    chosen = secret or of(run.secret("key"))
    if not re.fullmatch(rf"[0-9a-f]{{{BITS // 4}}}", chosen):
        raise UserError("key.secret is no secret of 64 hex digits.", "Draw one: openssl rand -hex 32")
    return chosen
