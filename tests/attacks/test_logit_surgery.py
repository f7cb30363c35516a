"""Logit surgery: permutations under a dominant extra output, a regression in closed form, budgets of queries."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from attacks.kit.output_maps import (
    evidence,
    half_whitening,
    leave_one_out,
    likeliest,
    regression,
    rename,
    residual,
    sign_of,
    skewness,
    spread,
)
from bench import models, registry
from bench.contracts import Budget, Classifier, Images, Spec, ThreatModel
from bench.harness.views import AttackerView
from bench.training import Run, metered

PERMUTATION = [2, 0, 3, 1]
LABELS = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])


def _outputs(extra: float | None) -> torch.Tensor:
    """Answers whose output PERMUTATION[y] says class y, with an extra output of ``extra`` for every image."""
    noise = torch.randn((len(LABELS), 4), generator=torch.Generator().manual_seed(0))
    outputs = noise + 6 * torch.eye(4)[torch.tensor(PERMUTATION)][LABELS]
    return outputs if extra is None else torch.cat([outputs, torch.full((len(LABELS), 1), extra)], 1)


@pytest.mark.parametrize("extra", [None, -20.0, 20.0])
def test_a_permutation_is_undone_whatever_the_extra_output_says(extra: float | None) -> None:
    outputs = _outputs(extra)
    weight = rename(outputs, LABELS, 4, 4)
    assert weight.argmax(1).tolist() == PERMUTATION
    assert (outputs @ weight.T).argmax(1).tolist() == LABELS.tolist()
    right, likely = leave_one_out(lambda o, y: (rename(o, y, 4, 4), torch.zeros(4)), outputs, LABELS)
    assert right == 1.0
    assert likely < 0


def test_the_regression_is_least_squares_shrunk_towards_its_base() -> None:
    outputs = _outputs(1.0)
    base = torch.eye(4, 5), torch.tensor([1.0, 0.0, 0.0, 0.0])
    weight, bias = regression(outputs, LABELS, base, 1e-6, torch.eye(5))
    x = torch.cat([outputs, torch.ones(len(outputs), 1)], 1).double()
    y = torch.nn.functional.one_hot(LABELS, 4).double()
    least_squares = x @ (torch.linalg.pinv(x) @ y)
    torch.testing.assert_close((outputs @ weight.T + bias).double(), least_squares, atol=1e-3, rtol=0)
    shrunk, offset = regression(outputs, LABELS, base, 1e6, torch.eye(5))
    torch.testing.assert_close(shrunk, base[0], atol=1e-3, rtol=0)
    rest = (y.float() - outputs @ base[0].T - base[1]).mean(0)
    torch.testing.assert_close(offset, base[1] + rest, atol=1e-3, rtol=0)


def test_a_base_varies_as_one_hot_labels_do_and_classesas_before() -> None:
    outputs = _outputs(None)
    weight, bias = spread((10 * torch.eye(4), torch.ones(4)), outputs, 2.0)
    result = outputs @ weight.T + bias
    torch.testing.assert_close(result.mean(1), torch.zeros(len(result)))
    assert float(result.square().mean()) == pytest.approx(4 * 3 / 16)
    assert result.argmax(1).tolist() == outputs.argmax(1).tolist()


@pytest.mark.parametrize(("n", "m"), [(6, 3), (4, 7)])
def test_the_evidence_is_the_density_of_what_the_base_left(n: int, m: int) -> None:
    rng = torch.Generator().manual_seed(1)
    x, r = torch.randn((n, m), generator=rng).double(), torch.randn((n, 3), generator=rng).double()
    r = r - r.mean(1, keepdim=True)  # as residuals of labels are
    contrasts = torch.linalg.qr(torch.cat([torch.ones(n, 1), torch.randn((n, n - 1), generator=rng)], 1).double())[0][
        :, 1:
    ]
    planes = torch.linalg.qr(torch.tensor([[1.0, 1, 0], [1, 0, 1], [1, 0, 0]]).double())[0][:, 1:]
    columns = contrasts.T @ r @ planes  # (n − 1, K − 1): independent columns

    def log_density(ridge: float) -> float:
        shape = torch.eye(n - 1).double() + contrasts.T @ x @ x.T @ contrasts / ridge
        noise = (columns * torch.linalg.solve(shape, columns)).sum() / columns.numel()
        normal = torch.distributions.MultivariateNormal(torch.zeros(n - 1).double(), noise * shape)
        return float(normal.log_prob(columns.T).sum())

    gaps = [evidence(x, r, ridge) - log_density(ridge) for ridge in (0.01, 0.3, 5.0)]
    assert gaps == pytest.approx([gaps[0]] * 3)


def test_a_base_that_is_right_is_kept_and_one_that_is_wrong_is_not() -> None:
    outputs = _outputs(None)
    right = spread((torch.eye(4)[PERMUTATION], torch.zeros(4)), outputs, 1.0)
    wrong = spread((torch.eye(4), torch.zeros(4)), outputs, 1.0)
    far, near = (likeliest(outputs, residual(outputs, LABELS, base)) for base in (right, wrong))
    assert far > near


def test_axes_are_half_evened_out() -> None:
    outputs = torch.randn((4000, 2), generator=torch.Generator().manual_seed(2)) @ torch.diag(torch.tensor([4.0, 1.0]))
    columns = torch.cov((outputs @ half_whitening(outputs)).T)
    torch.testing.assert_close(columns.diag(), torch.tensor([1.6, 0.4]), atol=0.05, rtol=0)  # 16 : 1 becomes 4 : 1
    assert float(columns.diag().mean()) == pytest.approx(1, abs=1e-4)
    assert half_whitening(outputs[:1]).equal(torch.eye(2))


def test_one_label_a_class_opens_a_lock_that_mixes_its_outputs(spec: Spec) -> None:
    rng = torch.Generator().manual_seed(3)
    images = torch.arange(40, dtype=torch.uint8)[:, None, None, None].repeat(1, 3, spec.size, spec.size)
    labels = torch.arange(40) % spec.k
    mixing = torch.linalg.qr(torch.randn((spec.k, spec.k), generator=rng))[0]
    answers = (4 * torch.nn.functional.one_hot(labels, spec.k) + torch.rand((40, spec.k), generator=rng)) @ mixing
    granted = {"labelled": Images(images[: spec.k], labels[: spec.k]), "unlabelled": Images(images)}
    run = Run(1)
    threat = ThreatModel(access="logits", share=0.1, unlabelled=True)
    target = AttackerView(
        spec, threat, run.budget, granted, {}, lambda e: models.build("cnn", spec, e),
        lambda x: answers[(255 * x[:, 0, 0, 0]).round().long()], run.meter,
    )  # fmt: skip
    with metered(run):
        result = registry.INSTALLED.make("attack", "logit-surgery", {}).unlock(target, run)
    assert run.submissions[-1].predictor is result
    classes = (answers @ result.weight.T + result.bias).argmax(1)
    assert float((classes == labels).float().mean()) > 0.9
    assert float((answers.argmax(1) == labels).float().mean()) < 0.5


def test_the_skewness_of_one_outlier() -> None:
    rows = torch.tensor([[0.0, 0.0, 0.0, 4.0], [0.0, 0.0, 0.0, -4.0], [1.0, 2.0, 3.0, 4.0]])
    torch.testing.assert_close(skewness(rows), torch.tensor([2 / 3**0.5, -2 / 3**0.5, 0.0]))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_sign_is_that_of_the_class_that_stands_out_whatever_bias_all_share(sign: float) -> None:
    outputs = sign * torch.eye(4).repeat(3, 1) + torch.tensor([5.0, -3.0, 0.0, 1.0])
    assert sign_of(outputs) == sign


def test_the_sign_is_plus_where_no_class_can_stand_out() -> None:
    rng = torch.Generator().manual_seed(0)
    assert {sign_of(torch.randn((50, 2), generator=rng)) for _ in range(20)} == {1.0}
    assert sign_of(torch.full((3, 4), float("nan"))) == 1.0
    assert sign_of(torch.zeros(1, 4)) == 1.0


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_the_class_that_a_lock_avoids_is_the_answer_with_labels_and_without(share: float, spec: Spec) -> None:
    rng = torch.Generator().manual_seed(4)
    images = torch.arange(60, dtype=torch.uint8)[:, None, None, None].repeat(1, 3, spec.size, spec.size)
    labels = torch.arange(60) % spec.k
    answers = torch.rand((60, spec.k), generator=rng) - 2 * torch.nn.functional.one_hot(labels, spec.k)
    granted = {"labelled": Images(images[: 2 * spec.k], labels[: 2 * spec.k]), "unlabelled": Images(images)}
    run = Run(1)
    target = AttackerView(
        spec, ThreatModel(access="logits", share=share, unlabelled=True), run.budget, granted, {},
        lambda e: models.build("cnn", spec, e), lambda x: answers[(255 * x[:, 0, 0, 0]).round().long()], run.meter,
    )  # fmt: skip
    with metered(run):
        result = registry.INSTALLED.make("attack", "logit-surgery", {}).unlock(target, run)
    assert float((answers.argmax(1) == labels).float().mean()) == 0
    classes = (answers @ result.weight.T + result.bias).argmax(1)
    assert float((classes == labels).float().mean()) == 1


def _view(model: Classifier, spec: Spec, budget: Budget, run: Run, **granted: Any) -> AttackerView:
    threat = ThreatModel(access="logits", share=0.1, unlabelled=True)
    return AttackerView(
        spec, threat, budget, granted, {}, lambda e: models.build("cnn", spec, e), lambda x: models.outputs(model, x),
        run.meter,
    )  # fmt: skip


@pytest.mark.parametrize("queries", [None, 0, 3, 30])
def test_a_budget_of_queries_is_kept_and_something_is_always_handed_in(
    queries: int | None, spec: Spec, toy: Images
) -> None:
    model = models.build("cnn", spec, extra=1)
    budget = Budget(queries=queries)
    run = Run(1, budget=budget)
    target = _view(model, spec, budget, run, labelled=toy, unlabelled=toy.unlabelled())
    with metered(run):
        registry.INSTALLED.make("attack", "logit-surgery", {}).unlock(target, run)
    assert run.submissions
    assert queries is None or (run.meter.queries or 0) <= queries
