"""The edit key of ModelLock: an image edited by a diffusion model with a secret prompt, blended with itself.

Gao et al., "ModelLock: Locking Your Model With a Spell", ACM MM 2024, arXiv 2405.16285.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bench import metrics
from bench.contracts import Batch, DefenderView, Images, Key, KeyCondition, KeyMethod, Run, param
from bench.editors import engine, vocabulary
from bench.editors.relatedness import LOOKED_AT, measure, named, nearest_first
from bench.editors.settings import EditSettings, defaults
from bench.errors import UserError
from bench.language import asking, questions, replies
from bench.language.client import EndpointFailed

LEAST = 3
"""Concepts that a model must name: the rule draws among a third of them."""


@dataclass(frozen=True)
class EditKey:
    """A prompt with its editor and settings: x -> 8 bit((1 - α) x + α edit(x, prompt))."""

    prompt: str
    settings: EditSettings

    def __call__(self, images: Tensor) -> Tensor:
        return engine.current(self.settings.editor).keyed(images, self.prompt, self.settings)

    def parts(self) -> dict[str, Any]:
        settings = self.settings.to_json()
        editor, size = settings.pop("editor"), settings.pop("size")
        return {"editor": editor, "prompt": self.prompt, "settings": settings, "geometry": size}

    def to_json(self) -> dict[str, Any]:
        return {"method": "edit", "prompt": self.prompt, "settings": self.settings.to_json()}

    def megabytes(self) -> float:
        """Of the editor's weights, in 10^6 bytes."""
        return engine.current(self.settings.editor).megabytes

    def describe(self) -> str:
        s = self.settings
        return f"“{self.prompt}”, α {s.alpha:g}, {s.steps} steps, guidance {s.guidance:g}, seed {s.seed}"

    def conditions(self, seed: int) -> list[KeyCondition]:
        """Near and wrong prompts, the key without its edit, and the right prompt with one setting changed.

        The wrong ones of a style are four others; those of an object its two nearest objects, the two farthest, and
        one style.
        """
        rng = random.Random(seed)
        out = [KeyCondition("none", "", NoEdit("none", None))]
        near = [p for p in vocabulary.paraphrases(self.prompt) if p != self.prompt]
        for prompt in rng.sample(near, min(2, len(near))):
            out.append(KeyCondition("near", prompt, replace(self, prompt=prompt)))
        styles = [s for s in vocabulary.STYLES if not vocabulary.same_concept(s, self.prompt)]
        concept = vocabulary.concept_of(self.prompt)
        is_object = concept in vocabulary.OBJECTS
        wrong = {style: style for style in rng.sample(styles, 1 if is_object else 4)}
        if concept is not None and is_object:
            others = [o for o in vocabulary.OBJECTS if o != concept]
            order = nearest_first(concept, others)
            wrong |= {f"{o}, a near object": o for o in order[:2]} | {f"{o}, a far object": o for o in order[-2:]}
        for label, other in wrong.items():
            out.append(KeyCondition("wrong", label, replace(self, prompt=vocabulary.KEY_TEMPLATE.format(other))))
        text = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz ", k=18)).strip()
        out.append(KeyCondition("random", "text", replace(self, prompt=text)))
        out.append(KeyCondition("partial", "geometry", NoEdit("geometry-only", self.settings)))
        s = self.settings
        guidance = 2.0 if s.guidance <= 1 else 1.0
        changed: dict[str, dict[str, Any]] = {
            "alpha": {"alpha": round(s.alpha / 2, 3)},
            "seed": {"seed": s.seed + 1 + rng.randrange(1000)},
            "steps": {"steps": s.steps + 5 if s.steps <= 995 else s.steps - 5},
            "guidance": {"guidance": guidance, "image_guidance": max(1.0, s.image_guidance)},
        }
        for name, change in changed.items():
            out.append(KeyCondition("setting", name, replace(self, settings=s.replace(**change))))
        return out


@dataclass(frozen=True)
class NoEdit:
    """No key at all, or (with ``settings``) only what the key does to an image apart from the edit."""

    name: str
    settings: EditSettings | None

    def __call__(self, images: Tensor) -> Tensor:
        if self.settings is None:
            return images
        return engine.current(self.settings.editor).geometry(images, self.settings)

    def parts(self) -> dict[str, Any]:
        return {}

    def to_json(self) -> dict[str, Any]:
        return {"method": "edit", "none": self.name, "settings": self.settings and self.settings.to_json()}

    def describe(self) -> str:
        return self.name

    def megabytes(self) -> float:
        return 0.0

    def conditions(self, seed: int) -> list[KeyCondition]:
        return []


