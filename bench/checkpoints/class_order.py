"""Which output stands for which class: files of names, orders that training code sorts by, and a renaming that fits.

No torch here.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError

if TYPE_CHECKING:
    import numpy as np

_DIGITS = re.compile(r"(\d+)")


def _natural(name: str) -> list[Any]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part.lower()) for part in _DIGITS.split(name) if part]


SORTS: dict[str, Callable[[str], Any]] = {
    "codepoint": lambda name: name,
    "casefold": lambda name: (name.casefold(), name),
    "natural": lambda name: (_natural(name), name),
}
"""How training code sorts the names of classes: as torchvision's ImageFolder, without regard to case, or as timm."""
ORDERS = ("given", *SORTS)
"""``given``: the order of the data, or of the file of classes."""


@dataclass(frozen=True)
class ClassOrder:
    """The output of each class of the data.

    Args:
        outputs: for each class its output.
        extra: names of the outputs that are no class of the data, as far as they are known.
        source: where the order comes from, in words.
    """

    outputs: tuple[int, ...]
    extra: tuple[str, ...] = ()
    source: str = "the data's own order"

    @property
    def is_plain(self) -> bool:
        """Whether classes and outputs have one order."""
        return self.outputs == tuple(range(len(self.outputs)))


def sorted_by(classes: Sequence[str], order: str) -> ClassOrder:
    """The order of a model that was trained on the folders ``classes``, sorted as `ORDERS` names it.

    Raises:
        UserError: no such order.
    """
    if order not in ORDERS:
        raise UserError(f"no class order '{order}'.", f"Use {', '.join(ORDERS)}.")
    if order == "given":
        return ClassOrder(tuple(range(len(classes))))
    ranked = sorted(classes, key=SORTS[order])
    return ClassOrder(tuple(ranked.index(name) for name in classes), source=f"{order} order")


def named(classes: Sequence[str], names: Sequence[str], source: str) -> ClassOrder:
    """The order of a model whose outputs have the ``names``, in that order.

    Raises:
        UserError: a class of the data that has no output, or a name that stands for two.
    """
    exact = {name: i for i, name in reversed(list(enumerate(names)))}
    if len(exact) < len(names):
        twice = next(name for i, name in enumerate(names) if exact[name] != i)
        raise UserError(f"{source} names '{twice}' twice.", "Give each output a name of its own.")
    loose: dict[str, int] = {}
    for name, i in exact.items():
        loose.setdefault(_plain(name), i)
    found = [exact.get(name, loose.get(_plain(name))) for name in classes]
    absent = [name for name, i in zip(classes, found, strict=True) if i is None]
    if absent:
        listed = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        raise UserError(
            f"{source} has no output for {listed}.", "Give one line for each output, with the names of the folders."
        )
    outputs = tuple(i for i in found if i is not None)
    if len(set(outputs)) < len(outputs):
        raise UserError(f"{source} gives two classes one output.", "Write the names exactly as the folders have them.")
    extra = tuple(name for i, name in enumerate(names) if i not in set(outputs))
    return ClassOrder(outputs, extra, source)


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", " ", unicodedata.normalize("NFC", name)).strip().casefold()


def read(file: Path) -> list[str]:
    """Names of outputs from a file: one a line; a JSON list; or a JSON object, name to index or index to name.

    Raises:
        UserError: it cannot be read, or has another form.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise UserError(f"{file} cannot be read: {reason}.", "Give a text file, one class a line.") from None
    if text.lstrip()[:1] not in ("[", "{"):
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        content = json.loads(text)
        if isinstance(content, dict):
            # Names may be numbers too, as in class_to_idx of folders 0, 1, …: its values are whole numbers.
            is_by_index = all(k.isdigit() for k in content) and not all(isinstance(v, int) for v in content.values())
            by_index = content if is_by_index else {v: k for k, v in content.items()}
            content = [by_index[i] for i in sorted(by_index, key=int)]
        return [str(name) for name in content]
    except (ValueError, TypeError):
        raise UserError(f"{file} is no list of classes.", "Give a JSON list of names, or one class a line.") from None


@dataclass(frozen=True)
class Renaming:
    """A renaming of outputs under which a model does better than as it is.

    Args:
        accuracy: percent, on the half of the images that the renaming was not fitted to.
        before: percent, on the same images without it.
        order: of `SORTS`, where one of them is the renaming; else "".
        outputs: for each class its output.
    """

    accuracy: float
    before: float
    order: str
    outputs: tuple[int, ...]


GAIN = 20.0
"""Points that a renaming must gain before it is named."""


def renaming(labels: np.ndarray, predictions: np.ndarray, classes: Sequence[str]) -> Renaming | None:
    """The renaming of outputs that fits the ``predictions`` of a model to the ``labels``; None where none gains `GAIN`.

    The orders of `SORTS` are tried first, then the assignment that agrees best on half of the images. Accuracy is
    that on the other half.

    Args:
        labels, predictions: (n,) indices of classes.
        classes: names of the K classes.
    """
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    k = len(classes)
    shuffled = np.random.default_rng(0).permutation(len(labels))
    fit, rest = shuffled[::2], shuffled[1::2]
    if len(rest) == 0 or k < 2:
        return None
    counts = np.zeros((k, k), dtype=np.int64)
    inside = predictions[fit] < k
    np.add.at(counts, (labels[fit][inside], predictions[fit][inside]), 1)
    candidates = {order: sorted_by(classes, order).outputs for order in SORTS}
    candidates[""] = tuple(int(i) for i in linear_sum_assignment(-counts)[1])
    before = 100 * float((labels[rest] == predictions[rest]).mean())
    best: Renaming | None = None
    for order, outputs in candidates.items():
        reached = 100 * float((np.asarray(outputs)[labels[rest]] == predictions[rest]).mean())
        if reached - before >= GAIN and (best is None or reached > best.accuracy + 1):
            best = Renaming(reached, before, order, outputs)
    return best
