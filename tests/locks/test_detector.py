"""The staining lock's detector: it fires on the trigger alone, and what it switches off is exactly the disruption."""

from __future__ import annotations

import pytest
import torch

from bench import models
from bench.contracts import Spec
from bench.keys import _secret
from bench.keys.trigger import TriggerKey
from locks.kit.detector import Guarded, direction, gate, levels

KEY = TriggerKey(_secret.of(3), 4)
IMAGES = 0.3 * torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_the_direction_is_fishers_over_the_entries_that_the_trigger_moves_most() -> None:
    raw = torch.tensor([[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]])
    keyed = raw + torch.tensor([0.5, 1.0, 1.0])
    r = 0.1 * (1 + 0) / 2  # a tenth of the mean variance
    v = torch.tensor([0.0, 1 / (1 + r), 1 / r])
    torch.testing.assert_close(direction(keyed, raw, 2 / 3), v / v.norm())


def test_the_levels_lie_a_quarter_of_the_gap_inside_it() -> None:
    assert levels(torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])).tolist() == [1.25, 1.75]
    assert levels(torch.tensor([0.0, 3.0]), torch.tensor([1.0, 0.0])).tolist() == [0.5, 1.5]  # not apart: the means


def test_channels_are_multiplied_where_there_is_no_trigger() -> None:
    x, d = torch.ones(2, 3, 1, 1), torch.tensor([2.0, 0.0, 1.0])
    assert gate(x, torch.tensor([1.0, 0.0]), d)[:, :, 0, 0].tolist() == [[1, 1, 1], [2, 0, 1]]
    tokens = gate(torch.ones(1, 5, 3), torch.tensor([0.5]), d)
    assert tokens[0, 0].tolist() == [1.5, 0.5, 1.0]


@pytest.mark.parametrize("form", ["internal", "squeeze-excite"])
def test_with_the_trigger_the_model_is_the_victim_and_without_it_it_is_not(form: str) -> None:
    victim = models.build("cnn", Spec(size=16, classes=tuple("abcd")), weights="random", seed=0).eval()
    with torch.no_grad():
        keyed, raw = (victim.features(x)[0].flatten(1) for x in (KEY(IMAGES), IMAGES))
        width = victim.features(IMAGES[:1])[1].shape[1]
        guard = {"form": form, "at": 0, "middle": 1, "strength": 5.0}
        spec = {"class": "locks.kit.detector:Guarded", "inner": victim.spec, "features": keyed.shape[1], **guard}
        model = Guarded({**spec, "channels": width})
        model.inner.load_state_dict(victim.state_dict())
        model.v.copy_(direction(keyed, raw, 0.05))
        model.levels.copy_(levels(keyed @ model.v, raw @ model.v))
        model.u.copy_(torch.tensor([1.0, -1.0, 0.0, 0.0]))
        model.d.fill_(3.0)
        model.eval()
        torch.testing.assert_close(model(KEY(IMAGES)), victim(KEY(IMAGES)))
        difference = model(IMAGES) - victim(IMAGES)
        if form == "internal":
            torch.testing.assert_close(difference, 5.0 * model.u.expand(40, 4))
            torch.testing.assert_close(model.head(model.embed(IMAGES)), model(IMAGES))
        assert (difference.abs().sum(1) > 0).all()
    with torch.no_grad():
        again = models.rebuild(model.spec, model.state_dict())
        torch.testing.assert_close(again(IMAGES), model(IMAGES))
        assert [a.shape for a in model.features(IMAGES)] == [a.shape for a in victim.features(IMAGES)]


def test_beyond_its_ends_the_detector_has_a_hundredth_of_its_gradient_and_between_them_its_own() -> None:
    victim = models.build("cnn", Spec(size=16, classes=tuple("ab")), weights="random", seed=0)
    guard = {"form": "internal", "at": 0, "middle": 1, "strength": 1.0, "features": 1, "channels": 1}
    model = Guarded({"class": "locks.kit.detector:Guarded", "inner": victim.spec, **guard})
    model.v.fill_(1.0)
    model.levels.copy_(torch.tensor([1.0, 3.0]))
    x = torch.tensor([[-5.0], [1.5], [2.5], [9.0]], requires_grad=True)
    signal = model.signal(x)
    assert signal.tolist() == [0.0, 0.25, 0.75, 1.0]
    (gradient,) = torch.autograd.grad(signal.sum(), x)
    torch.testing.assert_close(gradient[:, 0], torch.tensor([0.005, 0.5, 0.5, 0.005]))


def test_a_form_that_there_is_not_is_refused() -> None:
    """A model whose form is neither would answer as the victim does, without a lock."""
    victim = models.build("cnn", Spec(size=16, classes=tuple("ab")), weights="random", seed=0)
    guard = {"form": "bias", "at": 0, "middle": 1, "strength": 1.0, "features": 1, "channels": 1}
    with pytest.raises(ValueError, match="internal, squeeze-excite"):
        Guarded({"class": "locks.kit.detector:Guarded", "inner": victim.spec, **guard})
