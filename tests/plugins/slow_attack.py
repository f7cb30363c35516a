"""An attack for tests that notes what it does and waits a while, so that a test can kill where it runs."""

from __future__ import annotations

import time
from typing import Any

import torch
from slow_helper import note
from torch import Tensor

from bench.contracts import Acceptance, Attack, AttackerView, Predictor, Run, ThreatModel, param


class SlowGuess(Predictor):
    """The brighter an image, the later its class; the first answer takes a while."""

    def __init__(self, k: int, seconds: float, notes: str) -> None:
        super().__init__()
        self.k, self.seconds, self.notes = k, seconds, notes

    def arguments(self) -> dict[str, Any]:
        return {"k": self.k, "seconds": self.seconds, "notes": self.notes}

    def predict(self, images: Tensor) -> Tensor:
        note(self.notes, "judge")
        time.sleep(self.seconds)
        self.seconds = 0.0
        guess = (images.mean((1, 2, 3)) * self.k).long().clamp(0, self.k - 1)
        return torch.nn.functional.one_hot(guess, self.k).float()


class SlowAttack(Attack):
    """A guess by brightness, after a while."""

    paper = "ours"
    selection = "last"
    defaults = {"threat.access": "weights", "threat.share": 0.1}
    seconds: float = param(1.0, "how long it waits", ge=0, le=600)
    variant: int = param(0, "tells one attack from another", ge=0, le=1000)
    notes: str = param("", "folder in which it notes that it is at work")

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return Acceptance()

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        note(self.notes, "unlock")
        time.sleep(self.seconds)
        return SlowGuess(target.spec.k, self.seconds, self.notes)
