"""The editing engine: batches, shared encodings, a cache, and an edit that depends on its own image alone."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench import session
from bench.editors import pixels as px
from bench.editors.cache import EditCache
from bench.editors.settings import EditSettings
from bench.errors import UserError

Progress = Callable[[int, int], None]
"""Called with images done and images request for."""

FULL = 32
"""Rows of a batch of a small editor: more measured no faster in float32 on a CPU."""
LEAST = 8
"""Rows of the smallest batch a small request is run in."""
ROOMY = 40 * 10**9
"""Bytes of a GPU's memory from which a large editor runs `WIDE` rows: some 20 · 10^9 in float32, by what 16 took."""
WIDE = 64
"""Rows of a batch of a large editor on a GPU with room for them."""
_LATENTS_KEPT = 4096
_PROMPTS_KEPT = 512


@dataclass
class _Request:
    """One prompt over all the images of a request, while its edits come in."""

    prompt: str
    space: bytes
    missing: list[bytes]
    edits: dict[bytes, bytes] = field(default_factory=dict)


class Engine:
    """A text-guided editor that runs images in batches.

    An edit is a function of image, prompt, settings and this engine, bit for bit: not of its neighbours in
    a batch, of its place, of the cache, or of how images are spread over calls. Rows of one batch shape
    do not influence each other, but kernels chosen by shape may round differently, so every batch is
    filled up to one fixed shape. Smaller shapes serve small requests only where they were found, once per
    engine, to give the same bits on this machine.

    Args:
        editor: ``miniature``, a folder of a diffusers InstructPix2Pix pipeline, or a hub name.
        device: a torch device.
        dtype: ``float32``, ``bfloat16``, or ``auto`` (bfloat16 where the device computes in it).
        cache: where raw edits are kept; None: nowhere.
        batch: rows of a batch; None: 32 for a small editor, else 1 on a CPU and, on a GPU, 64 or 16 by its memory.
        compiled: whether denoiser and autoencoder are compiled, which takes minutes once and rounds otherwise.

    Attributes:
        fingerprint: digest of the editor's configuration, weights and precision, and of compilation where it is on.
        edited: images run through the diffusion model so far; neither cached ones nor padding count.

    Raises:
        UserError: no such editor, no weights, another kind of pipeline, or no such device or dtype.
    """

    def __init__(
        self,
        editor: str,
        device: str | torch.device = "cpu",
        dtype: str = "float32",
        cache: EditCache | None = None,
        batch: int | None = None,
        compiled: bool = False,
    ) -> None:
        from bench.editors import diffusion, loading

        self.editor, self.cache, self.edited = editor, cache, 0
        self.device = _device(device)
        kind = diffusion.precision(dtype, self.device)
        self.dtype = str(kind).removeprefix("torch.")
        folder = loading.find(editor)
        with loading.quiet():
            self._net = diffusion.Diffusion(loading.load(folder), self.device, kind, compiled)
        content = f"{loading.digest(folder)} {self.dtype}" + (" compiled" if compiled else "")
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()[:20]
        self.batch = batch if batch is not None else rows(self._net.small, self.device.type, _memory(self.device))
        if self.batch < 1:
            raise ValueError(f"batch={self.batch}, must be at least 1")
        self._latents: OrderedDict[bytes, Tensor] = OrderedDict()
        self._prompts: OrderedDict[str, Tensor] = OrderedDict()
        self._agreeing: dict[tuple[Any, ...], list[int]] = {}

    @property
    def megabytes(self) -> float:
        """Of the editor's weights as they lie in memory, in 10^6 bytes."""
        return self._net.megabytes

    def size(self, settings: EditSettings) -> int:
        """Pixels: the side images are squashed to under ``settings``.

        Raises:
            UserError: a size the editor cannot work at.
        """
        known = 256 if Path(self.editor).name == "instruct-pix2pix" else self._net.size
        size = settings.size if settings.size is not None else known
        if size % self._net.factor:
            wanted = max(1, round(size / self._net.factor)) * self._net.factor
            raise UserError(f"size={size} is not a multiple of {self._net.factor} pixels.", f"Use {wanted}.")
        return size

    def edit(self, images: Tensor, prompt: str, settings: EditSettings, progress: Progress | None = None) -> Tensor:
        """The edit alone, before blending (as if α were 1).

        Args:
            images: (N, 3, H, W) floating in [0, 1] or uint8; rounded to 8 bit first.
            prompt: what to do with them.
            settings: how; `EditSettings.alpha` plays no part.
            progress: called after every batch with images done and N.

        Returns:
            (N, 3, H, W) float32 in [0, 1], multiples of 1/255, on the device of ``images``.

        Raises:
            ValueError: images of another shape or type.
        """
        seen = self._squashed(images, settings)
        _, edits = next(self._edits(seen, [prompt], settings, progress))
        return _restored(edits, images)

    def keyed(self, images: Tensor, prompt: str, settings: EditSettings, progress: Progress | None = None) -> Tensor:
        """Squash, edit, blend ``(1 - α) image + α edit``, clip, round to 8 bit, and back to the size it had.

        Arguments, result and errors as `edit`. With α = 0 no image is edited.
        """
        seen = self._squashed(images, settings)
        if settings.alpha == 0:
            return _restored(seen, images)
        _, edits = next(self._edits(seen, [prompt], settings, progress))
        return _restored(px.blended(seen, edits, settings.alpha), images)

    def unedited(self, images: Tensor, settings: EditSettings) -> Tensor:
        """`keyed` with the editor's autoencoder alone in the edit's place: what the editor loses without a prompt."""
        seen = self._squashed(images, settings)
        back = torch.cat([self._net.decode(self._net.encode(part)) for part in seen.split(self.batch)])
        return _restored(px.blended(seen, back, settings.alpha), images)

    def geometry(self, images: Tensor, settings: EditSettings) -> Tensor:
        """What `keyed` does apart from the edit: squash, 8-bit rounding, and back. As `edit` otherwise."""
        return _restored(self._squashed(images, settings), images)

    def candidates(
        self, images: Tensor, prompts: Iterable[str], settings: EditSettings
    ) -> Iterator[tuple[str, Tensor]]:
        """`keyed` for each prompt in turn, over the same images; lazily.

        Batches are filled across prompts, so a few images and many prompts waste nothing; for that, up to
        one batch of edits is made ahead of the prompt that is handed out.
        """
        seen = self._squashed(images, settings)
        if settings.alpha == 0:
            yield from ((prompt, _restored(seen, images)) for prompt in prompts)
            return
        for prompt, edits in self._edits(seen, prompts, settings, None):
            yield prompt, _restored(px.blended(seen, edits, settings.alpha), images)

    def _squashed(self, images: Tensor, settings: EditSettings) -> Tensor:
        size = self.size(settings)
        return px.resized(px.to_bytes(images), size, size)

    def _edits(
        self, images: Tensor, prompts: Iterable[str], settings: EditSettings, progress: Progress | None
    ) -> Iterator[tuple[str, Tensor]]:
        """Each prompt with the raw edits of ``images`` (N, 3, S, S) uint8: the same shape and type."""
        marks = px.digests(images)
        by_mark = dict(zip(marks, images, strict=True))  # equal images are edited once
        size = images.shape[-1]
        waiting: deque[_Request] = deque()
        rows: deque[tuple[_Request, bytes]] = deque()

        def finished() -> Iterator[tuple[str, Tensor]]:
            while waiting and len(waiting[0].edits) == len(by_mark):
                request = waiting.popleft()
                yield request.prompt, px.joined([request.edits[mark] for mark in marks], size, size)

        def report() -> None:
            if progress is not None:
                progress(len(marks) - len(rows), len(marks))

        for prompt in prompts:
            request = self._request(prompt, list(by_mark), settings, size)
            waiting.append(request)
            rows.extend((request, mark) for mark in request.missing)
            report()
            while len(rows) >= self.batch:
                self._run([rows.popleft() for _ in range(self.batch)], by_mark, settings)
                report()
            yield from finished()
        while rows:
            self._run([rows.popleft() for _ in range(min(len(rows), self.batch))], by_mark, settings)
            report()
        yield from finished()

    def _request(self, prompt: str, marks: list[bytes], settings: EditSettings, size: int) -> _Request:
        space = self._space(prompt, settings, size)
        cached = {} if self.cache is None else self.cache.get_many(space, marks)
        request = _Request(prompt, space, [])
        for mark in marks:
            edit = cached.get(mark)
            if edit is not None and len(edit) == 3 * size * size:
                request.edits[mark] = edit
            else:
                request.missing.append(mark)
        return request

    def _space(self, prompt: str, settings: EditSettings, size: int) -> bytes:
        """Everything but the image and α that an edit depends on, down to its last bit."""
        text = settings.guidance if settings.guided else 1.0
        image = settings.image_guidance if settings.guided else 1.0
        what = [prompt, settings.steps, text, image, settings.seed, settings.noise, size]
        where = [self.fingerprint, self.batch, *self._machine(), *_versions()]
        return hashlib.blake2b(json.dumps([what, where]).encode(), digest_size=20).digest()

    def _machine(self) -> tuple[Any, ...]:
        if self.device.type == "cuda":
            return ("cuda", torch.cuda.get_device_name(self.device))
        return (str(self.device), platform.machine(), torch.backends.cpu.get_cpu_capability(), torch.get_num_threads())

    def _run(self, rows: Sequence[tuple[_Request, bytes]], images: dict[bytes, Tensor], settings: EditSettings) -> None:
        """Edit ``rows`` (prompt and image, at most a batch of them) and keep what comes out."""
        size = next(iter(images.values())).shape[-1]
        for part, shape in self._split(rows, settings.guided, size):
            latents = self._encoded([mark for _, mark in part], images, shape)
            context = torch.stack([self._embedded(request.prompt) for request, _ in part])
            seeds = [_noise_seed(settings, mark) for _, mark in part]
            filled = [*range(len(part)), *[len(part) - 1] * (shape - len(part))]
            generators = [torch.Generator().manual_seed(seeds[i]) for i in filled]
            edits = self._net.denoise(latents[filled], context[filled], self._embedded(""), generators, settings)
            fresh: dict[bytes, dict[bytes, bytes]] = {}
            for (request, mark), edit in zip(part, edits.numpy(), strict=False):
                request.edits[mark] = edit.tobytes()
                fresh.setdefault(request.space, {})[mark] = request.edits[mark]
            self.edited += len(part)
            if self.cache is not None:
                for space, pixels in fresh.items():
                    self.cache.put_many(space, pixels)

    def _split(self, rows: Sequence[Any], guided: bool, size: int) -> Iterator[tuple[Sequence[Any], int]]:
        """``rows`` in parts, each with the shape of its batch, so that little of a batch is padding."""
        shapes = [self.batch]
        if len(rows) <= self.batch - self.batch // 4:
            shapes += self._smaller(guided, size)
        at, left = 0, -(-len(rows) // shapes[-1]) * shapes[-1]
        for shape in shapes:
            while left >= shape:
                yield rows[at : at + shape], shape
                at, left = at + shape, left - shape

    def _smaller(self, guided: bool, size: int) -> list[int]:
        """Half and quarter batches, where they give the bits of a full one; found once."""
        where = (guided, size, *self._machine())
        if where not in self._agreeing:
            small = [n for n in (self.batch // 2, self.batch // 4) if n >= LEAST]
            self._agreeing[where] = self._net.same_bits(small, self.batch, guided, size) if small else []
        return self._agreeing[where]

    def _encoded(self, marks: Sequence[bytes], images: dict[bytes, Tensor], shape: int) -> Tensor:
        """(B, C, h, w) latents of the images ``marks``, each encoded once as long as it is remembered."""
        known = {mark: self._latents[mark] for mark in marks if mark in self._latents}
        new = [mark for mark in dict.fromkeys(marks) if mark not in known]
        if new:
            filled = [*new, *[new[-1]] * (shape - len(new))]
            latents = self._net.encode(torch.stack([images[mark] for mark in filled]))
            known.update(zip(new, latents, strict=False))
        for mark in known:
            self._latents[mark] = known[mark].clone() if mark in new else known[mark]
            self._latents.move_to_end(mark)
        while len(self._latents) > _LATENTS_KEPT:
            self._latents.popitem(last=False)
        return torch.stack([known[mark] for mark in marks])

    def _embedded(self, prompt: str) -> Tensor:
        if prompt not in self._prompts:
            self._prompts[prompt] = self._net.embed(prompt)
            if len(self._prompts) > _PROMPTS_KEPT:
                self._prompts.popitem(last=False)
        self._prompts.move_to_end(prompt)
        return self._prompts[prompt]


def _restored(pixels: Tensor, like: Tensor) -> Tensor:
    height, width = like.shape[2:]
    return px.to_unit(px.resized(pixels, height, width)).to(like.device)


def _noise_seed(settings: EditSettings, mark: bytes) -> int:
    if settings.noise == "shared":
        return settings.seed
    mixed = hashlib.blake2b(mark, digest_size=8, key=settings.seed.to_bytes(8, "big")).digest()
    return int.from_bytes(mixed, "big") >> 1


def rows(small: bool, device: str, memory: int = 0) -> int:
    """Rows of a batch of an editor by the card alone, not by what is free: another shape may round otherwise.

    Args:
        small: whether the denoiser is so small that one image does not fill a processor.
        device: ``cpu`` or ``cuda``.
        memory: bytes of the device, where it is a GPU.
    """
    if small:
        return FULL
    return 1 if device == "cpu" else WIDE if memory >= ROOMY else 16


def _memory(device: torch.device) -> int:
    return int(torch.cuda.get_device_properties(device).total_memory) if device.type == "cuda" else 0


def _device(device: str | torch.device) -> torch.device:
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise UserError(f"There is no device {str(device)!r}.", "Use cpu, or cuda where there is one.") from error
    if place.type == "cuda" and (not torch.cuda.is_available() or (place.index or 0) >= torch.cuda.device_count()):
        raise UserError(f"Device {place} is not here.", "Use cpu.")
    return place


@functools.cache
def _versions() -> tuple[str, ...]:
    import diffusers
    import transformers

    return torch.__version__, diffusers.__version__, transformers.__version__


@functools.cache
def _engine(editor: str, device: str, dtype: str, cache_path: str | None) -> Engine:
    return Engine(editor, device, dtype, None if cache_path is None else EditCache(Path(cache_path)))


def get_engine(editor: str, device: str = "cpu", dtype: str = "float32", cache_path: Path | None = None) -> Engine:
    """The engine of these arguments, made once per process; arguments and errors as `Engine`."""
    return _engine(str(editor), str(device), dtype, None if cache_path is None else str(cache_path))


def current(editor: str) -> Engine:
    """The engine of ``editor`` under the session of this process."""
    return get_engine(editor, session.current.device, session.current.dtype, session.current.cache)
