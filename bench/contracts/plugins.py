"""The kinds of plugin: locks, attacks, keys, data sets, models and editors."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor

from bench.contracts.images import Spec
from bench.contracts.models import Classifier, Predictor
from bench.contracts.run import Run
from bench.contracts.views import AttackerView, DefenderNeeds, DefenderView
from bench.contracts.withheld import Withheld
from bench.params import Parametrised
from bench.threat import Acceptance, ThreatModel

if TYPE_CHECKING:
    from bench.datasets.base import Dataset


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
    language_model_if: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Parameter values for which a language model is asked: its name is then part of a cell's identity. The parameter
    ``language_model`` names it; empty: that of the environment."""
    quick: ClassVar[Mapping[str, Any]] = {}
    """Parameters of a short run: conformance uses them."""


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

    # A key of single pixels has `comes_last = True`: training varies images first, and applies the key after that.
    # A key that moves pixels also has `labels(masks)`: masks (N, H, W) int64 after the same moves. See `moved_masks`.
    # A key in the weights also has `apply(weights, withheld)`: the working model's state dict. See `weights_after`.


def moved_masks(key: Callable[[Tensor], Tensor], masks: Tensor) -> Tensor:
    """Masks (N, H, W) int64 after ``key``: as its ``labels`` moves them, or as they are where it has none."""
    move = getattr(key, "labels", None)
    return masks if move is None else move(masks)


def weights_after(key: Key, weights: Mapping[str, Tensor], withheld: Mapping[str, Withheld]) -> Mapping[str, Tensor]:
    """The classifier's weights by name after ``key``: as its ``apply`` changes them, or as they are where it has none.

    A key works on the state dict, not on a classifier, since the harness builds none of a guest's.

    Args:
        weights: of the classifier that ships.
        withheld: what its lock withheld, by parameter.
    """
    apply = getattr(key, "apply", None)
    return weights if apply is None else apply(weights, withheld)


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


class KeyMethod(Plugin):
    """How a key comes about."""

    pair: ClassVar[bool] = False
    """True: the key stands for the right to one domain, and goes with tasks ``SOURCE:TARGET`` only."""
    costly: ClassVar[bool] = False
    """True where applying the key takes more than a few milliseconds an image; time estimates use it."""
    own: ClassVar[tuple[str, ...]] = ()
    """Parameters that say which key it is. Where a lock was made elsewhere, one of them must be given."""
    model_if: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Parameter values for which the key depends on the public model: it is then part of the key's identity."""
    in_weights: ClassVar[bool] = False
    """True: the key is the weights that its lock withholds. It goes with locks whose own key is such a key."""

    @abc.abstractmethod
    def make(self, data: DefenderView, run: Run) -> Key:
        """The key of this replicate, with randomness from ``run.rng``. ``data.raw`` is granted."""

    @classmethod
    @abc.abstractmethod
    def from_json(cls, value: Mapping[str, Any]) -> Key:
        """The key that `Key.to_json` wrote."""


class Lock(Plugin):
    """A protection method."""

    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    """Kinds of task it runs on: see `bench.contracts.KINDS`."""
    unsuited: ClassVar[str] = ""
    """Why it does not run on the others; the end of a sentence."""
    unsuited_values: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """Of a kind of task, the values that do not go with it, as ``parameter=value``, and why; the end of a sentence."""
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
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    """Kinds of task it runs on: see `bench.contracts.KINDS`."""
    unsuited: ClassVar[str] = ""
    """Why it does not run on the others; the end of a sentence."""
    unsuited_values: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """Of a kind of task, the values that do not go with it, as ``parameter=value``, and why; the end of a sentence."""

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

    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    """The one kind of task it is: see `bench.contracts.KINDS`. `Dataset.kind` says the same."""
    prefix: ClassVar[bool] = False
    """True: the task is ``NAME:FOLDER``. The folder is `path`; its name, and names and content of its files, are part
    of a cell's identity. Where it lies is not."""
    path: Path = Path()
    licence: ClassVar[str] = ""
    """The licence of the images, as their owners name it; empty where they are yours, or drawn here."""
    archives: ClassVar[Mapping[str, tuple[int | None, str]]] = {}
    """Where the data are published: URL -> bytes, or None where they are not stated, and a checksum such as
    ``md5:…``, or ``""``."""
    unpacked: ClassVar[tuple[str, ...]] = ()
    """Files or folders, any of which is there where the data are here: below the folder of data, or a full path. Name
    what comes last of a download."""
    package: ClassVar[str] = ""
    """The Python package that carries the data."""
    remedy: ClassVar[str] = ""
    """What to do where the data are not here and nothing fetches them."""
    parts: ClassVar[Mapping[str, tuple[int, tuple[str, ...]]]] = {}
    """Sets of which the task names one, as ``NAME:PART``: part -> images, and folders that may hold its classes, below
    the folder of data. The name is in `part`. Names and content of the part's files are in a cell's identity."""
    part: str = ""
    reads: ClassVar[Mapping[str, str]] = {}
    """Folders that are read under a value of a parameter: ``NAME=VALUE`` -> folder below that of the data. Its content
    is part of a cell's identity."""
    images_of: ClassVar[str] = ""
    """The set whose images these are, or are made of: two sets of one such set are no pair."""
    split_alike: ClassVar[bool] = False
    """True where image i is made of image i of `images_of` and `Dataset.origin` names it: they are a pair then."""

    @staticmethod
    def progress(done: int, total: int) -> None:
        """Called by a source that takes long, with images done and images in all; whoever loads it may replace it."""

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

    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    """Kinds of task it answers: see `bench.contracts.KINDS`."""
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
