"""Attacks in a row: each works on what the one before handed back, as if that were the locked model."""

from __future__ import annotations

from typing import Any

import torch

from attacks.kit.front import InFront, images_after, of_specs
from attacks.kit.input import Transform
from bench.contracts import Attack, AttackerView, Classifier, Images, Predictor, Run, ThreatModel
from bench.predictors import Direct, Queried


def in_a_row(attacks: list[Attack], target: AttackerView, run: Run) -> Predictor:
    """What the last of ``attacks`` hands back.

    Each attack sees the classifier that the one before handed back, and unauthorised images after its transforms.
    Submissions of every attack are handed in with all transforms before it in front.

    Args:
        attacks: at least one, in order.

    Raises:
        TypeError: an attack handed back neither a classifier nor one behind transforms, and is not the last.
    """
    transforms: list[Transform] = []
    classifier: Classifier | None = None
    for i, attack in enumerate(attacks):
        view: Any = After(target, classifier, transforms) if i else target
        torch.manual_seed(run.seed(f"attack {i}"))
        predictor = attack.unlock(view, InFrontOf(run, transforms, i))
        if i == len(attacks) - 1:
            break
        more, classifier = taken_apart(predictor)
        transforms = [*transforms, *more]
    return InFront.of(predictor, *transforms) if transforms else predictor


def taken_apart(predictor: Predictor) -> tuple[list[Transform], Classifier | None]:
    """The transforms of ``predictor`` and the classifier behind them; None for the locked model behind its interface.

    Raises:
        TypeError: it is built otherwise.
    """
    if isinstance(predictor, InFront):
        inner, classifier = taken_apart(predictor.inner)
        return [*predictor.chain, *inner], classifier
    if isinstance(predictor, Direct):
        return [], predictor.classifier
    if isinstance(predictor, Queried):
        return [], None
    raise TypeError(f"no attack can follow one that hands back {type(predictor).__name__}")


class After:
    """What an attacker has after a first attack: its classifier, and unauthorised images after ``transforms``.

    Everything else is the view's own.

    Args:
        target: the attacker's view.
        classifier: what the attack before handed back, whose weights the attacker then has; None: the locked model.
        transforms: what changes the images, in order; copies are used.
    """

    def __init__(self, target: AttackerView, classifier: Classifier | None, transforms: list[Transform]) -> None:
        self._target, self._classifier = target, classifier
        self._chain = of_specs([t.spec for t in transforms])
        self._chain.load_state_dict(torch.nn.Sequential(*transforms).state_dict())
        self._images: dict[str, Images] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    @property
    def threat(self) -> ThreatModel:
        """That of the view; behind an interface too, a student of the attacker's own is at hand with its weights."""
        threat = self._target.threat
        return threat if self._classifier is None else ThreatModel(**{**threat.values(), "access": "weights"})

    @property
    def classifier(self) -> Classifier:
        if self._classifier is None:
            return self._target.classifier
        return self._classifier

    @property
    def labelled(self) -> Images:
        return self._changed("labelled")

    @property
    def unlabelled(self) -> Images:
        return self._changed("unlabelled")

    def _changed(self, name: str) -> Images:
        if name not in self._images:
            self._images[name] = images_after(getattr(self._target, name), self._chain)
        return self._images[name]


class InFrontOf:
    """The run of an attack whose predictors stand behind ``transforms``.

    Everything but `submit` is the run's own: random numbers of one name are the same for every attack in a row.

    Args:
        run: of the whole row.
        transforms: those of the attacks before.
        place: of the attack in the row, from 0; every submission notes it.
    """

    def __init__(self, run: Run, transforms: list[Transform], place: int) -> None:
        self._run, self._transforms, self._place = run, transforms, place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    def submit(self, predictor: Predictor, **note: Any) -> None:
        """Hand in ``predictor`` behind the transforms."""
        whole = InFront.of(predictor, *self._transforms) if self._transforms else predictor
        self._run.submit(whole, place=self._place, **note)
