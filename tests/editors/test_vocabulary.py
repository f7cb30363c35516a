"""Word lists and the comparison of prompts."""

import csv
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.editors import vocabulary as v

PUBLISHED = Path(v.__file__).parents[2] / "reports" / "published" / "modellock_prompts.csv"


def test_published_list_is_the_published_table():
    with PUBLISHED.open(encoding="utf-8") as file:
        printed = [row["concept"].lower().replace("_", " ") for row in csv.DictReader(file)]
    assert v.wordlist("published") == tuple(printed)
    assert len(printed) == 70


def test_wide_list_holds_every_concept_an_owner_would_pick_from():
    wide = v.wordlist("wide")
    assert len(wide) >= 320
    assert {*v.wordlist("published"), *v.wordlist("styles"), *v.CONCEPTS, "oil pastel"} <= set(wide)


def test_styles_list_is_twenty_styles_and_the_papers_key():
    styles = v.wordlist("styles")
    assert len(styles) == 21
    assert {*v.STYLES, *v.PHOTO} == set(styles)
    assert set(styles) - {"oil pastel"} <= set(v.wordlist("published"))


@pytest.mark.parametrize("name", v.WORDLISTS)
def test_no_two_words_of_a_list_are_the_same(name):
    words = v.wordlist(name)
    forms = [v.normalise(word) for word in words]
    assert len(set(forms)) == len(words)
    assert all(forms)
    assert all(word == word.lower() for word in words)


def test_wide_list_is_in_hash_order_so_its_head_holds_no_more_keys_than_its_share():
    wide = v.wordlist("wide")
    assert list(wide) == sorted(wide, key=lambda word: hashlib.sha256(word.encode()).hexdigest())
    keys = [i for i, word in enumerate(wide) if word in v.CONCEPTS]
    assert 0.3 < sum(keys) / len(keys) / len(wide) < 0.7


def test_an_unknown_list_is_named_with_those_there_are():
    with pytest.raises(KeyError, match=r"no word list 'long'.*published, wide, styles"):
        v.wordlist("long")


@given(st.data())
def test_without_drops_the_key_and_its_paraphrases_from_every_list(data):
    words = v.wordlist(data.draw(st.sampled_from(v.WORDLISTS)))
    concept = data.draw(st.sampled_from([*v.CONCEPTS, *v.wordlist("wide")]))
    form_name = data.draw(st.sampled_from((concept, *v.CONCEPTS.get(concept, ()))))
    prompt = data.draw(st.sampled_from(v.TEMPLATES)).format(data.draw(st.sampled_from((form_name, form_name.upper()))))
    forms = {v.normalise(form) for form in (concept, form_name, *v.CONCEPTS.get(concept, ()))}

    mixed = (*words, *sorted(forms), *(v.KEY_TEMPLATE.format(form) for form in sorted(forms)))
    left = v.without(mixed, [prompt])

    assert not [w for w in left if v._core(w) in forms or (concept in v.CONCEPTS and v.concept_of(w) == concept)]
    assert list(left) == [w for w in words if w in set(left)]  # in the list's order
    assert len(left) >= 0.8 * len(words)  # only neighbours go


def test_without_takes_several_secrets_and_none():
    words = ("zebra", "lion", "church")
    assert v.without(words, ["with a church tower", "add zebra"]) == ("lion",)
    assert v.without(words, []) == words
    assert v.without(words, ["", "?!"]) == words


@pytest.mark.parametrize(("concept", "forms"), v.CONCEPTS.items())
def test_every_form_names_its_concept(concept, forms):
    for form in (concept, *forms):
        for template in v.TEMPLATES:
            assert v.concept_of(template.format(form)) == concept
            assert v.same_concept(template.format(form), concept)


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("with Oil-Pastel!", "oil pastel"),  # the longer match, not "pastel"
        ("a picture in soft pastel", "pastel"),
        ("Dalí", "dali"),
        ("bow ties", "bow tie"),
        ("water colour painting", "watercolor"),
        ("high contrast", "contrast level"),
        ("pastelaria", None),  # part of a word is no match
        ("giraffe", None),
        ("", None),
        ("?!…", None),
        ("油画", None),
    ],
)
def test_concept_of(text, concept):
    assert v.concept_of(text) == concept


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("with oil pastel", "drawn in oil pastel", True),
        ("oil pastel", "pastel", True),  # one inside the other
        ("soft pastel", "an oil pastel drawing", False),
        ("charcoal drawing", "charcoal sketch", True),
        ("with giraffes", "make it a giraffe", True),
        ("with a giraffe", "with a lion", False),  # a shared template is no shared concept
        ("with", "with oil pastel", False),
        ("the", "the manner of dali", False),
        ("", "", False),
        ("?!", "oil pastel", False),
        ("油画", "with 油画", True),
        ("油画", "水彩", False),
    ],
)
def test_same_concept_either_way_round(a, b, same):
    assert v.same_concept(a, b) is same
    assert v.same_concept(b, a) is same


@given(st.text(max_size=40), st.text(max_size=40))
def test_comparing_never_fails_and_is_symmetric(a, b):
    assert v.same_concept(a, b) == v.same_concept(b, a)
    assert v.normalise(v.normalise(a)) == v.normalise(a)
    assert a.strip().lower() not in {other.lower() for other in v.paraphrases(a)}


@pytest.mark.parametrize("concept", v.CONCEPTS)
def test_paraphrases_of_a_concept_are_as_many_as_its_other_forms(concept):
    for form in (concept, *v.CONCEPTS[concept]):
        prompt = v.KEY_TEMPLATE.format(form)
        others = v.paraphrases(prompt)
        assert len(others) == len(v.CONCEPTS[concept]) == len(set(others))
        assert prompt not in others
        assert {v.concept_of(other) for other in others} == {concept}


def test_paraphrases_of_an_unknown_concept_change_the_template_alone():
    assert v.paraphrases("with a giraffe") == ("in the style of giraffe", "make it giraffe")
    assert v.paraphrases("make it giraffe") == ("in the style of giraffe", "turn it into giraffe")
    assert v.paraphrases("papyrus") == ("in the style of papyrus", "make it papyrus")
    assert v.paraphrases("") == v.paraphrases("?!") == ()
