"""What each side is handed: `DefenderView`, `AttackerView` and what a lock declares to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from bench.contracts.images import Augment, Images, Spec
from bench.contracts.models import Classifier
from bench.threat import Budget, ThreatModel


@dataclass(frozen=True)
class DefenderNeeds:
    """What a lock reads. What is not named raises `AccessDenied`. The record keeps it."""

    authorised: bool = True
    authorised_labels: bool = True
    unauthorised: bool = True
    unauthorised_labels: bool = True
    raw: bool = False
    victim: bool = True
    """False: `Lock.protect` gets an untrained model, and what derives from the oracle is null."""


class DefenderView(Protocol):
    """What the owner has. Authorised images are keyed already, so a lock need not know how.

    Every set is uint8 in memory on the CPU; batches from ``run.steps`` and ``run.fit`` are float32 on ``run.device``.
    A property that the lock's `DefenderNeeds` does not name raises `AccessDenied`.
    """

    spec: Spec
    augment: Augment
    """How the victim's training images were varied. A lock that trains uses it, so that no drop comes from training
    without it."""

    @property
    def authorised(self) -> Images:
        """Training images after the key, or of the source domain; with labels where ``authorised_labels``."""
        ...

    @property
    def unauthorised(self) -> Images:
        """Training images that the model must fail on: raw ones, or those of the target domain."""
        ...

    @property
    def raw(self) -> Images:
        """Labelled training images of the authorised side before the key."""
        ...

    @property
    def validation_authorised(self) -> Images:
        """As `authorised`, of the owner's validation split."""
        ...

    @property
    def validation_unauthorised(self) -> Images:
        """As `unauthorised`, of the owner's validation split."""
        ...

    def public_model(self, extra: int = 0) -> Classifier:
        """A new copy of the victim's architecture with public weights, on the CPU, in evaluation mode.

        Args:
            extra: outputs beyond the K real classes.
        """
        ...


class AttackerView(Protocol):
    """What the attacker has, made from the cell's threat model, never from the plugin.

    Every set is uint8 in memory on the CPU. A property that the threat model withholds raises `AccessDenied`; the cell
    is then invalid, even where the attack catches the error.
    """

    spec: Spec
    threat: ThreatModel
    budget: Budget

    @property
    def classifier(self) -> Classifier:
        """The locked model itself, on ``run.device``, in evaluation mode; ``threat.access`` is ``weights``."""
        ...

    @property
    def labelled(self) -> Images:
        """Labelled unauthorised images: ``threat.share`` of the defender's training count."""
        ...

    @property
    def unlabelled(self) -> Images:
        """Unlabelled unauthorised images: the attacker's pool."""
        ...

    @property
    def authorised(self) -> Images:
        """Labelled authorised images: ``threat.authorised`` of the defender's training count."""
        ...

    @property
    def leaked_pairs(self) -> tuple[Images, Images]:
        """Unlabelled raw images, and the same images after the key: ``threat.leaked`` pairs."""
        ...

    @property
    def known(self) -> Mapping[str, Any]:
        """The key parts that ``threat.known`` names, by name; a part that the key does not have is absent."""
        ...

    def query(self, images: Tensor) -> Tensor:
        """The locked model's answer to ``images`` (N, 3, H, W): (N, K + extra) logits, or ones at the label.

        Raises:
            AccessDenied: the threat model gives no interface.
            BudgetSpent: the query budget does not cover the images.
        """
        ...

    def wordlist(self) -> Sequence[str]:
        """The concepts the attacker would try, in order; without the key's where ``threat.listed`` is false."""
        ...

    def propose(self, n: int, scores: Mapping[str, float]) -> Sequence[str]:
        """At most ``n`` concepts that a language model proposes; none where it refused or answered something else.

        The harness words the question. It holds names of classes, the editor where it is known, the word list, and
        ``scores``. A concept that is tried is a guess like any other.

        Args:
            n: 1 to 64.
            scores: concepts tried so far with a finite score, higher is better; at most 64. Each is a word of the list
                or was proposed before.

        Raises:
            AccessDenied: the threat model gives no language model.
            BudgetSpent: the budget of calls is spent.
        """
        ...

    def public_model(self, extra: int = 0) -> Classifier:
        """A new copy of the victim's architecture with public weights, on the CPU, in evaluation mode."""
        ...
