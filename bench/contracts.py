"""What a plugin author implements, and what an author is handed. Everything here stands on the ground floor.

A plugin is one class in one file: a `Lock` in ``locks/``, an `Attack` in ``attacks/``, a `KeyMethod` in
``bench/keys/``, a `DataSource` in ``bench/datasets/``, an `Architecture` in ``bench/architectures/``, an `EditorSource`
in ``bench/editors/``. Images are (N, 3, H, W) float32 in [0, 1]; labels are (N,) int64 in [0, K); K is the number of
real classes. ``docs/contracts.md`` walks the later methods of the field through these classes.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from bench.params import BadParameter, Parametrised, param
from bench.selection import SelectionRule
from bench.threat import Acceptance, AccessDenied, Budget, BudgetSpent, ThreatModel

if TYPE_CHECKING:
    from bench.datasets.base import Dataset

__all__ = [
    "Acceptance",
    "AccessDenied",
    "Architecture",
    "Attack",
    "AttackerView",
    "Augment",
    "BadParameter",
    "Batch",
    "Budget",
    "BudgetSpent",
    "Classifier",
    "DataSource",
    "DefenderNeeds",
    "DefenderView",
    "EditStage",
    "EditorSource",
    "Images",
    "Key",
    "KeyCondition",
    "KeyMethod",
    "Lock",
    "Meter",
    "NoLabels",
    "Plugin",
    "Predictor",
    "Run",
    "SelectionRule",
    "Spec",
    "Submission",
    "ThreatModel",
    "param",
]  # fmt: skip

EditStage = Callable[[int, Tensor], Tensor]
"""Called after each stage of a classifier with its index and its activation; the return value goes on."""
Augment = Callable[[Tensor, torch.Generator], Tensor]
"""Images (N, 3, H, W) in [0, 1] and a CPU generator to images of the same shape and range."""


class NoLabels(ValueError):
    """The labels of a set or batch that has none were read."""

    def __init__(self) -> None:
        super().__init__("these images have no labels; ask `labelled` before reading `labels`")


@dataclass(frozen=True)
class Spec:
    """The task as everybody may know it.

    Args:
        size: side of the images, pixels.
        classes: names of the K real classes.
        kind: ``classification``; no task of another kind exists yet.
    """

    size: int
    classes: tuple[str, ...]
    kind: str = "classification"

    @property
    def k(self) -> int:
        """K, the number of real classes."""
        return len(self.classes)


class Batch:
    """Images with their labels, if any, and each image's index in its source.

    Args:
        images: (N, 3, H, W) float32 in [0, 1].
        labels: (N,) int64, or None.
        index: (N,) int64.
    """

    __slots__ = ("_labels", "images", "index")

    def __init__(self, images: Tensor, labels: Tensor | None, index: Tensor) -> None:
        self.images, self._labels, self.index = images, labels, index

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labelled(self) -> bool:
        """Whether there are labels."""
        return self._labels is not None

    @property
    def labels(self) -> Tensor:
        """(N,) int64.

        Raises:
            NoLabels: there are none.
        """
        if self._labels is None:
            raise NoLabels
        return self._labels

    def with_images(self, images: Tensor) -> Batch:
        """This batch with other images (N, 3, H, W) in place of its own."""
        return Batch(images, self._labels, self.index)

    def to(self, device: torch.device) -> Batch:
        """This batch on ``device``; the index stays where it is."""
        if device.type == "cpu":
            return self
        labels = None if self._labels is None else self._labels.to(device)
        return Batch(self.images.to(device), labels, self.index)


class Images:
    """A set of images, labelled or not, in memory as uint8; hands out float32 in [0, 1].

    Args:
        images: (N, 3, H, W) uint8.
        labels: (N,) int64, or None.

    Raises:
        TypeError: images of another shape or dtype.
        ValueError: another number of labels than of images.
    """

    def __init__(self, images: Tensor, labels: Tensor | None = None) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise TypeError(f"images must be (N, 3, H, W) uint8, not {tuple(images.shape)} {images.dtype}")
        if labels is not None and len(labels) != len(images):
            raise ValueError(f"{len(images)} images but {len(labels)} labels")
        self.pixels = images
        self._labels = labels

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def images(self) -> Tensor:
        """(N, 3, H, W) float32 in [0, 1]."""
        return self.pixels.float() / 255

    @property
    def labelled(self) -> bool:
        """Whether there are labels."""
        return self._labels is not None

    @property
    def labels(self) -> Tensor:
        """(N,) int64.

        Raises:
            NoLabels: there are none.
        """
        if self._labels is None:
            raise NoLabels
        return self._labels

    def take(self, index: Tensor) -> Batch:
        """The batch at ``index`` (M,) int64."""
        labels = None if self._labels is None else self._labels[index]
        return Batch(self.pixels[index].float() / 255, labels, index)

    def subset(self, index: Tensor) -> Images:
        """The images at ``index`` (M,) int64 as a set of their own."""
        return Images(self.pixels[index], None if self._labels is None else self._labels[index])

    def unlabelled(self) -> Images:
        """The same images without labels."""
        return Images(self.pixels)

    def with_pixels(self, pixels: Tensor) -> Images:
        """Other pixels (N, 3, H, W) uint8 with these labels, if any."""
        return Images(pixels, self._labels)


class Plugin(Parametrised):
    """What all plugins share. Class variables must be literals: they are read without importing the file."""

    title: ClassVar[str] = ""
    """The name in headings."""
    paper: ClassVar[str] = ""
    """Authors, title, venue and identifier, or ``ours``."""
    role: ClassVar[str] = "method"
    """``method``, ``control``, or ``given`` (made elsewhere)."""
    purpose: ClassVar[str] = ""
    """What a control is for: victim, must-open, must-not-open, public-baseline or no-attack."""
    deviations: ClassVar[tuple[str, ...]] = ()
    """What differs from the paper, and why; a sentence each."""
    published: ClassVar[tuple[str, ...]] = ()
    """Files of ``reports/published`` that hold the paper's numbers."""
    files: ClassVar[tuple[str, ...]] = ()
    """Parameters that name files. Their content is part of a cell's identity."""
    assets: ClassVar[tuple[str, ...]] = ()
    """Models the plugin runs: a name of `bench.assets`, or the name of a parameter that holds one. Their content is
    part of a cell's identity."""
    quick: ClassVar[Mapping[str, Any]] = {}
    """Parameters of a short run: conformance uses them."""


