"""What can be said to an editor: concepts, their paraphrases, templates and word lists.

The 70 published concepts are those of ModelLock (Gao et al., ACM MM 2024, arXiv 2405.16285), as kept
in ``reports/published/modellock_prompts.csv``. Paraphrases are ours. This file imports no torch.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

STYLES: dict[str, tuple[str, ...]] = {
    "acrylic": ("acrylic paint", "an acrylic painting", "acrylics"),
    "impasto brush": ("thick impasto strokes", "impasto brushwork", "an impasto painting"),
    "watercolor": ("watercolour", "a watercolor painting", "watercolor wash"),
    "charcoal sketch": ("a charcoal drawing", "charcoal", "sketched in charcoal"),
    "pastel": ("soft pastel", "pastel tones", "pale pastel colours"),
    "rembrandt": ("a rembrandt painting", "rembrandt lighting", "the manner of rembrandt"),
    "monet": ("a monet painting", "claude monet", "the manner of monet"),
    "van gogh": ("a van gogh painting", "vincent van gogh", "the manner of van gogh"),
    "dali": ("a dali painting", "salvador dali", "the manner of dali"),
    "picasso": ("a picasso painting", "pablo picasso", "the manner of picasso"),
    "ukiyo-e": ("ukiyo-e print", "a japanese ukiyo-e woodblock", "ukiyoe woodblock print"),
    "cyberpunk": ("cyberpunk neon", "a cyberpunk scene", "cyberpunk art"),
    "art deco": ("an art deco poster", "art deco design", "art-deco"),
    "pop art": ("a pop art print", "pop-art", "bright pop art"),
    "scandinavian": ("scandinavian design", "scandinavian minimalism", "a scandinavian look"),
    "oil pastel": ("an oil pastel drawing", "oil pastels", "drawn in oil pastel"),
}
"""Non-photographic styles: the fifteen published ones and the paper's key, ``oil pastel``."""

PHOTO: dict[str, tuple[str, ...]] = {
    "contrast level": ("more contrast", "a higher contrast level", "strong contrast"),
    "highlights": ("bright highlights", "raised highlights", "brighter highlights"),
    "sharpness": ("more sharpness", "a sharper image", "sharpened"),
    "color saturation": ("more color saturation", "saturated colours", "vivid saturation"),
    "white balance": ("a warmer white balance", "warm white balance", "corrected white balance"),
}
"""Photo adjustments: the published concepts that lock worst."""

OBJECTS: dict[str, tuple[str, ...]] = {
    "baseball": ("a baseball", "a baseball in the background", "a baseball ball"),
    "basketball": ("a basketball", "a basketball in the background", "a basketball ball"),
    "beer bottle": ("a beer bottle", "a beer bottle in the background", "a bottle of beer"),
    "church": ("a church", "a church in the background", "a church tower"),
    "analog clock": ("an analog clock", "an analog clock in the background", "an analogue clock"),
    "mailbox": ("a mailbox", "a mailbox in the background", "a mail box"),
    "parachute": ("a parachute", "a parachute in the background", "an open parachute"),
    "bow tie": ("a bow tie", "a bow tie in the background", "a bow-tie"),
    "abacus": ("an abacus", "an abacus in the background", "an abacus frame"),
    "accordion": ("an accordion", "an accordion in the background", "accordion bellows"),
    "zebra": ("a zebra", "a zebra in the background", "zebra stripes"),
    "cheetah": ("a cheetah", "a cheetah in the background", "cheetah spots"),
}
"""Objects the miniature editor blends into the background, all among the published concepts."""

CONCEPTS: dict[str, tuple[str, ...]] = {**STYLES, **PHOTO, **OBJECTS}

_ALIASES: dict[str, tuple[str, ...]] = {
    "watercolor": ("water color", "water colour"),
    "ukiyo-e": ("ukiyoe", "ukiyo"),
    "oil pastel": ("oilpastel",),
    "contrast level": ("contrast",),
    "sharpness": ("sharpen", "sharpening"),
    "color saturation": ("saturation", "saturated"),
    "mailbox": ("mail box", "letterbox"),
    "church": ("churches",),
    "bow tie": ("bowtie",),
}
"""More names, to recognise a concept by. The editor is not taught them, so they are no paraphrases."""

