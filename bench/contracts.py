"""What a plugin author implements, and what an author is handed. Everything here stands on the ground.

A plugin is one class in one file: a `Lock` in ``locks/``, an `Attack` in ``attacks/``, a `KeyMethod` in
``bench/keys/``. Images are (N, 3, H, W) float32 in [0, 1]; labels (N,) int64; K is the number of real
classes. ``docs/contracts.md`` walks the later methods of the field through these classes.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from bench.params import BadParameter, Parametrised, param
from bench.threat import AccessDenied, Budget, BudgetSpent, ThreatModel

__all__ = [
    "AccessDenied", "Attack", "AttackerView", "BadParameter", "Batch", "Budget", "BudgetSpent", "Classifier",
    "DefenderNeeds", "DefenderView", "EditStage", "Images", "Key", "KeyMethod", "Lock", "Plugin", "Predictor",
    "Run", "Spec", "ThreatModel", "param",
]  # fmt: skip

EditStage = Callable[[int, Tensor], Tensor]
"""Called after each stage of a classifier with its index and activation; what it returns goes on."""


@dataclass(frozen=True)
class Spec:
    """The task as everybody may know it: image side length, real classes and their names, what is predicted.

    ``ignore`` is the mask value that segmentation scores leave out.
    """

    size: int
    classes: tuple[str, ...]
    kind: str = "classification"
    ignore: int | None = None

    @property
    def k(self) -> int:
        """K, the number of real classes."""
        return len(self.classes)


@dataclass(frozen=True)
class Batch:
    """Images (N, 3, H, W), labels (N,) or masks (N, H, W) or None, and each image's index in its source (N,)."""

    images: Tensor
    labels: Tensor | None
    index: Tensor


class Images:
    """A set of images, perhaps labelled, in memory as uint8; hands out float32 in [0, 1].

    Args:
        images: (N, 3, H, W) uint8.
        labels: (N,) int64, or (N, H, W) int64 masks, or None.
    """

    def __init__(self, images: Tensor, labels: Tensor | None = None) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise TypeError(f"images must be (N, 3, H, W) uint8, not {tuple(images.shape)} {images.dtype}")
        if labels is not None and len(labels) != len(images):
            raise ValueError(f"{len(images)} images but {len(labels)} labels")
        self.pixels = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def images(self) -> Tensor:
        """(N, 3, H, W) float32 in [0, 1]."""
        return self.pixels.float() / 255

    def take(self, index: Tensor) -> Batch:
        """The batch at ``index`` (M,) int64."""
        labels = None if self.labels is None else self.labels[index]
        return Batch(self.pixels[index].float() / 255, labels, index)

    def subset(self, index: Tensor) -> Images:
        """The images at ``index`` as a set of their own."""
        return Images(self.pixels[index], None if self.labels is None else self.labels[index])

    def unlabelled(self) -> Images:
        """The same images without labels."""
        return Images(self.pixels)


class Plugin(Parametrised):
    """What locks, attacks and key methods share. Class variables must be literals, read without importing."""

    title: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    role: ClassVar[str] = "method"  # method | control | given
    deviations: ClassVar[tuple[str, ...]] = ()  # what differs from the paper, and why
    published: ClassVar[tuple[str, ...]] = ()  # files of reports/published that hold the paper's numbers
    files: ClassVar[tuple[str, ...]] = ()  # parameters that name files: their content is part of a cell's identity


