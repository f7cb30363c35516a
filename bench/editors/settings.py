"""What an edit is, apart from its prompt. This file imports no torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.errors import UserError

MINIATURE = "miniature"
NOISES = ("shared", "per-image")


@dataclass(frozen=True)
class EditSettings:
    """How an editor is run and how its edit is blended with the image.

    Args:
        editor: ``miniature``, a diffusers folder of an InstructPix2Pix pipeline, or a hub name.
        steps: diffusion steps, at least 1.
        guidance: text guidance scale, at least 0. Guidance is off unless ``guidance > 1`` and
            ``image_guidance >= 1``; then a step takes one forward pass an image instead of three.
        image_guidance: image guidance scale, at least 0.
        alpha: α in [0, 1], weight of the edit in ``(1 - α) image + α edit``.
        seed: seed of the noise, in [0, 2**63).
        noise: ``shared``: every image gets a fresh generator with ``seed``, so all see the same noise;
            ``per-image``: the seed is mixed with a hash of the image's pixels.
        size: pixels, the side the image is squashed to before the edit; None: the editor's own.

    Raises:
        UserError: a value out of its range, or of another type.
    """

    editor: str = MINIATURE
    steps: int = 5
    guidance: float = 1.0
    image_guidance: float = 1.0
    alpha: float = 0.5
    seed: int = 1024
    noise: str = "shared"
    size: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.editor, str) or not self.editor:
            raise UserError(f"editor={self.editor!r} is none.", "Use miniature, a diffusers folder or a hub name.")
        _within("steps", self.steps, 1, 1000, whole=True)
        _within("guidance", self.guidance, 0, 100)
        _within("image_guidance", self.image_guidance, 0, 100)
        _within("alpha", self.alpha, 0, 1)
        _within("seed", self.seed, 0, 2**63 - 1, whole=True)
        if self.size is not None:
            _within("size", self.size, 8, 4096, whole=True)
        if self.noise not in NOISES:
            raise UserError(f"noise={self.noise!r} is not allowed.", f"Use one of {', '.join(NOISES)}.")
        # An integer and the float equal to it are one setting: they must not be two JSON forms.
        for name in ("guidance", "image_guidance", "alpha"):
            object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def guided(self) -> bool:
        """Whether classifier-free guidance is on, by the rule of the InstructPix2Pix pipeline."""
        return self.guidance > 1.0 and self.image_guidance >= 1.0

    def to_json(self) -> dict[str, Any]:
        """Every field by name."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EditSettings:
        """The settings that `to_json` wrote; what is missing is the default of ``value['editor']``.

        Raises:
            UserError: a field that does not exist, or a value out of its range.
        """
        return defaults(value.get("editor", MINIATURE)).replace(**value)

    def replace(self, **changes: Any) -> EditSettings:
        """These settings with some fields changed.

        Raises:
            UserError: a field that does not exist, or a value out of its range.
        """
        names = [f.name for f in dataclasses.fields(self)]
        if unknown := sorted(set(changes) - set(names)):
            raise UserError(f"Edit settings have no field {unknown[0]!r}.", f"They have {', '.join(names)}.")
        return dataclasses.replace(self, **changes)


def defaults(editor: str) -> EditSettings:
    """The settings ``editor`` is used with where a user sets nothing.

    An editor that is a plugin names its own. A folder or a hub name runs as in ModelLock (Gao et al., ACM MM 2024): 5
    steps, text guidance 4.5, image guidance 1.5, 256×256 pixels.
    """
    from bench import registry
    from bench.guests import questions

    info = registry.current().get("editor", editor)
    if info is not None:
        return EditSettings(editor=editor, **questions.editor(info)["settings"])
    return EditSettings(editor=editor, guidance=4.5, image_guidance=1.5, size=256)


def _within(name: str, value: Any, low: float, high: float, whole: bool = False) -> None:
    ok = (
        isinstance(value, int if whole else int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and low <= value <= high
    )
    if not ok:
        what = "an integer" if whole else "a number"
        raise UserError(f"{name}={value!r} is not allowed.", f"Give {what} from {low:g} to {high:g}.")
