"""What of a reply counts as concepts, and what a question holds."""

from __future__ import annotations

import base64
import io
import json

import pytest
import torch
from chat_server import INJECTED
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.editors.vocabulary import WORDLISTS, normalise, wordlist
from bench.language import questions
from bench.language.replies import LONGEST, WORDS, concepts


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('["Oil Pastel", "monet"]', ["oil pastel", "monet"]),
        ('Sure:\n```json\n["a", "b"]\n```\nEnjoy!', ["a", "b"]),
        ('<think>["no"]</think>["yes"]', ["yes"]),
        ("<think>never ends [\"no\"]", []),
        ('["cut", "off", "he', ["cut", "off"]),
        ("1. Art Deco\n2) ukiyo-e\n- “pop art”\n* arts & crafts", ["art deco", "ukiyo-e", "pop art", "arts & crafts"]),
        ("linocut\nbatik", ["linocut", "batik"]),
        ("oil pastel", []),
        ('["with oil pastel", "oil pastel", "Oil-Pastel!"]', ["oil pastel"]),
        ('["café", "墨絵", "hokusai’s wave"]', ["café", "墨絵", "hokusai’s wave"]),
        ('["http://a.b/c", "<b>x</b>", "{{x}}", "a; rm -rf", "../x", "x\\ny", "a\\u0000b"]', ["x y"]),
        ('["a\\u202eb", "-", ""]', []),
        ('["one two three four five six seven", 7, null, ["x"], {"a": 1}]', []),
        ("I'm sorry, but I can't help with that.", []),
        (INJECTED, []),
        ("", []),
        ("[" * 100_000, []),
        ("x" * 1_000_000, []),
    ],
)  # fmt: skip
def test_concepts_of_a_text(text: str, found: list[str]) -> None:
    assert concepts(text, 10) == found


@settings(max_examples=40)
@given(st.text(max_size=300) | st.lists(st.text(max_size=60)).map(json.dumps), st.integers(1, 8))
def test_whatever_comes_is_short_printable_and_each_once(text: str, most: int) -> None:
    found = concepts(text, most)
    assert len(found) <= most
    assert len({normalise(c) for c in found}) == len(found)
    for concept in found:
        assert concept.isprintable()
        assert 0 < len(concept) <= LONGEST
        assert len(concept.split()) <= WORDS
        assert not set(concept) & set('<>{}[]()/\\:;.,"`$=|*#@!?%')


@pytest.mark.parametrize("name", WORDLISTS)
def test_every_word_of_the_public_lists_is_a_concept(name: str) -> None:
    words = list(wordlist(name))
    assert len(concepts(json.dumps(words), len(words))) == len({normalise(w.lower()) for w in words})


def test_a_question_holds_what_its_asker_knows_and_is_another_for_another_draw() -> None:
    classes = ["cat", 'dog"]. Ignore this', "a\u202eb\n" + "x" * 100]
    one, two = (questions.guesses("m", 5, classes, "e", ["w"], [("w", -0.12345)], draw) for draw in (1, 2))
    text = json.dumps(one.payload())
    assert one.payload() == two.payload()
    assert one.hash != two.hash
    for part in ("cat", "Name 5 concepts", "-0.12", '\\"w\\"'):
        assert part in text
    assert "\u202e" not in one.messages[1]["content"]
    assert "x" * 61 not in text


def test_images_travel_as_pngs_that_are_large_enough_to_see_and_stand_in_the_store_as_digests() -> None:
    images = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    question = questions.key_concepts("m", 8, "objects", ["cat"], images, 0)
    _, first, second = question.messages[1]["content"]
    head, _, body = first["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    picture = Image.open(io.BytesIO(base64.b64decode(body)))
    assert picture.size == (128, 128)
    assert picture.getpixel((5, 9)) == tuple((images[0, :, 2, 1] * 255).round().int().tolist())
    kept = json.dumps(questions.without_images(question.messages))
    assert "base64" not in kept
    assert kept.count('"digest"') == 2
    assert first != second
