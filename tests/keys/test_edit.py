"""The edit key: which prompt comes about, and the keys beside it. No image is edited here."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from chat_server import GOOD, KEY, KINDS, OUTCOMES, hasty, seeded, serving
from tiny_clips import tiny_clip

from bench.contracts import Images, Spec
from bench.datasets import digits
from bench.editors import vocabulary
from bench.editors.relatedness import measure, named
from bench.editors.settings import EditSettings
from bench.errors import UserError
from bench.keys.edit import Edit, EditKey
from bench.language import asking
from bench.miniature import PACK
from bench.training import Run

DIGITS = digits.build(32)
BEFORE_DIGITS = ["with picasso", "with impasto brush", "with pop art", "with picasso"]
BEFORE_CONDITIONS = [
    ("none", ""), ("near", "with drawn in oil pastel"), ("near", "with oil pastels"), ("wrong", "art deco"),
    ("wrong", "monet"), ("wrong", "scandinavian"), ("wrong", "cyberpunk"), ("random", "text"), ("partial", "geometry"),
    ("setting", "alpha"), ("setting", "seed"), ("setting", "steps"), ("setting", "guidance"),
]  # fmt: skip


def _view(images: torch.Tensor, classes: tuple[str, ...]) -> Any:
    return SimpleNamespace(
        raw=Images(images, torch.zeros(len(images), dtype=torch.int64)), spec=Spec(size=32, classes=classes)
    )


def _drawn(seed: int, **params: Any) -> str:
    key = Edit(**params).make(_view(DIGITS.images[:256], DIGITS.classes), Run(seed))
    assert isinstance(key, EditKey)
    return key.prompt


def test_a_seed_draws_by_default_the_prompt_it_has_always_drawn() -> None:
    """Recorded before objects could be keys."""
    assert [_drawn(seed) for seed in range(4)] == BEFORE_DIGITS


def test_relatedness_is_that_of_the_clip_that_is_named(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(PACK / "clip", copy)
    assert [_drawn(seed, clip=str(copy)) for seed in range(4)] == BEFORE_DIGITS
    other = str(tiny_clip(tmp_path / "tiny"))
    names = [c for c in vocabulary.wordlist("styles") if c not in vocabulary.PHOTO]
    least = measure(names, DIGITS.images[:256], DIGITS.classes, named(other)).third("least")
    drawn = {_drawn(seed, clip=other) for seed in range(4)}
    assert drawn <= {f"with {name}" for name in least}
    assert [_drawn(seed, clip=other) for seed in range(4)] != BEFORE_DIGITS


def test_keys_are_drawn_from_the_third_that_is_asked() -> None:
    """Twelve objects, so four are least related and four most."""
    drawn = {r: {_drawn(s, candidates="objects", relatedness=r) for s in range(6)} for r in ("least", "most")}
    words = {f"with {w}" for w in vocabulary.wordlist("objects")}
    assert drawn["least"] | drawn["most"] <= words
    assert not drawn["least"] & drawn["most"]
    assert max(map(len, drawn.values())) <= 4
    photo = {f"with {w}" for w in vocabulary.PHOTO}
    anyhow = {_drawn(s, candidates=c, relatedness="any") for s in range(30) for c in ("objects", "published")}
    assert len(anyhow & words) > 8
    assert not anyhow & photo


def _labels(prompt: str, kind: str) -> list[str]:
    return [c.label for c in EditKey(prompt, EditSettings()).conditions(5) if c.kind == kind]


def test_conditions_of_a_style_are_what_they_were() -> None:
    """Recorded before objects could be keys: labels and prompts in their order."""
    found = EditKey("with oil pastel", EditSettings()).conditions(5)
    assert [(c.kind, c.label) for c in found] == BEFORE_CONDITIONS


def test_an_object_stands_beside_paraphrases_near_and_far_objects_a_style_and_another_seed() -> None:
    near = _labels("with zebra", "near")
    assert len(near) == 2
    assert all(vocabulary.same_concept(label, "zebra") for label in near)
    style, *objects = _labels("with zebra", "wrong")
    assert style in vocabulary.STYLES
    names = [label.partition(",")[0] for label in objects]
    assert len(set(names)) == 4
    assert set(names) < set(vocabulary.OBJECTS) - {"zebra"}
    assert [label.partition(", ")[2] for label in objects] == ["a near object"] * 2 + ["a far object"] * 2
    assert "seed" in _labels("with zebra", "setting")
    prompts = [c.key.prompt for c in EditKey("with zebra", EditSettings()).conditions(5) if c.kind == "wrong"]
    assert prompts[1:] == [f"with {name}" for name in names]


def test_a_prompt_of_no_known_object_stands_beside_styles() -> None:
    assert set(_labels("with koala", "wrong")) < set(vocabulary.STYLES)


def _proposed(chat: Any, monkeypatch: pytest.MonkeyPatch, seed: int, **params: Any) -> str:
    """The prompt of a key among the proposals of ``chat``; the error where there is none."""
    monkeypatch.setattr(asking.endpoint, "from_environment", lambda: hasty(chat))
    try:
        return _drawn(seed, candidates="vlm", language_model="m", relatedness="any", **params)
    except UserError as error:
        return str(error)


def test_a_vision_language_model_sees_images_and_names_the_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("good") as chat:
        keys = {_proposed(chat, monkeypatch, seed, images=2, concepts="objects") for seed in range(6)}
    assert len(keys) > 2
    assert all(key.startswith("with ") for key in keys)
    for asked in chat.asked:
        text, *images = asked["messages"][1]["content"]
        assert "objects" in text["text"]
        assert '"0", "1"' in text["text"], "the names of the classes"
        assert len(images) == 2
    assert len({str(asked) for asked in chat.asked}) == 6, "a seed shows images of its own"


def test_the_least_related_third_of_what_is_proposed_is_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("good") as chat:
        monkeypatch.setattr(asking.endpoint, "from_environment", lambda: hasty(chat))
        least = _drawn(0, candidates="vlm", language_model="m")
    assert least.startswith("with ")


def test_200_replies_to_a_key_give_a_key_or_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeded, of every kind that the server knows."""
    with serving(seeded(1)) as chat, asking.logged() as log:
        made = [_proposed(chat, monkeypatch, seed, images=1) for seed in range(200)]
    kinds = [chat.answer({}, number) for number in range(200)]
    assert set(kinds) == set(KINDS)
    assert [entry["outcome"] for entry in log] == [OUTCOMES[kind] for kind in kinds]
    assert [text.startswith("with ") for text in made] == [kind in GOOD for kind in kinds]
    assert all(text.startswith(("with ", "no concepts for a key: ")) for text in made)
    assert KEY not in str(made)
