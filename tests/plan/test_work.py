"""What a plan computes, by hand: steps times batch times passes times the multiply-adds of an image."""

from __future__ import annotations

import pytest

from bench import plan
from bench.architectures.cnn import CNN
from bench.architectures.vit import ViT
from bench.contracts import Architecture
from bench.forward_cost import multiply_adds, parameters
from bench.plan import work
from bench.plan.cells import make_cell
from bench.plan.graph import Graph
from bench.plan.length import images_seen, relative, victim_images
from bench.store.settings import Settings

SIZE = 32
SETTINGS = Settings(device="cpu")


@pytest.mark.parametrize(
    ("lock", "params", "images"),
    [
        ("ntl", {"lock.steps": 10, "lock.batch": 8}, 80),
        ("ntp", {"lock.steps": 10, "lock.repair": 5, "lock.batch": 8}, 120),
        ("sophon", {"lock.rounds": 3, "lock.inner": 4, "lock.repairs": 2, "lock.batch": 8}, 3 * 6 * 8),
        ("map", {"lock.steps": 10, "lock.batch": 8}, 80),
    ],
)
def test_images_that_a_lock_trains_on(lock: str, params: dict[str, int], images: int) -> None:
    assert images_seen("lock", make_cell(lock, "none", "digits:fonts", "cnn", params).lock) == images


def test_steps_that_have_no_effect_do_not_count() -> None:
    assert (
        images_seen("attack", make_cell("ntl", "finetune", "digits:fonts", "cnn", {"attack.steps": 7}).attack)
        == 207 * 64
    )


def test_a_victim_trains_as_long_as_its_architecture_says() -> None:
    for model, steps in (("cnn", CNN.steps), ("vit", ViT.steps), ("resnet18", Architecture.steps)):
        usual = make_cell("none", "none", "digits", model, {})
        assert victim_images(usual) == steps * 64
        assert relative("victim", usual) == 1
        assert relative("victim", make_cell("none", "none", "digits", model, {"task.victim_steps": 2 * steps})) == 2


def test_the_work_of_a_plan_is_the_sum_over_its_stages() -> None:
    params = {"lock.steps": 10, "lock.batch": 8, "task.victim_steps": 5, "task.victim_batch": 4}
    line = plan.SuiteLine(["ntl"], ["none"], ["digits:fonts"], ["cnn"], params=params, controls=False)
    graph = Graph.of(plan.build([line]), SETTINGS)
    each, weights = multiply_adds("cnn", SIZE), 4 * parameters("cnn", SIZE)
    total = work.of_stages(graph.stages, {"digits": 100, "fonts": 200})
    test = 0.22 * 300
    assert total.trained == pytest.approx(3 * each * (5 * 4 + 2 * 10 * 8))
    assert total.answered == pytest.approx(each * test * (4 + 1 + 1))
    assert total.edited == 0
    assert total.disk == 2 * weights
    assert total.hours == pytest.approx(2 * (total.trained + total.answered) / work.SUSTAINED / 3600)


def test_edits_of_a_full_editor_are_counted_once_an_image_and_again_under_other_keys() -> None:
    params = {"key.editor": "some/editor", "key.prompt": "with monet"}
    line = plan.SuiteLine(["modellock"], ["none"], ["digits"], ["cnn"], params=params, controls=False)
    total = work.of_stages(Graph.of(plan.build([line]), SETTINGS).stages, {"digits": 100})
    assert total.edited == pytest.approx(work.EDIT * (100 + 12 * 0.22 * 100))


@pytest.mark.slow  # builds the full-size editor, without memory for its weights
def test_the_edit_is_that_of_the_full_editor() -> None:
    import torch
    from full_editor import flops, parts_of

    from bench.editors.loading import FULL_PARAMETERS
    from bench.editors.settings import EditSettings

    settings = EditSettings(editor="x", steps=5, guidance=4.5, image_guidance=1.5, size=256)
    assert flops(settings, 256) / 2 == pytest.approx(work.EDIT, rel=1e-3)
    with torch.device("meta"):
        parts = parts_of().values()
    assert sum(p.numel() for part in parts for p in part.parameters()) == FULL_PARAMETERS
