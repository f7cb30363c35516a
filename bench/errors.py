"""Errors that a user can act on: one clear line and its remedy, exit status 2."""

from __future__ import annotations


class UserError(Exception):
    """Something the user asked for cannot be done.

    Args:
        message: what is wrong, one line.
        remedy: what to do about it, one line.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()