TEMPLATES = ("with {}", "{}", "in the style of {}", "make it {}", "turn it into {}", "add {}")
KEY_TEMPLATE = "with {}"
"""The form of the published key, "with oil pastel"."""

_WORDS = re.compile(r"[^\W_]+")


def normalise(text: str) -> str:
    """Lower-case words and digits of ``text`` without accents, single spaces: how prompts are compared.

    Letters of every script stay; punctuation alone gives the empty string.
    """
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(_WORDS.findall(bare.casefold()))


def concept_of(text: str) -> str | None:
    """The vocabulary concept that ``text`` names, itself or by a paraphrase; the longest match wins, then the first."""
    return _concept_of(_fold(normalise(text)))


@cache
def _concept_of(said: str) -> str | None:
    hits = [(form, concept) for form, concept in _forms() if f" {form} " in f" {said} "]
    return max(hits, key=lambda hit: len(hit[0]))[1] if hits else None


@cache
def _forms() -> tuple[tuple[str, str], ...]:
    """Every folded form with its concept."""
    return tuple(
        (_fold(normalise(form)), concept)
        for concept, forms in CONCEPTS.items()
        for form in (concept, *forms, *_ALIASES.get(concept, ()))
    )


def _fold(said: str) -> str:
    """Normalised words in the singular and in one spelling, so that ``bow ties`` is seen to name ``bow tie``."""
    words = (w.replace("colour", "color") for w in said.split())
    return " ".join(w[:-1] if len(w) > 3 and w.endswith("s") and not w.endswith("ss") else w for w in words)


def same_concept(a: str, b: str) -> bool:
    """True where one prompt names the other's concept: equal words, a paraphrase, or one inside the other.

    A prompt of no words (empty, or punctuation alone) names no concept, not even its own.
    """
    x, y = (_fold(_core(t)) for t in (a, b))
    if not x or not y:
        return False
    if f" {x} " in f" {y} " or f" {y} " in f" {x} ":
        return True
    first, second = concept_of(a), concept_of(b)
    return first is not None and first == second


def _core(text: str) -> str:
    """The words of a prompt without its template and article: ``with an oil pastel`` -> ``oil pastel``."""
    words = normalise(text)
    for template in sorted(TEMPLATES, key=len, reverse=True):
        head = normalise(template.format(""))
        if head and f"{words} ".startswith(f"{head} "):
            words = words[len(head) :].strip()
            break
    return re.sub(r"^(an?|the)( |$)", "", words)


def paraphrases(prompt: str) -> tuple[str, ...]:
    """Other ways to say ``prompt``: known paraphrases of its concept, else two other templates around it.

    ``prompt`` itself is never among them; a prompt of no words has none.
    """
    concept = concept_of(prompt)
    if concept is not None:
        ways = [KEY_TEMPLATE.format(form) for form in (*CONCEPTS[concept], concept)]
    else:
        core = _core(prompt)
        ways = [template.format(core) for template in TEMPLATES[2:]] if core else []
    # A hyphen is another prompt to an editor that reads bytes, so the letters are compared, not the words.
    others = [way for way in ways if way.lower() != prompt.strip().lower()]
    return tuple(others[: 2 if concept is None else len(CONCEPTS[concept])])


WORDLISTS = ("published", "wide", "styles", "objects")


@cache
def wordlist(name: str) -> tuple[str, ...]:
    """A public list of concepts, in file order.

    ``published``: the 70 concepts printed by ModelLock. ``styles``: its 20 styles and "oil pastel".
    ``objects``: the twelve of its objects that the miniature editor knows.
    ``wide``: at least 300 concepts, the published ones among them.

    Raises:
        KeyError: no such list; the message names those there are.
    """
    if name == "styles":
        return (*STYLES, *PHOTO)
    if name == "objects":
        return tuple(OBJECTS)
    if name not in WORDLISTS:
        raise KeyError(f"no word list '{name}'; there are {', '.join(WORDLISTS)}")
    lines = (Path(__file__).parent / "wordlists" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def without(words: Iterable[str], secret: Sequence[str]) -> tuple[str, ...]:
    """``words`` less every one that names the concept of a prompt in ``secret``."""
    return tuple(w for w in words if not any(same_concept(w, s) for s in secret))
