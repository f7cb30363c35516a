"""Wrong editor: the right prompt in an editor that is run otherwise. How much of the key is the editor?"""

from __future__ import annotations

import random
from typing import Any

from attacks.kit.access import ANSWERS, ask, handle
from attacks.kit.input import subset
from attacks.kit.selection import guess_score
from bench.contracts import Acceptance, Attack, AttackerView, Predictor, Run, ThreatModel, param
from bench.editors.settings import EditSettings, defaults
from bench.predictors import Edited


class WrongEditor(Attack):
    """The right prompt in the attacker's own editor, at its own settings.

    By default these are the editor's plain settings with another noise seed. With ``candidates``, that many random
    settings are tried as well, and the best is used: by log-probability of the label on labelled images, else by the
    label-free score.
    """

    title = "wrong editor"
    paper = "ours; it tests the claim of Gao et al., 2024, that prompt and diffusion model are both needed"
    keys = ("edit",)
    assets = ("editor",)
    selection = "own-scorer"
    tasks = ("classification", "segmentation")
    defaults = {
        "threat.access": "logits",
        "threat.share": 0.0,
        "threat.known": "prompt",
        "threat.wordlist": "none",
    }
    quick = {"steps": 3}

    editor: str = param("miniature", "the attacker's editor: miniature, a diffusers folder, or a hub name")
    steps: int | None = param(None, "diffusion steps; none: the editor's default", ge=1, le=1000)
    guidance: float | None = param(None, "text guidance; none: the editor's default", ge=0, le=50)
    image_guidance: float | None = param(None, "image guidance; none: the editor's default", ge=0, le=50)
    alpha: float | None = param(None, "α, weight of the edit in the blend; none: the editor's default", ge=0, le=1)
    noise_seed: int = param(7, "seed of the noise; the published key has 1024", ge=0)
    noise: str = param("shared", "every image gets the same noise, or its own", choices=("shared", "per-image"))
    candidates: int = param(0, "further random settings to try", ge=0, le=1000)
    most: int = param(32, "images each candidate is scored on", ge=1, le=1024, unit="images")

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(ANSWERS, images=self.candidates > 0, known=("prompt",))

    def settings(self) -> EditSettings:
        """The settings these parameters stand for."""
        optional = {n: getattr(self, n) for n in ("steps", "guidance", "image_guidance", "alpha")}
        return defaults(self.editor).replace(
            seed=self.noise_seed, noise=self.noise, **{n: v for n, v in optional.items() if v is not None}
        )

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        prompt = str(target.known["prompt"])
        plain = self.settings()
        best = plain
        run.submit(Edited(handle(target), prompt, best.to_json()), settings=best.to_json())
        if self.candidates:
            score = self._scorer(prompt, target, run)
            best_score = score(plain)
            rng = random.Random(run.seed("settings"))
            for i in range(self.candidates):
                other = plain.replace(**self._random(rng, plain))
                if (value := score(other)) > best_score:
                    best, best_score = other, value
                    predictor = Edited(handle(target), prompt, best.to_json())
                    run.submit(predictor, settings=best.to_json(), score=round(best_score, 4))
                run.progress(i + 1, self.candidates, "editor settings")
        return Edited(handle(target), prompt, best.to_json())

    @staticmethod
    def _random(rng: random.Random, plain: EditSettings) -> dict[str, Any]:
        """Values that a user of the editor might have set."""
        guide = rng.random() < 0.5
        return {
            "steps": rng.choice((3, 4, 5, 6, 8, 10, 20)),
            "alpha": rng.choice((0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)),
            "guidance": rng.choice((1.5, 3.0, 4.5, 7.5)) if guide else plain.guidance,
            "image_guidance": rng.choice((1.0, 1.5)) if guide else plain.image_guidance,
            "seed": rng.choice((plain.seed, 0, 1, 42, 1234)),
        }

    def _scorer(self, prompt: str, target: AttackerView, run: Run):  # type: ignore[no-untyped-def]
        """A function of settings: how well the locked model does on the attacker's images edited so."""
        labelled = target.threat.share > 0
        images = subset(target.labelled if labelled else target.unlabelled, self.most, run.rng("images"))

        def score(settings: EditSettings) -> float:
            outputs = ask(target, run.edit(images.images, prompt, settings.to_json()))
            return guess_score(outputs, images.labels if labelled else None, target.spec.k)

        return score
