"""Segmentation networks of torchvision behind `Classifier`."""

from __future__ import annotations

import pytest
import torch
import torchvision

from bench import models
from bench.checkpoints import fitting, model_names
from bench.contracts import Spec
from bench.errors import UserError

SPEC = Spec(64, ("a", "b", "c"), "segmentation")
NAME = "torchvision:deeplabv3_mobilenet_v3_large?start=random"


def test_it_answers_as_torchvision_does() -> None:
    """Small and random: shapes, normalisation, and the split into embedding and head are under test."""
    model = models.build(NAME, SPEC, 1, "random", 0).eval()
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs = model(images)
        theirs = model.net((images - model.mean) / model.std)["out"]
        torch.testing.assert_close(outputs, theirs)
        torch.testing.assert_close(model.head(model.embed(images)), outputs)
    assert outputs.shape == (2, 4, 64, 64)
    assert model.logits(images).shape == (2, 3, 64, 64)
    assert models.widen(model, 2, 0)(images).shape[1] == 5
    assert len(model.features(images)) > 2
    again = models.rebuild(model.spec, model.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(again(images), outputs)


def test_a_checkpoint_with_its_auxiliary_head_fits() -> None:
    net = torchvision.models.get_model("deeplabv3_mobilenet_v3_large", weights=None, weights_backbone=None,
                                       num_classes=3, aux_loss=True)  # fmt: skip
    own = fitting.fit("x.pth", net.state_dict(), models.build(NAME, SPEC, 0, "random", 0))
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs = net.eval()((images - own.model.mean) / own.model.std)["out"]
        torch.testing.assert_close(own.model(images), theirs)
    assert "left out the auxiliary head" in own.notes


def test_a_checkpoint_of_smp_fits() -> None:
    import segmentation_models_pytorch as smp

    net = smp.Unet("resnet18", encoder_weights=None, classes=4)
    own = fitting.fit("x.pth", net.state_dict(), models.build("unet:resnet18?start=random", SPEC, 0, "random", 0))
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        theirs = net.eval()((images - own.model.mean) / own.model.std)
        torch.testing.assert_close(own.model(images), theirs)
    assert own.outputs == 4
    assert "renamed segmentation_head.* to last.*" in own.notes


def test_names() -> None:
    assert model_names.kinds("torchvision:fcn_resnet50") == ("segmentation",)
    assert "classification" in model_names.kinds("torchvision:resnet18")
    with pytest.raises(UserError, match="no segmentation network 'fcn_resnet5'"):
        models.check("torchvision:fcn_resnet5")
