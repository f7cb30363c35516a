"""Every lock of the project has an attack that was written against it, and no attack names a lock that is not there."""

from __future__ import annotations

import pytest

from bench import registry
from reports.rows.worst import written_against

METHODS = [name for name, info in sorted(registry.INSTALLED.all("lock").items()) if info.role == "method"]


@pytest.mark.parametrize("lock", METHODS)
def test_no_table_says_that_a_lock_has_no_adaptive_attack(lock: str) -> None:
    assert written_against().get(lock)


def test_attacks_are_written_against_locks_that_exist() -> None:
    assert written_against().keys() <= registry.INSTALLED.all("lock").keys()
