"""What the owner draws, nobody without the store's entropy can draw again."""

from __future__ import annotations

from bench import plan
from bench.store import identity


def test_key_and_lock_take_entropy_in_and_nothing_else_does() -> None:
    cell = plan.make_cell("ada-loc", "none", "digits", "cnn", {})
    one, other, public = (identity.seeds_of(cell, entropy) for entropy in ("a", "b", identity.PLAN))
    assert {name for name in one if one[name] != other[name]} == {"key", "lock"}
    assert {name for name in one if one[name] != public[name]} == {"key", "lock"}
