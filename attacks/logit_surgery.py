"""Logit surgery: drop outputs, undo a bias or a permutation. Opens locks that hide in the last layer."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.kit.access import ask, handle
from attacks.kit.input import at_most
from attacks.kit.output_maps import (
    Fit,
    Map,
    even_out,
    fixed,
    half_whitening,
    judged,
    leave_images_out,
    leave_one_out,
    likeliest,
    regression,
    rename,
    residual,
    sign_of,
    spread,
)  # fmt: skip
from attacks.kit.students import ROUND, affordable
from bench.contracts import Acceptance, Attack, AttackerView, Predictor, Run, ThreatModel, param
from bench.pixels import some_rows
from bench.predictors import LogitMap


class LogitSurgery(Attack):
    """A linear map of the locked model's outputs, fitted to the attacker's images.

    Without labels it takes the first K outputs and evens out the class priors on unlabelled images. It takes their
    negatives where one class stands out below the others: a lock that teaches wrong classes avoids the true one. With
    labels it first chooses a base: the first K outputs, their negatives, or the best one-to-one renaming of outputs by
    the labels, each also with even priors. Leave-one-out accuracy decides, between equals the likelihood. It then hands
    back a ridge regression of the labels on the outputs, shrunk towards the base instead of 0. The evidence sets how
    far: a wrong base weighs little. Leave-one-out cannot judge the regression, which with one label a class never sees
    the class left out.

    In segmentation the map is fitted to some pixels of each image, and priors are those of the labels. Classes are not
    even there, so without labels it takes the first K outputs. With labels, mean IoU on images left out decides between
    the bases, and between the best one and its regression.
    """

    title = "logit surgery"
    paper = "ours; prior correction after Saerens et al., 2002; evidence after MacKay, Bayesian Interpolation, 1992"
    selection = (
        "leave-one-out-and-evidence",
        "the base by leave-one-out on the attacker's labelled images, the distance from it by its evidence",
    )
    against = ("staining",)
    tasks = ("classification", "segmentation")
    defaults = {"threat.access": "logits", "threat.share": 0.01, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"rounds": 1}

    rounds: int = param(30, "rounds of evening out the class priors", ge=1, le=1000)
    trust: float = param(3.0, "spread of the base's answers, where that of one-hot labels is 1", ge=0, le=100)
    ridge: float | None = param(
        None, "λ of the regression, on outputs of unit variance; none: by its evidence", ge=1e-6, le=1e6
    )

    pixels: int = param(256, "pixels of each image that a map is fitted to, in segmentation", ge=1, le=1_000_000)

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights", "logits"), images=True)

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        if target.spec.is_dense:
            return self._unlock_pixels(target, run)
        k = target.spec.k
        inner = handle(target)
        run.submit(inner, what="as it is")  # whatever the budget, something was handed in
        labelled = target.labelled if target.threat.share > 0 else None
        labelled_outputs, labels = None, None
        if labelled is not None:
            labelled = at_most(labelled, affordable(target, run, len(labelled)), run.rng("labelled"))
            labelled_outputs, labels = ask(target, labelled.images), labelled.labels
        answers = [] if labelled_outputs is None else [labelled_outputs]
        if target.threat.unlabelled:
            pool = at_most(target.unlabelled, affordable(target, run, len(target.unlabelled)), run.rng("pool"))
            answers += [ask(target, pool.images)] if len(pool) else []
        if not sum(map(len, answers)):
            return inner
        all_outputs = torch.cat(answers)
        m = all_outputs.shape[1]

        def even(weight: Tensor) -> Map:
            return weight, even_out(all_outputs @ weight.T, self.rounds)

        bases: dict[str, Map] = {}  # they depend on no label
        for name, weight in (("drop", torch.eye(k, m)), ("negatives", -torch.eye(k, m))):
            bases |= {name: (weight, torch.zeros(k)), f"{name} and even out": even(weight)}
        if labelled_outputs is None or labels is None or not len(labelled_outputs):
            name = "drop" if sign_of(all_outputs[:, :k]) > 0 else "negatives"
            self._submit(inner, bases[name], run, name, None)
            return self._submit(inner, bases[f"{name} and even out"], run, f"{name} and even out", None)
        candidates: dict[str, Fit] = {name: fixed(base) for name, base in bases.items()}
        candidates["rename"] = lambda o, y: (rename(o, y, k, k), torch.zeros(k))
        candidates["rename and even out"] = lambda o, y: even(rename(o, y, k, k))
        if m > k:
            candidates["rename, extra outputs too"] = lambda o, y: (rename(o, y, k, m), torch.zeros(k))
        scores = {name: leave_one_out(fit, labelled_outputs, labels) for name, fit in candidates.items()}
        for name, fit in candidates.items():
            self._submit(inner, fit(labelled_outputs, labels), run, name, round(scores[name][0], 4))
        best = max(scores, key=lambda name: scores[name])
        base = spread(candidates[best](labelled_outputs, labels), all_outputs, self.trust)
        axes = half_whitening(all_outputs)
        ridge = self.ridge
        if ridge is None:
            ridge = likeliest(labelled_outputs @ axes, residual(labelled_outputs, labels, base))
        final = regression(labelled_outputs, labels, base, ridge, axes)
        return self._submit(inner, final, run, f"regression from: {best}, λ {ridge:g}", None)

    def _unlock_pixels(self, target: AttackerView, run: Run) -> Predictor:
        """The map of every pixel's outputs, fitted to some pixels of each image."""
        k, inner = target.spec.k, handle(target)
        run.submit(inner, what="as it is")
        if not target.threat.share:
            sample = target.unlabelled.take(torch.arange(affordable(target, run, 1))).images
            if not len(sample):
                return inner
            m = ask(target, sample).shape[1]
            return self._submit(inner, (torch.eye(k, m), torch.zeros(k)), run, "drop", None)
        labelled = target.labelled
        n, rng = affordable(target, run, len(labelled)), run.rng("pixels")
        if not n:
            return inner
        parts = [
            some_rows(ask(target, part.images), part.labels, self.pixels, rng)
            for part in at_most(labelled, n, run.rng("labelled")).batches(ROUND)
        ]
        outputs, labels = (torch.cat(both) for both in zip(*parts, strict=True))
        m = outputs.shape[2]

        def drop(_outputs: Tensor, _labels: Tensor) -> Map:
            return torch.eye(k, m), torch.zeros(k)

        def with_priors(fit: Fit) -> Fit:
            def both(o: Tensor, y: Tensor) -> Map:
                weight, _ = fit(o, y)
                shares = (torch.bincount(y, minlength=k) + 1) / (len(y) + k)
                return weight, even_out(o @ weight.T, self.rounds, shares)

            return both

        candidates: dict[str, Fit] = {
            "drop": drop,
            "drop, priors of the labels": with_priors(drop),
            "rename": lambda o, y: (rename(o, y, k, k), torch.zeros(k)),
            "rename, priors of the labels": with_priors(lambda o, y: (rename(o, y, k, k), torch.zeros(k))),
        }
        if m > k:
            candidates["rename, extra outputs too"] = lambda o, y: (rename(o, y, k, m), torch.zeros(k))
        scores = {name: leave_images_out(fit, outputs, labels, k) for name, fit in candidates.items()}
        base = max(scores, key=lambda name: scores[name])

        def regressed(o: Tensor, y: Tensor) -> Map:
            start, axes = spread(candidates[base](o, y), o, self.trust), half_whitening(o)
            ridge = likeliest(o @ axes, residual(o, y, start)) if self.ridge is None else self.ridge
            return regression(o, y, start, ridge, axes)

        candidates[f"regression from: {base}"] = regressed
        scores[f"regression from: {base}"] = leave_images_out(regressed, outputs, labels, k)
        best = max(scores, key=lambda name: scores[name])
        fitted = {name: fit(*judged(outputs, labels)) for name, fit in candidates.items()}
        for name, answer_map in fitted.items():
            if name != best:
                self._submit(inner, answer_map, run, name, round(scores[name][0], 4))
        return self._submit(inner, fitted[best], run, best, round(scores[best][0], 4))

    @staticmethod
    def _submit(inner: Predictor, answer_map: Map, run: Run, what: str, score: float | None) -> LogitMap:
        weight, bias = answer_map
        predictor = LogitMap(inner, *weight.shape).set(weight, bias)
        run.submit(predictor, what=what, score=score)
        return predictor
