"""The data and rights of one experiment: splits of its data, and who gets what of them.

Keyed (one data set): authorised inputs are its images after the key, unauthorised ones its raw images. Domain
(``SOURCE:TARGET``): authorised inputs are source images, unauthorised ones target images.

Test and judge-validation images are the same for every seed. The rest is divided between defender and
attacker by the split seed, stratified by class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.contracts import Images, Spec
from bench.datasets.alignment import aligned
from bench.datasets.base import Dataset
from bench.errors import UserError
from bench.hashing import digest
from bench.seeds import derive

SHARES = {"test": 0.22, "judge_validation": 0.1, "defender_validation": 0.08, "attacker": 0.2}
"""Share of each class in each split; the rest is the defender's training set."""


@dataclass(frozen=True)
class Splits:
    """Index lists (int64, sorted) into a data set; disjoint."""

    defender: Tensor
    defender_validation: Tensor
    attacker: Tensor
    judge_validation: Tensor
    test: Tensor

    @property
    def fingerprint(self) -> str:
        """Digest of every index list."""
        return digest({name: part.tolist() for name, part in self.__dict__.items()})


def split(dataset: Dataset, seed: int) -> Splits:
    """The splits of ``dataset``; ``seed`` moves everything but test and judge-validation.

    Every split holds at least one image of every class. Images of one group are in one split; shares of a class are
    then as near as whole groups allow.

    Raises:
        UserError: groups so few or so large that a split would lack a class.
    """
    fixed = torch.Generator().manual_seed(derive("split", task=dataset.origin or dataset.name, part="fixed"))
    moving = torch.Generator().manual_seed(seed)
    draw = _Draw(dataset)
    orders = []
    for label in range(len(dataset.classes)):
        at = torch.nonzero(dataset.labels == label).flatten()
        at = at[torch.randperm(len(at), generator=fixed)]
        for name in ("test", "judge_validation"):
            draw.fill(name, at, at, max(1, round(SHARES[name] * len(at))))
        orders.append(at)
    for at in orders:
        rest = at[draw.free(at)]
        rest = rest[torch.randperm(len(rest), generator=moving)]
        for name in ("defender_validation", "attacker"):
            draw.fill(name, at, rest, max(1, round(SHARES[name] * len(at))))
    splits = Splits(**{name: draw.taken(name) for name in (*SHARES, "defender")})
    if dataset.kind == "segmentation":
        _check_filled(dataset, splits)
    else:
        _check_whole(dataset, splits)
    return splits


class _Draw:
    """Images of a data set being given to splits, whole groups at a time; what no split takes is the defender's."""

    def __init__(self, dataset: Dataset) -> None:
        n = len(dataset)
        groups = torch.arange(n) if dataset.groups is None else dataset.groups.unique(return_inverse=True)[1]
        self._group, self._labels = groups.numpy(), dataset.labels.numpy()
        self._split = np.full(int(groups.max()) + 1 if n else 0, -1)  # of each group
        self._names = [*SHARES, "defender"]

    def free(self, at: Tensor) -> Tensor:
        """(M,) bool: which of the images ``at`` no split has."""
        return torch.from_numpy(self._split[self._group[at.numpy()]] < 0)

    def fill(self, name: str, own: Tensor, order: Tensor, n: int) -> None:
        """Give split ``name`` groups of the images ``own`` of a class until it has about ``n`` of them.

        Args:
            order: those of them to choose from, in the order in which they are chosen.
        """
        split, groups = self._names.index(name), self._group[own.numpy()]
        have = int((self._split[groups] == split).sum())
        sizes = np.bincount(groups, minlength=len(self._split))
        for group in self._group[order.numpy()]:
            if have >= n:
                break
            more = int(sizes[group])
            # A group that overshoots by more than what is missing is left, but where the split has nothing yet.
            if self._split[group] >= 0 or (have and have + more - n > n - have):
                continue
            self._split[group] = split
            have += more

    def taken(self, name: str) -> Tensor:
        """The images of split ``name``, sorted: (M,) int64."""
        split = self._names.index(name)
        of = self._split[self._group]
        return torch.from_numpy(np.flatnonzero((of == split) | ((of < 0) & (name == "defender"))))


def _check_filled(dataset: Dataset, splits: Splits) -> None:
    """Whether every split has an image; on masks a rare class may be in none of one split's.

    Raises:
        UserError: one has none.
    """
    empty = [name.replace("_", "-") for name, part in splits.__dict__.items() if not len(part)]
    if empty:
        raise UserError(
            f"{dataset.name}: {len(dataset)} images leave the split {empty[0]} empty.",
            f"Add images: there are {len(SHARES) + 1} splits, and images that are alike stay together.",
        )


