"""What a language model is asked: concepts for guesses at a key, or for a key itself. The wording is ours.

A question holds what its asker may know and nothing else. Names of classes come from data, and stand in it as JSON.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.hashing import digest
from bench.legible import shortened, visible

if TYPE_CHECKING:
    from torch import Tensor

CLASSES, NAME = 200, 60
"""Names of classes that stand in a question, and characters of each."""
SHOWN = 16
"""Most images in a question."""
SIDE = 128
"""Pixels: smaller images are enlarged to this side at least, by repeating pixels, since models see little in fewer."""
SYSTEM = (
    "You name visual concepts for research on image classifiers. Answer with one JSON array of strings and nothing "
    "else. Each string is one concept of one to five words, without an article."
)
ASKED = {
    "styles": "artistic styles, media or painters, as an image editor could apply them",
    "objects": "objects that an image editor could add to the background",
}


@dataclass(frozen=True)
class Question:
    """One question to one model.

    Args:
        model: its name at the endpoint.
        messages: as chat completions take them.
        draw: tells questions of equal words apart: two of them are two draws. It is not sent.
    """

    model: str
    messages: tuple[Mapping[str, Any], ...]
    draw: int = 0

    @property
    def hash(self) -> str:
        """Digest of all that decides the reply."""
        return digest({"model": self.model, "messages": list(self.messages), "draw": self.draw})

    def payload(self) -> dict[str, Any]:
        """What is sent."""
        return {"model": self.model, "messages": list(self.messages)}


def guesses(
    model: str,
    n: int,
    classes: Sequence[str],
    editor: str | None,
    words: Sequence[str],
    scores: Sequence[tuple[str, float]],
    draw: int,
) -> Question:
    """A question for ``n`` guesses at the concept of a key.

    Args:
        classes: names of the data's classes.
        editor: the editor, where the attacker knows it.
        words: the attacker's word list.
        scores: earlier guesses with their scores; higher is better.
    """
    lines = [
        "An image classifier was locked. It works only on images that a text-guided image editor has changed with one "
        'secret instruction, "with CONCEPT". CONCEPT is a style, an adjustment or an object. A test of the lock tries '
        "concepts and scores each by how well the classifier then works.",
        f"Classes of the images: {_names(classes)}.",
    ]
    if editor:
        lines.append(f"Name of the editor: {_names([editor])}.")
    if words:
        lines.append(f"Concepts that others have used: {json.dumps(list(words), ensure_ascii=False)}.")
    if scores:
        tried = [[concept, round(score, 2)] for concept, score in scores]
        lines.append(f"Tried so far, with scores (higher is better): {json.dumps(tried, ensure_ascii=False)}.")
    lines.append(f"Name {n} concepts that were not tried, the most promising first.")
    return Question(model, (_message("system", SYSTEM), _message("user", "\n".join(lines))), draw)


def key_concepts(model: str, n: int, kind: str, classes: Sequence[str], images: Tensor, draw: int) -> Question:
    """A question for ``n`` concepts that have little to do with ``images``: the first stage of ModelLock.

    Args:
        kind: ``styles`` or ``objects``.
        classes: names of the data's classes.
        images: (N, 3, H, W) float32 in [0, 1]; N is at most `SHOWN`.
    """
    text = (
        f"These images are examples of a data set with the classes {_names(classes)}. Name {n} {ASKED[kind]}, that "
        "have as little as possible to do with what the images show. The least related comes first."
    )
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
    parts += [{"type": "image_url", "image_url": {"url": _data_url(image)}} for image in images[:SHOWN]]
    return Question(model, (_message("system", SYSTEM), {"role": "user", "content": parts}), draw)


def without_images(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """``messages`` with a digest in place of each image, for the store."""
    out = []
    for message in messages:
        content = message["content"]
        if not isinstance(content, str):
            content = [
                {"type": "image", "digest": digest(part["image_url"]["url"])} if "image_url" in part else part
                for part in content
            ]
        out.append({**message, "content": content})
    return out


def _message(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content}


def _names(names: Sequence[str]) -> str:
    shown = [shortened(visible(name), NAME) for name in names[:CLASSES]]
    return json.dumps(shown, ensure_ascii=False)


def _data_url(image: Tensor) -> str:
    """``image`` as a PNG in a ``data:`` address."""
    from PIL import Image

    pixels = (image * 255).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    picture = Image.fromarray(pixels)
    times = -(-SIDE // min(picture.size))
    if times > 1:
        picture = picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
