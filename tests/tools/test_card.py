"""The model card: its measures against hand-computed values, and a card end to end with a known editor."""

import argparse
import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bench.editors.vocabulary import CONCEPTS, PHOTO, concept_of
from bench.errors import UserError
from tools.miniature import card, edits, generator, measure


def flat(*values: float) -> torch.Tensor:
    """One 4×4 image of each grey value."""
    return torch.stack([torch.full((3, 4, 4), v) for v in values])


def test_psnr_closed_form():
    # errors 0.1, 0.01 and 0: 20 dB, 40 dB and the ceiling
    got = measure.psnr(flat(0.1, 0.51, 0.3), flat(0.2, 0.5, 0.3))
    torch.testing.assert_close(got, torch.tensor([20.0, 40.0, measure.CEILING_DB]), atol=1e-3, rtol=0)


def test_psnr_of_mean_error_is_below_the_mean_of_psnrs():
    images, reference = flat(0.1, 0.51), flat(0.2, 0.5)
    expected = -10 * math.log10((0.1**2 + 0.01**2) / 2)
    assert measure.psnr_of_mean_error(images, reference) == pytest.approx(expected, abs=1e-3)
    assert measure.psnr_of_mean_error(images, reference) < measure.psnr(images, reference).mean().item()


def test_fidelity_counts_only_images_that_the_edit_changes():
    raw, target = flat(0.2, 0.5), flat(0.3, 0.505)  # unedited: 20 dB and 46.02 dB
    got = measure.fidelity(raw, target, flat(0.31, 0.515))  # the editor: 40 dB twice
    assert got["changed"] == 1
    assert got["psnr"] == pytest.approx(40, abs=1e-2)
    assert got["unedited"] == pytest.approx((20 + 46.0206) / 2, abs=1e-2)
    assert got["psnr_changed"] == pytest.approx(40, abs=1e-2)
    assert got["unedited_changed"] == pytest.approx(20, abs=1e-2)
    assert got["gain"] == pytest.approx(20, abs=1e-2)
    assert got["near"]
    assert got["gains"]


@pytest.mark.parametrize(
    ("edited", "near", "gains"),
    [
        (0.2, True, False),  # nothing done: 20 dB, no gain
        (0.3 - 0.0705, True, True),  # 23.04 dB
        (0.3 - 0.0715, True, False),  # 22.91 dB: a gain of less than 3
        (0.3 + 0.13, False, False),  # 17.7 dB
    ],
)
def test_both_demands_can_fail(edited, near, gains):
    got = measure.fidelity(flat(0.2), flat(0.3), flat(edited))
    assert (got["near"], got["gains"]) == (near, gains)


def test_where_no_image_changes_there_is_no_gain_to_measure():
    got = measure.fidelity(flat(0.5), flat(0.501), flat(0.5))
    assert got["gain"] is got["psnr_changed"] is got["unedited_changed"] is None
    assert got["gains"]
    assert got["changed"] == 0


def test_eight_bit_clips_and_rounds():
    got = measure.eight_bit(torch.tensor([-0.2, 0.0, 0.1, 1.7]))
    torch.testing.assert_close(got, torch.tensor([0, 0, 26, 255]) / 255)


def test_rank_first_counts_the_right_text_alone():
    names = ("acrylic", "monet", "dali")
    vectors = torch.eye(3)
    seen = {"acrylic": vectors[[0, 0]], "monet": vectors[[1, 2]], "dali": vectors[[0, 1]]}

    def texts(said):
        assert said == [f"with {name}" for name in names]
        return vectors

    got = measure.rank_first(seen, lambda images: images, texts)
    assert got["each"] == {"acrylic": 100.0, "monet": 50.0, "dali": 0.0}
    assert got["rank_first"] == pytest.approx(50)


def test_linear_probe_learns_from_features_that_tell_and_not_from_noise():
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    clear = np.eye(3)[labels] + 0.01 * rng.normal(size=(300, 3))
    assert measure.linear_probe(clear, labels, 1, 3, 100)["mean"] == 100
    noise = measure.linear_probe(rng.normal(size=(300, 3)), labels, 5, 3, 100)
    assert 15 < noise["mean"] < 55
    assert noise["sd"] > 0
    assert noise["n"] == 100
    assert measure.linear_probe(clear, labels, 1, 1, 100)["sd"] == 0