def _check_whole(dataset: Dataset, splits: Splits) -> None:
    """Whether every split has every class.

    Raises:
        UserError: one has not.
    """
    for label, kind in enumerate(dataset.classes):
        for name, part in splits.__dict__.items():
            if not bool((dataset.labels[part] == label).any()):
                images = int((dataset.labels == label).sum())
                what = "has too few groups" if dataset.groups is not None else f"has {images} images"
                raise UserError(
                    f"{dataset.name}: class '{kind}' {what}: its {name.replace('_', '-')} split is empty.",
                    f"There are {len(SHARES) + 1} splits, and images that are equal or of one group stay together: add "
                    "images. Where -p task.groups=folder is set, leave it out.",
                )


def draw_share(labels: Tensor, pool: Tensor, share: float, reference: int, seed: int) -> Tensor:
    """A draw from ``pool``: ``share`` of ``reference`` images, as many of each class; nested in the share.

    At least one of a class, and all of it where it has fewer.

    Args:
        labels: (N,) of the whole data set.
        pool: indices to draw from.
        share: 0 gives none.
        reference: the count that the share is of (the defender's training set).
        seed: decides the order in which images enter as the share grows.
    """
    if share <= 0:
        return pool[:0]
    rng = torch.Generator().manual_seed(seed)
    classes = labels.unique().tolist()
    per_class = max(1, round(share * reference / len(classes)))
    out = []
    for label in classes:
        at = pool[labels[pool] == label]
        out.append(at[torch.randperm(len(at), generator=rng)][:per_class])
    return torch.cat(out).sort().values


@dataclass(frozen=True)
class Side:
    """A data set with its splits: what one side of a scenario is drawn from."""

    dataset: Dataset
    splits: Splits

    @property
    def origin(self) -> str:
        """The set that image i was made from: sides of one origin hold the same images, each in its own form."""
        return self.dataset.origin or self.dataset.name

    def images(self, part: Tensor) -> Images:
        """The labelled images at the indices ``part``; they are read when they are used. In segmentation with masks."""
        dataset = self.dataset
        labels = dataset.masks if dataset.kind == "segmentation" else dataset.labels
        return Images(dataset.images, labels).subset(part)


@dataclass(frozen=True)
class Scenario:
    """Where authorised inputs (before the key) and unauthorised ones come from; one and the same when keyed."""

    authorised: Side
    unauthorised: Side

    @property
    def is_domain(self) -> bool:
        """Whether the two sides are different data."""
        return self.authorised is not self.unauthorised

    @property
    def spec(self) -> Spec:
        dataset = self.authorised.dataset
        return Spec(size=int(dataset.images.shape[-1]), classes=tuple(dataset.classes), kind=dataset.kind)

    @property
    def sides(self) -> tuple[Side, ...]:
        """Both sides, or the one there is."""
        return (self.authorised, self.unauthorised) if self.is_domain else (self.authorised,)

    @property
    def notes(self) -> dict[str, Any]:
        """What the data sets have to tell of themselves; lists of both sides one after the other."""
        out: dict[str, Any] = {}
        for side in self.sides:
            for name, value in side.dataset.notes.items():
                if not value:
                    continue
                known = out.get(name)
                if isinstance(known, list) and isinstance(value, list):
                    value = [*known, *(v for v in value if v not in known)]
                out[name] = value
        return out

    def fingerprint(self) -> str:
        """Digest of data and splits."""
        return digest([[side.dataset.fingerprint, side.splits.fingerprint] for side in self.sides])


def load(task: str, replicate: int, **options: Any) -> Scenario:
    """The scenario ``task`` for one replicate. Tuning replicates get data from their own generator seed.

    Raises:
        UserError: no such data, or the classes of source and target are not the same.
    """
    from bench import datasets, seeds
    from bench.records import name_of

    generator = 1 if seeds.is_tuning(replicate) else 0
    task = datasets.located(task)
    seed = derive("split", task=name_of(task), replicate=replicate)
    sides: list[Side] = []
    for name in datasets.pair(task) or (task,):
        dataset = datasets.load(name, generator_seed=generator, **options)
        if dataset.kind != datasets.kind(name):
            raise UserError(
                f"{name} declares tasks = ('{datasets.kind(name)}',), and its data are of {dataset.kind}.",
                "Let the plugin's tasks and Dataset.kind say the same.",
            )
        if sides and dataset.kind == sides[0].dataset.kind:
            dataset = aligned(sides[0].dataset, dataset)
        sides.append(Side(dataset, split(dataset, seed)))
    source, target = sides[0], sides[-1]
    if source.dataset.kind != target.dataset.kind:
        raise UserError(
            f"{source.dataset.name} is a task of {source.dataset.kind}, {target.dataset.name} one of "
            f"{target.dataset.kind}.",
            "Pair two sets of one kind.",
        )
    if source.dataset.classes != target.dataset.classes:
        text = " and ".join(
            f"{side.dataset.name} has {len(side.dataset.classes)} ({', '.join(side.dataset.classes)})" for side in sides
        )
        raise UserError(
            f"Source and target must have the same classes in the same order: {text}.",
            "Pair two sets of one label list; for folders give both the same sub-folders.",
        )
    return Scenario(source, target)
