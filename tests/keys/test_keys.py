"""Patch and block-wise keys: what they do to a pixel, that they come back from JSON, how many there are."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench import registry
from bench.errors import UserError
from bench.keys.blockwise import BlockwiseKey, _table
from bench.keys.patch import PatchKey

IMAGES = torch.randint(0, 256, (3, 3, 16, 16), generator=torch.Generator().manual_seed(0)).float() / 255


def test_a_patch_raises_one_channel_on_even_rows_and_columns() -> None:
    dark = torch.zeros(1, 3, 4, 4)
    out = PatchKey(51)(dark)
    wanted = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 0], [1, 1, 1, 1], [1, 0, 1, 0]]) * 0.2
    torch.testing.assert_close(out[0, 0], wanted)
    assert out[0, 1:].abs().sum() == 0
    assert PatchKey(80)(torch.ones(1, 3, 4, 4)).max() == 1


@pytest.mark.parametrize("transform", ["shuffle", "negative", "feistel"])
def test_a_block_is_transformed_alike_everywhere_and_by_its_secret_alone(transform: str) -> None:
    key = BlockwiseKey(transform, 4, 7)
    out = key(IMAGES)
    assert out.shape == IMAGES.shape
    assert torch.equal(out, key(IMAGES.clone()))
    assert not torch.equal(out, BlockwiseKey(transform, 4, 8)(IMAGES))
    shifted = key(torch.roll(IMAGES, 4, 3))  # whole blocks moved: their content is treated the same
    assert torch.equal(shifted, torch.roll(out, 4, 3))
    alone = key(IMAGES[:1])
    assert torch.equal(alone, out[:1])


def test_each_transformation_is_what_it_says() -> None:
    shuffled = BlockwiseKey("shuffle", 4, 1)(IMAGES)
    first, second = (x[0, :, :4, :4].flatten().sort().values for x in (IMAGES, shuffled))
    torch.testing.assert_close(first, second)
    negative = BlockwiseKey("negative", 4, 1)(IMAGES)
    same = (negative - IMAGES).abs() < 1e-6
    torch.testing.assert_close(negative[~same], 1 - IMAGES[~same])
    assert 0.4 < same.float().mean() < 0.6


@given(st.integers(0, 2**31 - 1))
def test_the_encryption_of_a_byte_is_a_permutation(secret: int) -> None:
    assert sorted(_table("feistel", secret)) == list(range(256))


def test_key_spaces_have_the_size_of_the_paper() -> None:
    assert BlockwiseKey("shuffle", 4, 0).bits == pytest.approx(math.log2(math.factorial(48)))
    assert BlockwiseKey("negative", 4, 0).bits == pytest.approx(math.log2(math.comb(48, 24)))


def test_blocks_that_do_not_tile_are_refused() -> None:
    with pytest.raises(UserError, match="do not tile"):
        BlockwiseKey("shuffle", 8, 0)(torch.zeros(1, 3, 20, 20))


@pytest.mark.parametrize("key", [PatchKey(40), BlockwiseKey("feistel", 4, 3)])
def test_a_key_comes_back_from_json_with_its_conditions(key: PatchKey | BlockwiseKey) -> None:
    method = registry.load(registry.current().find("key", key.to_json()["method"]))
    assert method.from_json(key.to_json()) == key
    conditions = key.conditions(5)
    assert {"none", "wrong"} <= {condition.kind for condition in conditions}
    for condition in conditions:
        again = method.from_json(condition.key.to_json())
        assert torch.equal(again(IMAGES), condition.key(IMAGES)), condition.label
        assert condition.key.describe()
        if condition.kind != "none":
            assert not torch.equal(condition.key(IMAGES), key(IMAGES)), condition.label


@given(st.integers(0, 2**31 - 1), st.sampled_from([2, 4, 8]))
def test_masks_move_with_the_pixels_and_back(secret: int, block: int) -> None:
    """Each pixel carries its place in its red value, so that a mask of places must say the same after the key."""
    places = torch.arange(256).view(1, 16, 16)
    image = torch.stack([places, places, places], 1).float() / 255
    key = BlockwiseKey("pixels", block, secret, is_dense=True)
    moved, keyed = key.labels(places), key(image)
    for channel in range(3):
        assert torch.equal((keyed[:, channel] * 255).round().long(), moved)
    assert moved.flatten().sort().values.tolist() == list(range(256))  # a bijection
    assert torch.equal(moved.flatten()[moved.flatten().argsort()], places.flatten())  # which its inverse undoes
    rows, columns = (moved // 16 // block, moved % 16 // block)
    assert torch.equal(rows, places // 16 // block)  # and each pixel stays in its block
    assert torch.equal(columns, places % 16 // block)


def test_masks_stay_where_pixels_stay_and_follow_no_part_of_a_pixel() -> None:
    masks = torch.randint(0, 5, (3, 16, 16))
    for transform in ("negative", "feistel"):
        assert torch.equal(BlockwiseKey(transform, 4, "1").labels(masks), masks)
    assert not hasattr(PatchKey(40), "labels")
    with pytest.raises(UserError, match="no mask can follow"):
        BlockwiseKey("shuffle", 4, "1").labels(masks)
    for condition in BlockwiseKey("negative", 4, "1", is_dense=True).conditions(0)[1:]:
        assert condition.key.labels(masks).shape == masks.shape  # type: ignore[attr-defined]


@pytest.mark.parametrize(("key", "secret"), [(PatchKey(37, 1), "37"), (BlockwiseKey("shuffle", 4, 987_654), "987654")])
def test_settings_do_not_tell_what_is_a_keys_own(key: PatchKey | BlockwiseKey, secret: str) -> None:
    """An attacker knows editor and settings by default, and a zoo card of a withheld key prints them."""
    assert secret in str(key.to_json())
    assert secret not in str(key.parts()["settings"])
