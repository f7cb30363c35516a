"""What users may type: strategies for property tests, and how many examples they draw.

``LOCKBENCH_FUZZ=1`` draws at least 10,000 in all, anew each time; else few, the same each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FUZZ = os.environ.get("LOCKBENCH_FUZZ") == "1"
ODD = [
    "", " ", ".", "..", "/", "~", "~nobody-here/x", "-", "--", "=", ":", "::", "folder:", "folder:PATH", "folder:.",
    "[bold]", "[/]", "[red]x[/red]", ":art:", ":warning:", "\x1b[31mred", "\u202eright to left", "\n", "a\nb", "a\tb",
    "\0", "a\0b", "\ud800", "x" * 300, "x" * 5000, "9" * 5000, "10" * 200, "-1", "0", "1e309", "nan", "inf", "-inf",
    "NaN", "True", "none", "null", "1_000", "٣", "²", "½", "é", "𝕏", "{}", "{0}", "%s", "$(ls)", "`ls`", "'", '"', "\\",
    "a\\", "a[", "]", "*", "?", "[a-z]", "../..", "/dev/null", "/proc/self/mem", "/root", "con", "A" * 70 + "/b",
    "miniature", "digits:digits", "digits:fonts", "digits:folder:.", "vit:256-256", "vit:0", "vit:", ":vit", "resnet",
]  # fmt: skip
GROUPS = ["lock", "key", "attack", "threat", "budget", "task", "lok", "", "thread"]
FIELDS = [
    "alpha", "steps", "key", "decoys", "share", "access", "leaked", "known", "wordlist", "guesses", "size", "editor",
    "prompt", "file", "rate", "trials", "listed", "noise_seed", "key_choice", "layers", "", "a.b", "αβ",
]  # fmt: skip
LOCKS = ["modellock", "ntl", "map", "none", "destroyed", "permuted-logits", "given", "cuti", "modelock"]
ATTACKS = ["none", "prompt-search", "finetune", "logit-surgery", "from-scratch", "disguise", "edit-imitation", "fine"]
TASKS = ["digits", "digits-m", "fonts", "shapes", "digits:fonts", "digits:digits", "digit", "folder:.", "folder:no"]
MODELS = ["vit", "cnn", "vit:64", "cnn:64-64", "vitt", "vit:x"]


def examples(few: int, many: int) -> Callable[[Any], Any]:
    """Draw ``few`` examples, the same each time; ``many`` new ones under LOCKBENCH_FUZZ."""
    return settings(
        max_examples=many if FUZZ else few,
        derandomize=not FUZZ,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def texts() -> st.SearchStrategy[str]:
    """Odd texts, and any at all."""
    odd = st.sampled_from(ODD)
    return st.one_of(odd, odd, odd, odd, st.text(max_size=40), st.text("abc.=,:-0123456789[]/\\~ ", max_size=20))


def names(known: list[str]) -> st.SearchStrategy[str]:
    """Mostly ``known`` names, else odd ones."""
    return st.one_of(st.sampled_from(known), st.sampled_from(known), st.sampled_from(known), texts())


def values() -> st.SearchStrategy[str]:
    """Values of parameters as they are typed."""
    numbers = st.one_of(st.integers(), st.floats(), st.integers(-5, 300), st.floats(0, 1)).map(str)
    words = st.sampled_from(["true", "false", "none", "labels", "weights", "wide", "fixed", "edit", "blockwise", "0.5"])
    return st.one_of(numbers, words, texts())


def params() -> st.SearchStrategy[str]:
    """``GROUP.NAME=VALUE``, or what is meant to be."""
    made = st.builds("{}.{}={}".format, st.sampled_from(GROUPS), st.sampled_from(FIELDS), values())
    return st.one_of(made, made, made, texts())


def scalars() -> st.SearchStrategy[Any]:
    """What a TOML value or a JSON value may be."""
    return st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), texts(), values(), st.just(10**400), st.just(-(10**30))
    )


def trees() -> st.SearchStrategy[Any]:
    """Values, lists and tables of values, nested."""
    return st.recursive(
        scalars(), lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts(), inner, max_size=3)),
        max_leaves=6,
    )  # fmt: skip