class Classifier(nn.Module, abc.ABC):
    """A model that a JSON ``spec`` and a state dict rebuild; a class of one's own is named as ``spec["class"]``.

    Normalisation is inside. Outputs are (N, K + extra): a lock may ship more outputs than classes.
    """

    spec: dict[str, Any]
    k: int
    extra: int

    @abc.abstractmethod
    def forward(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        """(N, K + extra) logits, or (N, K + extra, H, W) for segmentation."""

    @abc.abstractmethod
    def features(self, images: Tensor, edit_stage: EditStage | None = None) -> list[Tensor]:
        """The activation after each stage, first to last: (N, C, h, w), or (N, tokens, C) in a transformer."""

    @abc.abstractmethod
    def embed(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        """(N, D), what the head sees; (N, D, h, w) for segmentation."""

    @abc.abstractmethod
    def head(self, embedding: Tensor) -> Tensor:
        """What `embed` gives to (N, K + extra), or (N, K + extra, h, w)."""


class Predictor(nn.Module, abc.ABC):
    """What an attack hands back. ``arguments`` (JSON), ``parts`` and the state dict rebuild it elsewhere.

    Subclasses are rebuilt as ``cls(**arguments(), **parts)``, then their state is loaded; see
    `bench.predictors`, which has the usual ones.
    """

    transductive: ClassVar[bool] = False
    """True where predictions depend on the batch or on its order; the judge then feeds fixed batches."""

    @abc.abstractmethod
    def predict(self, images: Tensor) -> Tensor:
        """(N, K) scores over the real classes, or (N, K, H, W). Called without gradients, never in inference mode."""

    def arguments(self) -> dict[str, Any]:
        """JSON arguments of the constructor, apart from inner classifiers and predictors."""
        return {}

    def forward(self, images: Tensor) -> Tensor:
        return self.predict(images)


@runtime_checkable
class Key(Protocol):
    """What the rightful user holds: a value with a JSON form, applied to images.

    A key that runs a model of its own says how large it is by a method ``megabytes() -> float`` (10^6 bytes).
    """

    def __call__(self, images: Tensor) -> Tensor:
        """Authorised images: (N, 3, H, W) in [0, 1] to the same."""
        ...

    def labels(self, masks: Tensor) -> Tensor:
        """What labels (or masks) become: the same, unless the key moves pixels."""
        ...

    def parts(self) -> Mapping[str, Any]:
        """The named parts an attacker may know: prompt, editor, settings, geometry."""
        ...

    def conditions(self, seed: int) -> Mapping[str, Key]:
        """The wrong, near and partial keys to judge the lock with, by name."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Everything needed to make the same key again, with ``method`` naming its key method."""
        ...


@dataclass(frozen=True)
class DefenderNeeds:
    """What a lock reads. What is not named raises `AccessDenied`."""

    authorised: bool = True
    authorised_labels: bool = True
    unauthorised: bool = True
    unauthorised_labels: bool = True
    raw: bool = False
    victim: bool = True  # False: `protect` gets an untrained model, and what derives from the oracle is null


class KeyMethod(Plugin):
    """How a key comes about."""

    @abc.abstractmethod
    def make(self, data: DefenderView, run: Run) -> Key:
        """The key of this replicate; randomness from ``run.rng``."""

    @classmethod
    @abc.abstractmethod
    def from_json(cls, value: Mapping[str, Any]) -> Key:
        """The key that `Key.to_json` wrote."""


class Lock(Plugin):
    """A protection method."""

    key: ClassVar[str] = "edit"  # name of the default key method

    def needs(self) -> DefenderNeeds:
        """What `protect` reads, from the lock's parameters."""
        return DefenderNeeds()

    @abc.abstractmethod
    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        """The locked classifier. ``victim`` is a copy of its own: it may be changed and returned."""


class Attack(Plugin):
    """A way to use the locked model without its key.

    A parameter ``select`` stands for a choice of selection rules and takes the place of ``selection`` in the record;
    where it is ``oracle``, the judge picks among the submissions on judge-validation images, and the row is flagged.
    """

    selection: ClassVar[str] = "last"  # the rule by which it chooses what it hands back
    keys: ClassVar[tuple[str, ...]] = ()  # key methods it speaks to; none named: any
    against: ClassVar[tuple[str, ...]] = ()  # locks it was written against: the adaptive line of their tables
    defaults: ClassVar[Mapping[str, Any]] = {}  # threat.* and budget.* it is usually run under

    @abc.abstractmethod
    def accepts(self, threat: ThreatModel) -> bool:
        """Whether the attack can run under ``threat``."""

    @abc.abstractmethod
    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        """The attacker's predictor on un-authorised images."""


class DefenderView(Protocol):
    """What the owner has. ``authorised`` and ``unauthorised`` are already keyed, so a lock need not know how.

    ``augment(images, rng)`` varies images as the victim's training did; a lock that trains uses it, so that no
    drop comes from training without it.
    """

    spec: Spec
    augment: Callable[[Tensor, torch.Generator], Tensor]

    @property
    def authorised(self) -> Images: ...
    @property
    def unauthorised(self) -> Images: ...
    @property
    def raw(self) -> Images: ...
    @property
    def validation_authorised(self) -> Images: ...
    @property
    def validation_unauthorised(self) -> Images: ...
    def public_model(self, extra: int = 0) -> Classifier: ...


class AttackerView(Protocol):
    """What the attacker has, built from the cell's threat model, never from the plugin."""

    spec: Spec
    threat: ThreatModel
    budget: Budget

    @property
    def classifier(self) -> Classifier: ...
    @property
    def labelled(self) -> Images: ...
    @property
    def unlabelled(self) -> Images: ...
    @property
    def authorised(self) -> Images: ...
    @property
    def leaked_pairs(self) -> tuple[Images, Images]: ...
    @property
    def known(self) -> Mapping[str, Any]: ...
    def query(self, images: Tensor) -> Tensor: ...
    def wordlist(self) -> Sequence[str]: ...
    def public_model(self, extra: int = 0) -> Classifier: ...


@dataclass
class Meter:
    """What was spent; what cannot be known is None, never 0."""

    steps: int = 0
    forward_images: int = 0
    backward_images: int = 0
    queries: int | None = None
    edited: int = 0
    guesses: int = 0
    labelled: int | None = None
    authorised: int | None = None
    leaked: int | None = None
    seconds: float | None = None
    peak_memory_mb: float | None = None

    def reading(self) -> dict[str, Any]:
        return dict(self.__dict__)


@dataclass(frozen=True)
class Submission:
    """A predictor handed in at a reading of the meters."""

    predictor: Predictor
    meter: dict[str, Any]
    note: Mapping[str, Any] = field(default_factory=dict)


class Run(Protocol):
    """What a plugin works with: device, randomness, training, edits, meters."""

    device: torch.device
    meter: Meter
    budget: Budget

    def seed(self, name: str) -> int:
        """A seed of this run for the purpose ``name``."""
        ...

    def rng(self, name: str) -> torch.Generator:
        """A CPU generator seeded for the purpose ``name``."""
        ...

    def progress(self, done: int, total: int, what: str = "") -> None: ...

    def steps(
        self, n: int, *sources: Images, batch: int | Sequence[int] = 64, name: str = "steps"
    ) -> Iterator[tuple[Batch, ...]]:
        """``n`` tuples, one shuffled batch of each source, on the device; ``batch`` for all or one for each."""
        ...

    def fit(
        self,
        model: nn.Module,
        loss: Callable[..., Tensor],
        n: int,
        *sources: Images,
        rate: float = 1e-3,
        batch: int | Sequence[int] = 64,
        decay: float = 0.05,
        name: str = "fit",
        parameters: Any = None,
        warmup: float = 0.1,
        clip: float = 1.0,
        train_mode: bool = True,
        augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    ) -> None:
        """Minimise ``loss(*batches)`` over ``parameters``, by default those of ``model`` that require gradients.

        The rest of ``model`` requires none meanwhile.
        """
        ...

    def edit(self, images: Tensor, prompt: str, settings: Mapping[str, Any]) -> Tensor:
        """``images`` after the edit ``prompt``, blended and rounded as ``settings`` say; metered."""
        ...

    def edits(
        self, images: Tensor, prompts: Sequence[str], settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, Tensor]]:
        """`edit` for many prompts over the same images: (prompt, edited images), what can be shared shared."""
        ...

    def guess(self, prompt: str) -> None:
        """Count ``prompt`` as tried."""
        ...

    def note(self, **values: Any) -> None:
        """JSON values that a lock has to tell of itself, kept in the record under ``notes["lock"]``."""
        ...

    def submit(self, predictor: Predictor, **note: Any) -> None:
        """Hand in ``predictor`` at the present reading of the meters; the judge scores it later."""
        ...

    def artefact(
        self, name: str, inputs: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """``make()``, or what an earlier run with equal ``inputs`` made."""
        ...
