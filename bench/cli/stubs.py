"""The plugins that `bench new` writes: working ones, to be changed from."""

from __future__ import annotations

import re
from pathlib import Path

from bench.errors import UserError

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

    weight: float = param(0.1, "w, weight of the un-authorised term", ge=0, le=10)
    steps: int = param(300, "optimiser steps", ge=1, le=100_000, unit="steps")
    rate: float = param(5e-4, "peak learning rate of AdamW", ge=1e-6, le=1)

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        def loss(authorised: Batch, unauthorised: Batch) -> Tensor:
            assert authorised.labels is not None and unauthorised.labels is not None
            keep = F.cross_entropy(victim(authorised.images), authorised.labels)
            hurt = F.cross_entropy(victim(unauthorised.images), unauthorised.labels)
            return keep - self.weight * hurt.clamp(max=10)

        run.fit(victim, loss, self.steps, data.authorised, data.unauthorised, rate=self.rate)
        return victim
'''

ATTACK = '''"""TITLE: what it does, in one line."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from bench.contracts import Attack, AttackerView, Batch, Predictor, Run, ThreatModel, param
from bench.predictors import Direct


class CLASS(Attack):
    """One line that `bench list` prints.

    Here: fine-tune the locked model on the labelled images of the view.
    """

    title = "TITLE"
    paper = "ours"  # or authors, title, venue, identifier
    selection = "last step"  # the rule by which it chooses what it hands back; never by labels it should not have
    defaults = {"threat.access": "weights", "threat.share": 0.01, "threat.wordlist": "none", "threat.known": "none"}

    steps: int = param(100, "optimiser steps", ge=1, le=100_000, unit="steps")
    rate: float = param(1e-4, "peak learning rate of AdamW", ge=1e-6, le=1)

    def accepts(self, threat: ThreatModel) -> bool:
        return threat.access == "weights" and threat.share > 0

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        model = target.classifier

        def loss(batch: Batch) -> Tensor:
            assert batch.labels is not None
            return F.cross_entropy(model(batch.images), batch.labels)

        run.fit(model, loss, self.steps, target.labelled, rate=self.rate)
        return Direct(model)
'''


def write(kind: str, name: str, folder: Path | None = None) -> Path:
    """Write the stub of a ``lock`` or ``attack`` called ``name``.

    Raises:
        UserError: another kind, a name that is no identifier, or the file exists.
    """
    if kind not in ("lock", "attack"):
        raise UserError(f"cannot write a new '{kind}'.", "Use: bench new lock NAME, or bench new attack NAME.")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UserError(f"'{name}' is no plugin name.", "Lower-case words joined by hyphens, e.g. my-lock.")
    file = (folder or Path(f"{kind}s")) / f"{name.replace('-', '_')}.py"
    if file.exists():
        raise UserError(f"{file} exists already.", "Choose another name, or remove it first.")
    file.parent.mkdir(parents=True, exist_ok=True)
    words = name.replace("-", " ")
    text = LOCK if kind == "lock" else ATTACK
    file.write_text(text.replace("TITLE", words).replace("CLASS", words.title().replace(" ", "")), encoding="utf-8")
    return file