class Classifier(nn.Module, abc.ABC):
    """A model that a JSON ``spec`` and a state dict rebuild. Normalisation is inside.

    Outputs are (N, K + extra): a lock may ship more outputs than classes. A subclass is named in the spec as
    ``spec["class"] = "module:Class"`` and is rebuilt as ``Class(spec)``.
    """

    spec: dict[str, Any]
    k: int
    extra: int

    @abc.abstractmethod
    def forward(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        """(N, K + extra) logits: every output the model ships."""

    def logits(self, images: Tensor) -> Tensor:
        """(N, K) logits of the real classes."""
        outputs: Tensor = self(images)
        return outputs[:, : self.k]

    @abc.abstractmethod
    def features(self, images: Tensor, edit_stage: EditStage | None = None) -> list[Tensor]:
        """The activation after each stage, first to last: (N, C, h, w), or (N, tokens, C) in a transformer."""

    @abc.abstractmethod
    def embed(self, images: Tensor, edit_stage: EditStage | None = None) -> Tensor:
        """(N, D): what the head sees."""

    @abc.abstractmethod
    def head(self, embedding: Tensor) -> Tensor:
        """(N, D) embeddings to (N, K + extra) outputs."""


class Predictor(nn.Module, abc.ABC):
    """What an attack hands back.

    A predictor crosses to the judge as JSON and tensors. It is rebuilt as ``cls(**arguments(), **parts)``, then its
    state dict is loaded; ``parts`` are the classifiers and predictors it holds, by attribute name. `bench.predictors`
    has the usual ones.
    """

    transductive: ClassVar[bool] = False
    """True where predictions depend on the batch or on its order. The judge then feeds fixed batches."""
    costly: ClassVar[bool] = False
    """True where an image costs much more than a forward pass. The judge then scores all but the last submission on
    its first images only."""

    @abc.abstractmethod
    def predict(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) images in [0, 1] to (N, K) scores of the real classes.

        The judge calls it without gradients, in evaluation mode, never in inference mode.
        """

    def arguments(self) -> dict[str, Any]:
        """JSON arguments of the constructor, apart from inner classifiers and predictors."""
        return {}

    def transformed(self, images: Tensor) -> Tensor | None:
        """The images the model inside sees in place of ``images``, for samples; None where they stay as they are."""
        return None

    def describe(self) -> dict[str, Any]:
        """JSON facts about the choice it stands for, such as the prompt it uses; kept as `Record.selected`."""
        return {}

    def forward(self, images: Tensor) -> Tensor:
        """As `predict`."""
        return self.predict(images)


@runtime_checkable
class Key(Protocol):
    """What the rightful user holds: a value with a JSON form, applied to images."""

    def __call__(self, images: Tensor) -> Tensor:
        """Authorised images: (N, 3, H, W) in [0, 1] to the same shape and range."""
        ...

    def parts(self) -> Mapping[str, Any]:
        """The named parts an attacker may know; names are those of `bench.threat.KEY_PARTS`."""
        ...

    def conditions(self, seed: int) -> Sequence[KeyCondition]:
        """The other keys to judge the lock with: near, wrong and partial ones. ``seed`` draws among them."""
        ...

    def describe(self) -> str:
        """The key in words, for people."""
        ...

    def megabytes(self) -> float:
        """Size of the models the key runs, in 10^6 bytes; 0 where it runs none."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Everything needed to make the same key again, with ``method`` naming its key method."""
        ...


@dataclass(frozen=True)
class KeyCondition:
    """A key the lock is judged with.

    Args:
        kind: right, none, near, wrong, setting (one setting changed), random or partial.
        label: what tells it from others of its kind, such as a prompt or the setting's name.
        key: what is applied.
    """

    kind: str
    label: str
    key: Key


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


class KeyMethod(Plugin):
    """How a key comes about."""

    pair: ClassVar[bool] = False
    """True: the key stands for the right to one domain, and goes with tasks ``SOURCE:TARGET`` only."""
    costly: ClassVar[bool] = False
    """True where applying the key takes more than a few milliseconds an image; time estimates use it."""
    model_if: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Parameter values for which the key depends on the public model: it is then part of the key's identity."""

    @abc.abstractmethod
    def make(self, data: DefenderView, run: Run) -> Key:
        """The key of this replicate, with randomness from ``run.rng``. ``data.raw`` is granted."""

    @classmethod
    @abc.abstractmethod
    def from_json(cls, value: Mapping[str, Any]) -> Key:
        """The key that `Key.to_json` wrote."""


class Lock(Plugin):
    """A protection method."""

    key: ClassVar[str] = "edit"
    """Name of the default key method."""
    opened_by: ClassVar[str] = ""
    """Of a control that must open: the attack that opens it."""

    def needs(self) -> DefenderNeeds:
        """What `protect` reads, from the lock's parameters."""
        return DefenderNeeds()

    @abc.abstractmethod
    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        """The locked classifier.

        Args:
            victim: a copy of the lock's own, on ``run.device``; it may be changed and returned.
            key: what the rightful user will apply; ``data`` is keyed already.
            data: the owner's images.
            run: training, randomness, progress.
        """


class Attack(Plugin):
    """A way to use the locked model without its key.

    A parameter ``select`` offers several selection rules; its value takes the place of ``selection`` in the record.
    """

    selection: ClassVar[str | tuple[str, str]] = "last"
    """The rule by which the attack chooses what it hands back: a name of `bench.selection.RULES`, or a name and a
    sentence of its own."""
    keys: ClassVar[tuple[str, ...]] = ()
    """Key methods the attack speaks to; empty: any."""
    against: ClassVar[tuple[str, ...]] = ()
    """Locks the attack was written against: it is the adaptive line of their tables."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Fields ``threat.*`` and ``budget.*`` it runs under where a user sets nothing."""

    @abc.abstractmethod
    def accepts(self, threat: ThreatModel) -> Acceptance:
        """Whether the attack can run under ``threat``, or the reason why not.

        Most attacks return ``threat.grants(...)``.
        """

    @abc.abstractmethod
    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        """The attacker's predictor for unauthorised images."""


class DataSource(Plugin):
    """Where a labelled data set comes from: the plugin behind ``--task NAME``.

    The first line of the docstring says how many images of what, and how many classes: `bench list` prints it.
    """

    prefix: ClassVar[bool] = False
    """True: the task is ``NAME:FOLDER``. The folder is `path`; names, sizes and times of its files are part of a cell's
    identity."""
    path: Path = Path()

    @abc.abstractmethod
    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        """The data set, equal for equal arguments.

        Args:
            size: side of the images, pixels.
            generator_seed: of what is drawn; labels do not depend on it.
            skip_bad: go on without files that cannot be read, and name them in ``notes["skipped"]``.

        Raises:
            UserError: the data are not here and cannot be fetched, or cannot serve.
        """


class Architecture(Plugin):
    """A classifier's architecture with its public weights: the plugin behind ``--model NAME``."""

    steps: ClassVar[int] = 500
    """Optimiser steps of the victim's training."""
    rate: ClassVar[float] = 5e-4
    """Peak learning rate of the victim's training."""

    @abc.abstractmethod
    def build(self, task: Spec, extra: int, hidden: Sequence[int], public: bool) -> Classifier:
        """A classifier of K + ``extra`` outputs with a fresh head, drawn from torch's global generator.

        Args:
            task: the task.
            extra: outputs beyond the K real classes.
            hidden: widths of layers between the embedding and the outputs.
            public: load the public weights; False: all weights are drawn.

        Raises:
            UserError: the public weights cannot be had.
        """


class EditorSource(Plugin):
    """Where a text-guided editor comes from: the plugin behind ``--editor NAME``."""

    @abc.abstractmethod
    def folder(self) -> Path:
        """The folder of a diffusers InstructPix2Pix pipeline with safetensors weights.

        Raises:
            UserError: it is not here and cannot be fetched.
        """

    @abc.abstractmethod
    def settings(self) -> dict[str, Any]:
        """Fields of `bench.editors.settings.EditSettings` that the editor is used with where a user sets nothing."""


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

    def public_model(self, extra: int = 0) -> Classifier:
        """A new copy of the victim's architecture with public weights, on the CPU, in evaluation mode."""
        ...


@dataclass
class Meter:
    """What was spent. What cannot be known is None, never 0."""

    steps: int | None = 0
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
        """Every meter by name, as it stands."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Submission:
    """A predictor handed in at a reading of the meters."""

    predictor: Predictor
    meter: dict[str, Any]
    note: Mapping[str, Any] = field(default_factory=dict)


class Run(Protocol):
    """What a plugin works with: device, randomness, training, edits, meters. `bench.training.Run` is the one."""

    device: torch.device
    meter: Meter
    budget: Budget

    def seed(self, name: str) -> int:
        """A seed in [0, 2**31) of this run for the purpose ``name``."""
        ...

    def rng(self, name: str) -> torch.Generator:
        """A new CPU generator seeded for the purpose ``name``."""
        ...

    def progress(self, done: int, total: int, what: str = "") -> None:
        """Report progress: ``done`` of ``total`` steps of ``what``."""
        ...

    def steps(
        self, n: int, *sources: Images, batch: int | Sequence[int] = 64, name: str = "steps"
    ) -> Iterator[tuple[Batch, ...]]:
        """``n`` tuples with one shuffled batch of each source, on the device.

        Args:
            batch: images a batch, for all sources or one number each; at most the source's size.
            name: of the random numbers that shuffle.

        Raises:
            ValueError: a source without images.
        """
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
        augment: Augment | None = None,
        optimiser: Callable[[Any], torch.optim.Optimizer] | None = None,
        schedule: Callable[[float], float] | None = None,
        backward: Callable[[Callable[[], Tensor], Sequence[nn.Parameter]], Any] | None = None,
        each: Callable[[int], None] | None = None,
        precision: str = "float32",
    ) -> None:
        """Minimise ``loss(*batches)``: AdamW, linear warm-up, cosine rate, gradient norm clipped.

        Every step counts on the meter, and a spent budget raises `BudgetSpent`. The model ends in evaluation mode.

        Args:
            model: trained in place, on ``run.device``.
            loss: one batch of each source to a scalar.
            n: optimiser steps.
            rate: peak learning rate.
            batch: as in `steps`.
            decay: weight decay of matrices; vectors have none.
            name: of the random numbers that shuffle and augment.
            parameters: what is trained, as `torch.optim.AdamW` takes it; by default every parameter of ``model`` that
                requires gradients. The rest of ``model`` requires none meanwhile.
            warmup: share of the steps over which the rate rises.
            clip: largest gradient norm; 0: no clipping.
            train_mode: False keeps dropout off and batch-norm statistics frozen.
            augment: applied to every batch of images, with a generator of its own.
            optimiser: makes the optimiser from ``parameters``; by default AdamW.
            schedule: share of the steps done, in [0, 1), to the factor of the rate; by default warm-up and cosine.
            backward: in place of ``loss().backward()``: gets the loss as a function and the trained parameters, and
                leaves gradients in ``grad``.
            each: called before every step with the number of steps done.
            precision: ``float32``, or ``bfloat16`` for autocast.
        """
        ...

    def edit(self, images: Tensor, prompt: str, settings: Mapping[str, Any]) -> Tensor:
        """``images`` (N, 3, H, W) after the edit ``prompt``, blended and rounded as ``settings`` say; metered.

        Raises:
            BudgetSpent: the budget does not cover the images.
        """
        ...

    def edits(
        self, images: Tensor, prompts: Sequence[str], settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, Tensor]]:
        """`edit` for many prompts over the same images: each prompt with the edited images, lazily."""
        ...

    def guess(self, prompt: str) -> None:
        """Count ``prompt`` as tried.

        Raises:
            BudgetSpent: the budget of guesses is spent.
        """
        ...

    def note(self, **values: Any) -> None:
        """Keep JSON values about the lock in the record, as `Record.lock_notes`."""
        ...

    def submit(self, predictor: Predictor, **note: Any) -> None:
        """Hand in ``predictor`` at the present reading of the meters; the judge scores it later.

        Args:
            note: JSON values kept beside its point of the curve.
        """
        ...

    def artefact(
        self, name: str, inputs: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """``make()``, or the tensors of an earlier run with equal ``inputs`` (JSON) and the same victim and code."""
        ...
