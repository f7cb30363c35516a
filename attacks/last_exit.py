"""Last exit: of a model with several exits one is used whatever its routing says."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attacks.kit.selection import mutual_information
from bench.contracts import Acceptance, Attack, AttackerView, Classifier, Images, Predictor, Run, ThreatModel, param
from bench.predictors import Direct


class LastExit(Attack):
    """The route between the exits of a locked model is ignored: nothing is trained, no label is used for the last one.

    It applies to a classifier with a method ``exits(embedding)`` that gives (N, E, K + extra) logits. Any other model
    comes back as it is.
    """

    title = "last exit"
    paper = "ours, against ENL-DEE, CVPR 2026"
    selection = "own-labels-or-mutual-information"
    against = ("enl-dee",)
    unsuited = "exits answer for whole images"
    defaults = {
        "threat.access": "weights", "threat.share": 0.0, "threat.unlabelled": False,
        "threat.wordlist": "none", "threat.known": "none",
    }  # fmt: skip

    exit: str = param(
        "last", "`last`: the deepest exit; `best`: chosen on the attacker's images", choices=("last", "best")
    )

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), images=self.exit == "best")

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        model = target.classifier.eval()
        if not callable(getattr(model, "exits", None)):
            run.submit(Direct(model), what="no exits: the model as it is")
            return Direct(model)
        if self.exit == "last":
            return AtExit(model, -1)
        labelled = target.threat.share > 0
        answers, labels = _with_labels(model, target.labelled if labelled else target.unlabelled, labelled)
        if labelled:
            scores = [float((answers[:, e].argmax(1) == labels).float().mean()) for e in range(answers.shape[1])]
        else:
            scores = [float(mutual_information(answers[:, e])) for e in range(answers.shape[1])]
        best = max(range(len(scores)), key=lambda e: (scores[e], e))
        run.submit(AtExit(model, best), exit=best, scores=[round(s, 4) for s in scores])
        return AtExit(model, best)


class AtExit(Predictor):
    """The K real outputs of one exit of a classifier.

    Args:
        classifier: has ``exits``.
        exit: which one; −1 is the last.
    """

    def __init__(self, classifier: Classifier, exit: int) -> None:
        super().__init__()
        self.classifier, self.exit = classifier, exit

    def arguments(self) -> dict[str, Any]:
        return {"exit": self.exit}

    def describe(self) -> dict[str, Any]:
        return {"exit": self.exit}

    def predict(self, images: Tensor) -> Tensor:
        return _exits(self.classifier, images)[:, self.exit]


def every_exit(model: Classifier, images: Tensor) -> Tensor:
    """(N, E, K) logits of every exit, to images (N, 3, H, W) of any number, read in batches."""
    return torch.cat([_exits(model, part) for part in images.split(256)])


def _exits(model: Classifier, images: Tensor) -> Tensor:
    """(N, E, K) logits of every exit."""
    logits: Tensor = model.exits(model.embed(images))  # type: ignore[operator]
    return logits[:, :, : model.k]


@torch.no_grad()
def _with_labels(model: Classifier, images: Images, labelled: bool) -> tuple[Tensor, Tensor]:
    """Logits (N, E, K) of all exits, and labels (N,), or none."""
    device = next(model.parameters()).device
    answers, labels = [], [torch.zeros(0, dtype=torch.int64)]
    for batch in images.batches(256):
        answers.append(_exits(model, batch.images.to(device)).cpu())
        if labelled:
            labels.append(batch.labels.cpu())
    return torch.cat(answers), torch.cat(labels)
