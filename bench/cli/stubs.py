"""The plugins that `bench new` writes: working ones, to be changed from."""

from __future__ import annotations

import ast
import keyword
import re
import sys
from pathlib import Path

from bench import registry
from bench.errors import UserError
from bench.paths import user_path
from bench.source_files import ROOT

LOCK = '''"""TITLE: what it does, in one line."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from bench.contracts import Batch, Classifier, DefenderView, Key, Lock, Run, param


class CLASS(Lock):
    """One line that `bench list` prints.

    Then the objective in the paper's symbols: L = CE(f(key(x)), y) − w · CE(f(x), y), the second term capped.
    """

    title = "TITLE"
    paper = "ours"  # or authors, title, venue, identifier
    deviations = ()  # what differs from the paper, and why
    key = "edit"
    quick = {"steps": 3}  # a short run, for conformance

    weight: float = param(0.1, "w, weight of the unauthorised term", ge=0, le=10)
    steps: int = param(300, "optimiser steps", ge=1, le=100_000, unit="steps")
    rate: float = param(5e-4, "peak learning rate of AdamW", ge=1e-6, le=1)

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        def loss(authorised: Batch, unauthorised: Batch) -> Tensor:
            keep = F.cross_entropy(victim.logits(authorised.images), authorised.labels)
            hurt = F.cross_entropy(victim.logits(unauthorised.images), unauthorised.labels)
            return keep - self.weight * hurt.clamp(max=10)

        run.fit(victim, loss, self.steps, data.authorised, data.unauthorised, rate=self.rate, augment=data.augment)
        return victim
'''

ATTACK = '''"""TITLE: what it does, in one line."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from bench.contracts import Acceptance, Attack, AttackerView, Batch, Predictor, Run, ThreatModel, param
from bench.predictors import Direct


class CLASS(Attack):
    """One line that `bench list` prints.

    Here: fine-tune the locked model on the labelled images of the view.
    """

    title = "TITLE"
    paper = "ours"  # or authors, title, venue, identifier
    selection = "last"  # a rule of bench/selection.py, or a pair: a name and a sentence
    quick = {"steps": 3}  # a short run, for conformance
    defaults = {"threat.access": "weights", "threat.share": 0.01, "threat.wordlist": "none", "threat.known": "none"}

    steps: int = param(100, "optimiser steps", ge=1, le=100_000, unit="steps")
    rate: float = param(1e-4, "peak learning rate of AdamW", ge=1e-6, le=1)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(["weights"], labelled=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        model = target.classifier

        def loss(batch: Batch) -> Tensor:
            return F.cross_entropy(model.logits(batch.images), batch.labels)

        run.fit(model, loss, self.steps, target.labelled, rate=self.rate)
        return Direct(model)
'''


TASK = '''"""TITLE: where the images come from, in one line."""

from __future__ import annotations

import torch

from bench.contracts import DataSource
from bench.datasets.base import Dataset


class CLASS(DataSource):
    """One line that `bench list` prints: how many images of what, and how many classes."""

    title = "TITLE"
    paper = "ours"  # or authors, title, venue, identifier

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        rng = torch.Generator().manual_seed(generator_seed)
        labels = torch.arange(300) % 3
        images = torch.randint(0, 90, (300, 3, size, size), generator=rng, dtype=torch.uint8)
        for label in range(3):  # a bright bar at the left, in the middle, or at the right
            images[labels == label, :, :, label * size // 3 : (label + 1) * size // 3] += 120
        return Dataset("NAME", images, labels, ("left", "middle", "right"))
'''
LONGEST = 60
"""Characters of a name."""
PACKAGES = ("attacks", "bench", "diffusers", "locks", "numpy", "pandas", "reports", "timm", "torch", "transformers")
"""Packages that a plugin file must not hide from others beside it."""
STUBS = {"lock": (LOCK, Path("locks")), "attack": (ATTACK, Path("attacks")), "task": (TASK, Path("bench/datasets"))}
"""Kind -> the text of a stub, and its room."""


def write(kind: str, name: str, folder: Path | None = None) -> Path:
    """Write the stub of a lock, attack or task called ``name``.

    Raises:
        UserError: another kind, a name that is no identifier, or the file exists.
    """
    if kind not in STUBS:
        raise UserError(f"cannot write a new '{kind}'.", f"Use: bench new KIND NAME, KIND one of {', '.join(STUBS)}.")
    check_name(kind, name)
    text, room = STUBS[kind]
    file = user_path(folder or room) / f"{name.replace('-', '_')}.py"
    if file.exists():
        raise UserError(f"{file} exists already.", "Choose another name, or remove it first.")
    names = {"TITLE": name.replace("-", " "), "CLASS": class_of(name), "NAME": name}
    for mark, value in names.items():
        text = text.replace(mark, value)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}.", "Name another --folder.") from None
    return file


def is_found(kind: str, file: Path) -> bool:
    """Whether the plugin in ``file`` is known without being named: it lies where the project keeps its own."""
    return file.resolve().parent == (ROOT / STUBS[kind][1]).resolve()


def class_of(name: str) -> str:
    """The class of the plugin ``name``: ``my-lock`` is ``MyLock``."""
    return name.replace("-", " ").title().replace(" ", "")


def _imported(text: str) -> set[str]:
    """The names that the file ``text`` imports."""
    return {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }


def check_name(kind: str, name: str) -> None:
    """Whether ``name`` can be the name of a new plugin of ``kind``, and its file's name a module of its own.

    Raises:
        UserError: it is no plugin name, a plugin of the kind has it, or Python needs it.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or len(name) > LONGEST:
        raise UserError(f"'{name}' is no plugin name.", "Lower-case words joined by hyphens, e.g. my-lock.")
    module, another = name.replace("-", "_"), f"Choose another, e.g. my-{name}."
    if keyword.iskeyword(module) or keyword.issoftkeyword(module):
        raise UserError(f"'{name}' is a word of Python.", another)
    taken = registry.INSTALLED.get(kind, name)
    if taken is not None:
        what = "control" if taken.role == "control" else kind
        raise UserError(f"the {what} '{name}' comes with LockBench already.", another)
    if class_of(name) in _imported(STUBS[kind][0]):
        raise UserError(f"the class {class_of(name)} would hide what the file imports under that name.", another)
    if module in sys.stdlib_module_names:
        raise UserError(f"'{name}' is a module of Python's own, which a file of that name would hide.", another)
    if module in PACKAGES:
        raise UserError(f"'{name}' is a package that LockBench imports.", another)
    if (ROOT.joinpath(*registry.ROOMS[kind].split(".")) / f"{module}.py").exists():
        raise UserError(f"LockBench has a module '{module}' beside its plugins already.", another)