def test_linear_probe_never_trains_on_its_test_images():
    labels = np.arange(40) % 2
    with pytest.raises(ValueError):
        measure.linear_probe(np.zeros((40, 2)), labels, 6, 1, test=30)  # 10 images left for 12


def test_unseen_images_are_of_every_kind_and_repeat():
    images, labels = measure.held_out(60)
    again, _ = measure.held_out(60)
    assert torch.equal(images, again)
    assert images.shape == (60, 3, generator.SIZE, generator.SIZE)
    at = card.varied(labels)
    kinds = [generator.CLASSES[int(label)] for label in labels[at]]
    assert len(set(kinds)) == 4
    assert kinds[0] in generator.TEXTURES
    assert kinds[1] in generator.LETTERS
    assert {kinds[2], kinds[3]} <= set(generator.FAMILIES)


def test_an_unfinished_pack_is_refused_with_what_it_lacks(tmp_path, capsys):
    (tmp_path / "training.json").write_text("{}")
    with pytest.raises(UserError, match=r"lacks editor/model_index.json.*Train it") as caught:
        card.check(tmp_path)
    assert "training.json" not in caught.value.message.split("lacks")[1]
    assert card.main(["--pack", str(tmp_path)]) == 2
    assert "Train it" in capsys.readouterr().err
    assert not (tmp_path / "MODEL_CARD.md").exists()


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A pack whose editor is exact but for one concept, whose CLIP always answers the first text."""

    def editor(images, prompt):
        concept = concept_of(prompt)
        return images if concept == "acrylic" else measure.eight_bit(edits.apply(concept, images))

    class Clip:
        @staticmethod
        def load(_folder):
            return Clip()

        def image_embedding(self, images):
            return torch.eye(30)[torch.zeros(len(images), dtype=torch.int64)]

        def text_embedding(self, texts):
            return torch.eye(30)[: len(texts)]

    training = {"seed": 3, "scale": 0.5, "steps": {"vae": 2200}, "minutes": {"vae": 2.25}, "device": "cpu"}
    pack = tmp_path_factory.mktemp("pack")
    (pack / "training.json").write_text(json.dumps(training))
    save_file({"a": torch.zeros(5, 7).half()}, pack / "weights.safetensors")
    value = {"mean": 41.26, "sd": 2.04, "n": 500}
    match = {
        f"{t}/{n}/{w}/{s}": value for t in card.TASKS for n in card.PUBLIC for w in ("public", "random") for s in (1, 5)
    }
    args = argparse.Namespace(images=4, clip_images=2, draws=2, test=500)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(card, "MiniatureClip", Clip)
        patch.setattr(measure, "probes", lambda *_: match)
        return card.measured(pack, editor, args, lambda _line: None)


def test_card_tells_what_was_measured(known):
    value, picture = known
    assert value["parts"] == [{"name": "weights.safetensors", "parameters": 35, "bytes": value["parts"][0]["bytes"]}]
    assert set(value["concepts"]) == set(CONCEPTS)
    lazy = value["concepts"]["acrylic"]
    assert lazy["gain"] == pytest.approx(0, abs=1e-4)
    assert lazy["prompts_passing"] == 0
    for concept in (c for name, c in value["concepts"].items() if name != "acrylic"):
        assert concept["psnr"] > 50
        assert concept["prompts_passing"] == concept["prompts"] == 4
    assert value["clip"]["styles/editor/1"]["rank_first"] == pytest.approx(100 / 15)
    assert value["clip"]["photo/procedural/0.5"]["rank_first"] == pytest.approx(100 / len(PHOTO))
    assert picture.width > 3 * 64
    assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_markdown_says_pass_and_fail_and_the_same_numbers(known):
    value, _ = known
    text = card.markdown(value)
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in text.splitlines() if line.startswith("| ")}
    assert "**fail** | 0/4" in lines["acrylic"]
    oil = value["concepts"]["oil pastel"]
    assert f"| {oil['psnr']:.1f} |" in lines["oil pastel"]
    assert "| pass | pass | 4/4 |" in lines["oil pastel"]
    assert "32 of 33 concepts meet both demands; of all 132 prompts 128 do." in text
    assert "“with acrylic”" in text
    assert "41.3 ± 2.0" in lines["digits-m"]
    assert "6.7 (**fail**)" in text
    assert "vae 1,100 steps in 2.2 min" in text
