"""Keys of single pixels, which training applies after it has varied the images."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import models
from bench.contracts import Batch, DefenderNeeds, Images, Key, Spec
from bench.guests.failure import GuestFailed
from bench.guests.wire import Message
from bench.harness import lock_process
from bench.harness.views import DefenderView
from bench.keys.blockwise import BlockwiseKey
from bench.keys.none import Identity
from bench.keys.patch import PatchKey
from bench.keys.trigger import TriggerKey
from bench.training import Run

SPEC = Spec(size=8, classes=tuple("ab"))


class TestKeysThatComeLast:
    """A key of single pixels does not survive a move: training varies images first."""

    RAW = Images(torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)),
                 torch.arange(6) % 2)  # fmt: skip

    @staticmethod
    def _flip(images: Tensor, _rng: torch.Generator) -> Tensor:
        return images.flip(3)

    def test_the_key_is_applied_to_varied_images(self) -> None:
        key = TriggerKey("0" * 64, 3)
        keyed = self.RAW.with_pixels((key(self.RAW.images) * 255).round().byte()).made_of(self.RAW, key)
        at = torch.tensor([4, 1])
        for images, index in ((keyed, at), (keyed.subset(at), torch.arange(2)), (keyed.unlabelled(), at)):
            batch = images.take(index)
            torch.testing.assert_close(batch.images, key(self.RAW.take(at).images), atol=2e-3, rtol=0)
            out = images.varied(batch, self._flip, torch.Generator())
            torch.testing.assert_close(out, key(self.RAW.take(at).images.flip(3)))
        plain = keyed.with_pixels(self.RAW.pixels)
        torch.testing.assert_close(
            plain.varied(plain.take(at), self._flip, torch.Generator()), self.RAW.take(at).images.flip(3)
        )

    @pytest.mark.parametrize("key", [TriggerKey("0" * 64, 3), PatchKey(60), BlockwiseKey("shuffle", 4, "0" * 64)])
    def test_a_lock_trains_on_whole_keys(self, key: Key) -> None:
        seen: list[Tensor] = []
        view = DefenderView(SPEC, self.RAW, self.RAW, key, DefenderNeeds(), lambda _: models.build("cnn", SPEC))
        model = nn.Linear(3 * 8 * 8, 2)

        def loss(batch: Batch) -> Tensor:
            seen.append(batch.images)
            return nn.functional.cross_entropy(model(batch.images.flatten(1)), batch.labels)

        Run(1).fit(model, loss, 3, view.authorised, batch=6, augment=self._flip)
        possible = key(self.RAW.images.flip(3))
        for images in seen:
            assert all(any(torch.equal(image, other) for other in possible) for image in images)

    def test_an_edit_is_varied_as_it_is_and_masks_follow_one_move_alone(self) -> None:
        view = DefenderView(SPEC, self.RAW, self.RAW, Identity(), DefenderNeeds(), lambda _: models.build("cnn", SPEC))
        assert view.authorised._before is None
        masks = self.RAW.with_masks(torch.zeros(6, 8, 8, dtype=torch.int64))
        view = DefenderView(SPEC, masks, masks, PatchKey(60), DefenderNeeds(), lambda _: models.build("cnn", SPEC))
        assert view.authorised._before is None

    def test_it_reaches_a_lock_in_its_own_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The process gets the images before the key too, and applies the key itself."""
        key = TriggerKey("0" * 64, 3)
        here = DefenderView(SPEC, self.RAW, self.RAW, key, DefenderNeeds(), lambda _: models.build("cnn", SPEC))
        replies: list[Any] = []

        class Process:
            """In place of the lock's process: it reads one set, and ends."""

            def __init__(self, *_: object) -> None: ...

            def __enter__(self) -> Process:
                return self

            def __exit__(self, *_: object) -> None: ...

            def call(self, _kind: str, _body: object, _tensors: object, handlers: dict[str, Any]) -> None:
                replies.append(handlers["read"](Message("read", {"name": "authorised"}, {})))
                raise GuestFailed("enough")

        monkeypatch.setattr(lock_process, "Guest", Process)
        job = lock_process.LockJob(
            lock="ntl", params={}, key=("trigger", key.to_json()), model="cnn", task=SPEC, seed=0, device="cpu",
            precision="float32", augment="jitter",
        )  # fmt: skip
        with pytest.raises(GuestFailed, match="enough"):
            lock_process.protect(job, None, here, lambda *_: {}, lambda *_: None)
        ((kind, _, tensors),) = replies
        sent = {name: t.pixels if isinstance(t, Images) else t for name, t in tensors.items()}
        assert (kind, set(sent)) == ("images", {"pixels", "labels", "before"})

        class Speaker:
            def ask(self, *_: object) -> Message:
                return Message("images", {}, sent)

        there = lock_process.WiredDefenderView(Speaker(), SPEC, "cnn", 0, "jitter", key)  # type: ignore[arg-type]
        batch = there.authorised.take(torch.arange(6))
        out = there.authorised.varied(batch, self._flip, torch.Generator())
        torch.testing.assert_close(out, key(self.RAW.images.flip(3)))