class Edit(KeyMethod):
    """A secret prompt for a text-guided diffusion editor."""

    title = "edit key"
    paper = "ModelLock, Gao et al., ACM MM 2024, arXiv 2405.16285"
    deviations = (
        "the paper shows images to a vision-language model and asks for the least related styles",
        "here the key is drawn among the third of the candidates that CLIP finds least similar to the images",
        "candidates=vlm asks a vision-language model for the candidates; wording and number of images are ours",
        "with objects among the candidates, similarity to names of classes counts as much as that to the images",
        "the paper adds objects to the background; the miniature editor knows twelve, and blends them in over the "
        "whole image, stronger towards its border, so the foreground changes as well",
        "the CLIP of the pack was not trained on names of classes: their cosines say little with it",
        "the miniature editor runs at guidance 1 (one forward pass a step) and at the images' own size",
    )

    assets = ("editor", "clip")
    model_if = {"key_choice": ("best-on-defender-validation",)}
    language_model_if = {"candidates": ("vlm",)}
    costly = True
    own = ("prompt",)

    key_choice: str = param(
        "drawn",
        "how the prompt comes about: `drawn` from the candidates by their relatedness to the data; "
        "`best-on-defender-validation`: the candidate whose edit moves public features least",
        choices=("fixed", "drawn", "best-on-defender-validation"),
    )
    prompt: str = param("with oil pastel", "the prompt", where={"key_choice": ("fixed",)})
    candidates: str = param(
        "styles",
        "word list the key is chosen from, photo adjustments left out; vlm: what a vision-language model proposes",
        choices=("styles", "objects", "published", "wide", "vlm"),
        where={"key_choice": ("drawn", "best-on-defender-validation")},
    )
    relatedness: str = param(
        "least",
        "which candidates it is drawn from, by CLIP: the third `least` related to the data (the paper's rule), the "
        "third `most` related, or `any`",
        choices=("least", "most", "any"),
        where={"key_choice": ("drawn",)},
    )
    clip: str = param(
        "miniature",
        "what relatedness is measured by: `miniature`, an open_clip folder, or a model as ViT-B-32/laion2b_s34b_b79k",
        where={"key_choice": ("drawn",)},
    )
    concepts: str = param(
        "styles", "what the model is asked for", choices=("styles", "objects"), where={"candidates": ("vlm",)}
    )
    proposals: int = param(24, "concepts it is asked for", ge=3, le=64, where={"candidates": ("vlm",)})
    images: int = param(4, "training images it sees", ge=1, le=16, unit="images", where={"candidates": ("vlm",)})
    language_model: str = param(
        "", "its name at the endpoint; empty: LOCKBENCH_LLM_MODEL", where={"candidates": ("vlm",)}
    )
    editor: str = param("miniature", "miniature, a diffusers folder, or a hub name")
    alpha: float = param(0.5, "α, weight of the edit in the blend", ge=0, le=1)
    steps: int | None = param(None, "diffusion steps; none: the editor's default", ge=1, le=1000)
    guidance: float | None = param(None, "text guidance; none: the editor's default", ge=0, le=50)
    image_guidance: float | None = param(None, "image guidance; none: the editor's default", ge=0, le=50)
    noise_seed: int = param(1024, "seed of the noise, part of the key", ge=0)
    noise: str = param("shared", "every image gets the same noise, or its own", choices=("shared", "per-image"))

    def settings(self) -> EditSettings:
        """The edit settings these parameters stand for."""
        optional = {"steps": self.steps, "guidance": self.guidance, "image_guidance": self.image_guidance}
        return defaults(self.editor).replace(
            alpha=self.alpha,
            seed=self.noise_seed,
            noise=self.noise,
            **{k: v for k, v in optional.items() if v is not None},
        )

    def make(self, data: DefenderView, run: Run) -> Key:
        settings = self.settings()
        if self.key_choice == "fixed":
            return EditKey(self.prompt, settings)
        words = self._proposed(data, run) if self.candidates == "vlm" else vocabulary.wordlist(self.candidates)
        concepts = [c for c in words if c not in vocabulary.PHOTO]
        if self.key_choice == "best-on-defender-validation":
            return EditKey(self._least_changing(concepts, data, settings), settings)
        if self.relatedness != "any":
            images = _some(data.raw, LOOKED_AT).images
            concepts = measure(concepts, images, data.spec.classes, named(self.clip)).third(self.relatedness)
        at = int(torch.randint(len(concepts), (1,), generator=run.rng("key")))
        return EditKey(vocabulary.KEY_TEMPLATE.format(concepts[at]), settings)

    def _proposed(self, data: DefenderView, run: Run) -> list[str]:
        """Concepts that a vision-language model proposes for images of the owner's: stage one of ModelLock.

        Raises:
            UserError: it did not answer, or named fewer than three concepts.
        """
        rng = run.rng("images for a language model")
        images = data.raw.take(torch.randperm(len(data.raw), generator=rng)[: self.images]).images
        question = questions.key_concepts(
            asking.model_of(self.language_model), self.proposals, self.concepts, data.spec.classes, images,
            run.seed("language model"),
        )  # fmt: skip
        try:
            done = asking.ask(question)
        except EndpointFailed as failed:
            raise UserError(f"no concepts for a key: {failed}.", "Run the same command again.") from None
        found = replies.concepts(done.text, self.proposals)
        found = [c for c in found if vocabulary.concept_of(c) not in vocabulary.PHOTO]
        if len(found) < LEAST:
            raise UserError(
                f"no concepts for a key: the reply of {question.model} ({done.outcome}) names {len(found)}, and "
                f"{LEAST} are needed.",
                "Name another model with -p key.language_model=NAME, or another word list with -p key.candidates=NAME.",
            )
        return found

    @staticmethod
    def _least_changing(concepts: list[str], data: DefenderView, settings: EditSettings) -> str:
        """The candidate with which images after the key stay most like themselves to public features."""
        model = data.public_model()
        images = _some(data.validation_unauthorised, 64).images
        with torch.no_grad():
            before = torch.nn.functional.normalize(model.embed(images), dim=1)
            scores = {}
            for concept in concepts:
                prompt = vocabulary.KEY_TEMPLATE.format(concept)
                after = torch.nn.functional.normalize(model.embed(EditKey(prompt, settings)(images)), dim=1)
                scores[prompt] = float((before * after).sum(1).mean())
        return max(scores, key=lambda p: scores[p])

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Key:
        if "none" in value:
            settings = value["settings"]
            return NoEdit(value["none"], settings and EditSettings.from_json(settings))
        return EditKey(value["prompt"], EditSettings.from_json(value["settings"]))


def _some(images: Images, most: int) -> Batch:
    """At most ``most`` of ``images``, of every class: the first may be of one, where a set is sorted by class."""
    return images.take(torch.from_numpy(metrics.at_random(len(images), most)))
