"""The data and rights of one experiment: splits of its data, and who gets what of them.

Keyed (one data set): authorised inputs are its images after the key, unauthorised ones its raw images. Domain
(``SOURCE:TARGET``): authorised inputs are source images, unauthorised ones target images.

Test and judge-validation images are the same for every seed. The rest is divided between defender and
attacker by the split seed, stratified by class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.contracts import Images, Spec
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

    Every split holds at least one image of every class.
    """
    fixed = torch.Generator().manual_seed(derive("split", task=dataset.origin or dataset.name, part="fixed"))
    moving = torch.Generator().manual_seed(seed)
    parts: dict[str, list[Tensor]] = {name: [] for name in (*SHARES, "defender")}
    for label in range(len(dataset.classes)):
        at = torch.nonzero(dataset.labels == label).flatten()
        at = at[torch.randperm(len(at), generator=fixed)]
        taken = 0
        for name in ("test", "judge_validation"):
            n = max(1, round(SHARES[name] * len(at)))
            parts[name].append(at[taken : taken + n])
            taken += n
        rest = at[taken:]
        rest = rest[torch.randperm(len(rest), generator=moving)]
        taken = 0
        for name in ("defender_validation", "attacker"):
            n = max(1, round(SHARES[name] * len(at)))
            parts[name].append(rest[taken : taken + n])
            taken += n
        parts["defender"].append(rest[taken:])
    return Splits(**{name: torch.cat(ps).sort().values for name, ps in parts.items()})


def draw_share(labels: Tensor, pool: Tensor, share: float, reference: int, seed: int) -> Tensor:
    """A stratified draw from ``pool``: ``share`` of ``reference`` images, at least one a class; nested in the share.

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

    def images(self, part: Tensor) -> Images:
        """The labelled images at the indices ``part``."""
        return Images(self.dataset.images[part], self.dataset.labels[part])


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
        return Spec(size=int(dataset.images.shape[-1]), classes=tuple(dataset.classes))

    @property
    def sides(self) -> tuple[Side, ...]:
        """Both sides, or the one there is."""
        return (self.authorised, self.unauthorised) if self.is_domain else (self.authorised,)

    @property
    def notes(self) -> dict[str, Any]:
        """What the data sets have to tell of themselves."""
        return {k: v for side in self.sides for k, v in side.dataset.notes.items() if v}

    def fingerprint(self) -> str:
        """Digest of data and splits."""
        return digest([[side.dataset.fingerprint, side.splits.fingerprint] for side in self.sides])


def load(task: str, replicate: int, **options: Any) -> Scenario:
    """The scenario ``task`` for one replicate. Tuning replicates get data from their own generator seed.

    Raises:
        UserError: no such data, or the classes of source and target are not the same.
    """
    from bench import datasets, seeds

    generator = 1 if seeds.is_tuning(replicate) else 0
    seed = derive("split", task=task, replicate=replicate)
    sides = []
    for name in datasets.pair(task) or (task,):
        dataset = datasets.load(name, generator_seed=generator, **options)
        sides.append(Side(dataset, split(dataset, seed)))
    source, target = sides[0], sides[-1]
    if source.dataset.classes != target.dataset.classes:
        text = " and ".join(
            f"{side.dataset.name} has {len(side.dataset.classes)} ({', '.join(side.dataset.classes)})" for side in sides
        )
        raise UserError(
            f"Source and target must have the same classes in the same order: {text}.",
            "Pair two sets of one label list; for folders give both the same sub-folders.",
        )
    return Scenario(source, target)
