"""Weight repair: weights that look changed are found, reset and trained; the others stay as they are."""

from __future__ import annotations

from attacks.kit.suspects import find_suspects, level, of_places
from attacks.kit.zeros import Zeros
from attacks.mask_recovery import MaskRecovery
from bench.contracts import AttackerView, Classifier, Run, param

RULES = {"auto": ("repeated", "public"), "repeated": ("repeated",), "public": ("public",), "size": ("size",)}


class WeightRepair(MaskRecovery):
    """Weights that stick out are taken for the lock's, and filled in anew.

    Suspects are values that occur too often in a layer to be chance, and weights far from the public model's. A lock
    that takes weights out leaves one value, one that pushes weights to a limit leaves two. Suspects get the public
    weight, the mean of their layer or a random value, then they alone are trained. Where the key part `geometry` is
    known, suspects are the withheld places.
    """

    title = "weight repair"
    paper = "ours; it inverts NNSplitter, ICML 2023, and AdaLoc, arXiv 2511.18772"
    against = ("nn-splitter", "ada-loc")  # type: ignore[assignment]

    fill: str = param(
        "auto",
        "`public`: the public model's weights; `mean`: the mean of the layer's other weights; `neighbours`: random, "
        "with the filter's own statistics; `train`: suspects alone are trained, from the public fill; `auto`: all, "
        "and the best is chosen",
        choices=("auto", "public", "mean", "neighbours", "train"),
    )
    find: str = param(
        "auto",
        "suspects: `repeated` values; far from `public` weights; far from the layer's median `size`; `auto`: the first "
        "two",
        choices=("auto", "repeated", "public", "size"),
    )
    z: float = param(
        8.0, "robust standard deviations beyond which a weight is far", ge=1, le=1000,
        where={"find": ("auto", "public", "size")},
    )  # fmt: skip

    def _places(self, target: AttackerView) -> Zeros:
        model, known = target.classifier, target.known.get("geometry")
        if isinstance(known, dict):
            return of_places(model, known)
        public = target.public_model(model.extra)
        return find_suspects(model, public, RULES[self.find], self.z)

    def _fills(self, target: AttackerView, zeros: Zeros, run: Run) -> dict[str, Classifier]:
        fills = super()._fills(target, zeros, run)
        if self.fill in ("auto", "mean"):
            fills["mean"] = level(target.classifier, zeros)
        return fills
