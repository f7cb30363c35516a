"""The data and rights of one experiment: splits of a data set, and who gets what of them.

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
from bench.records import digest
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
    fixed = torch.Generator().manual_seed(derive("split", task=dataset.name, part="fixed"))
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
class Scenario:
    """A data set with its splits: the keyed scenario (authorised: after the key; un-authorised: raw)."""

    dataset: Dataset
    splits: Splits

    @property
    def spec(self) -> Spec:
        return Spec(size=int(self.dataset.images.shape[-1]), classes=tuple(self.dataset.classes))

    def images(self, part: Tensor) -> Images:
        """The labelled images at the indices ``part``."""
        return Images(self.dataset.images[part], self.dataset.labels[part])

    def fingerprint(self) -> str:
        """Digest of data and splits."""
        return digest([self.dataset.fingerprint, self.splits.fingerprint])


def load(task: str, replicate: int, **options: Any) -> Scenario:
    """The scenario ``task`` for one replicate. Tuning replicates get data from their own generator seed."""
    from bench import datasets, seeds

    generator = 1 if seeds.is_tuning(replicate) else 0
    dataset = datasets.load(task, generator_seed=generator, **options)
    return Scenario(dataset, split(dataset, derive("split", task=task, replicate=replicate)))
