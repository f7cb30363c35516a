"""The page of an entry, its model card as Markdown, made from ``card.json`` alone. No torch here."""

from __future__ import annotations

import json

from bench import registry
from bench.legible import visible
from bench.records import Measured, PluginRef
from bench.zoo.card import Card

_ROWS = (
    ("UP", "UP", "the rightful user, with the key"),
    ("LP", "LP", "anybody, without the key and without an attack"),
    ("UP_shipped", "UP as shipped", "the same user, over every output that ships"),
    ("LP_shipped", "LP as shipped", "anybody, over every output that ships"),
    ("victim_authorised", "victim", "the unprotected model on the images of the rightful user"),
    ("oracle", "oracle", "the unprotected model on the images of everybody else"),
)


def of(card: Card) -> str:
    """The page of ``card``."""
    return visible("\n".join([*_head(card), *_numbers(card), *_key(card), *_weights(card), *_origin(card)]), keep="\n")


def start(card: Card) -> str:
    """The two lines of Python that load the entry."""
    return f'import bench\n\nlocked = bench.load_locked("{card.name}")'


def key_words(card: Card) -> str:
    """Whether the key is given, in short."""
    return "given" if card.key.given else "withheld"


def number(value: Measured | float | None) -> str:
    """A number with its interval, percent."""
    if value is None:
        return "not measured"
    if isinstance(value, float):
        return f"{value:.1f}"
    if value.low is None or value.high is None:
        return f"{value.value:.1f}"
    return f"{value.value:.1f} [{value.low:.1f}, {value.high:.1f}]"


def _head(card: Card) -> list[str]:
    return [
        f"# {card.name}",
        "",
        f"A model locked with {card.title} ({card.paper}).",
        "`bench zoo make` writes this page from `card.json`.",
        "",
        "```python",
        *start(card).splitlines(),
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| lock | {card.lock.name}: {_settings(card.lock)} |",
        f"| key | {card.key.method}, {key_words(card)} |",
        f"| task | {card.task}, {len(card.classes)} classes |",
        f"| model | {card.model} |",
        f"| seed | {card.seed} |",
        "",
    ]


def _numbers(card: Card) -> list[str]:
    rows = [f"| {name} | {number(getattr(card, field))} | {what} |" for field, name, what in _ROWS]
    floor = [] if card.floor is None else [f"| floor | {card.floor:.1f} | the best constant answer |"]
    adapted = card.LP_after_batch_norm
    norm = [] if adapted is None else [f"| LP after batch norm | {adapted:.1f} | with statistics of the pool |"]
    n = card.LP.n
    flags = [f"| {flag.name} | {_cell(flag.detail)} |" for flag in card.flags]
    return [
        "## Numbers",
        "",
        f"Percent ({card.metric}) of the record, with 95 % intervals over {n} test images of this one model.",
        "",
        "| number | value | of |",
        "|---|---|---|",
        *rows,
        *floor,
        *norm,
        "",
        *(["| red flag | of this model |", "|---|---|", *flags, ""] if flags else []),
    ]


def _key(card: Card) -> list[str]:
    given = (
        "The key is given: `key.json` holds it."
        if card.key.given
        else "The key is withheld. Nothing here says which it is."
    )
    known = json.dumps(card.key.known, sort_keys=True, ensure_ascii=False) if card.key.known else ""
    grants = f"The usual threat model grants `{known}`." if known else "The usual threat model grants no part of it."
    return ["## Key", "", given, grants, ""]


def _weights(card: Card) -> list[str]:
    own = card.weights
    stored = (
        "Every array is float32, as in the record."
        if own.dtype == "float32"
        else "Arrays of two dimensions or more are float16, the others float32. They are loaded as float32. "
        "The record was measured in float32, and none of its numbers changes."
    )
    changed = ", ".join(f"{name} {count}" for name, count in own.answers_changed.items())
    return [
        "## Weights",
        "",
        f"`model.safetensors` has {own.parameters:,} numbers in {own.size:,} bytes.",
        stored,
        f"Test images whose answer differs from the record’s: {changed}.",
        "",
        "| SHA-256 |",
        "|---|",
        f"| `{own.sha256}` |",
        "",
    ]


def _origin(card: Card) -> list[str]:
    own = card.origin
    data = ", ".join(f"{name} ({licence})" for name, licence in card.data_licences.items())
    seeds = ", ".join(f"{name} {seed}" for name, seed in sorted(own.seeds.items()))
    versions = ", ".join(f"{name} {version}" for name, version in sorted(own.versions.items()))
    return [
        "## Origin",
        "",
        "| | |",
        "|---|---|",
        f"| record | `{own.record}` of {own.created[:10]} |",
        f"| machine | {own.machine}, {own.precision}, threads: {own.threads} |",
        f"| commit | {own.commit or 'none: the source was not as in a commit'} |",
        f"| seeds | {seeds} |",
        f"| versions | {versions} |",
        f"| licence of the weights | {card.licence} |",
        f"| data | {data} |",
        "",
    ]


def _settings(lock: PluginRef) -> str:
    """The parameters that have an effect."""
    params = registry.current().with_effect("lock", lock.name, lock.params)
    return _cell(", ".join(f"{name}={value}" for name, value in params.items())) or "no parameters"


def _cell(text: str) -> str:
    """``text`` in a cell of a table."""
    return text.replace("|", "/")
