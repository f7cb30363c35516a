"""Tensors as safetensors, in parts: a set of images larger than the memory is read, sent and dropped piece by piece."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from bench.contracts import Images

LARGE = 64 << 20
"""Bytes from which a message is read in place, without a copy of each tensor."""
_PART = 16 << 20
_HEADER = 1 << 20


def packed(tensors: Mapping[str, Tensor | Images]) -> tuple[int, Iterator[bytes | memoryview]]:
    """The length of ``tensors`` as safetensors, bytes, and its parts.

    Args:
        tensors: by name; a set of images stands for its pixels.
    """
    from safetensors.torch import save

    from bench.contracts import Images

    sets = {name: value for name, value in tensors.items() if isinstance(value, Images)}
    if sum(math.prod(images.shape) for images in sets.values()) < LARGE:
        whole = {name: value.pixels if isinstance(value, Images) else value for name, value in tensors.items()}
        data = save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in whole.items()})
        return len(data), iter((data,) if data else ())
    # The others come first, as safetensors packs them; the pixels follow, and the header is written anew.
    rest = save({n: v.detach().cpu().contiguous().clone() for n, v in tensors.items() if not isinstance(v, Images)})
    size = int.from_bytes(rest[:8], "little")
    header: dict[str, Any] = json.loads(rest[8 : 8 + size])
    end = len(rest) - 8 - size
    for name, images in sets.items():
        start, end = end, end + math.prod(images.shape)
        header[name] = {"dtype": "U8", "shape": list(images.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)

    def parts() -> Iterator[bytes | memoryview]:
        yield len(text).to_bytes(8, "little") + text
        yield rest[8 + size :]
        for images in sets.values():
            for pixels in images.parts(max(1, _PART // math.prod(images.shape[1:]))):
                yield memoryview(pixels.contiguous().numpy()).cast("B")

    return 8 + len(text) + end, parts()


def unpacked(data: bytearray) -> dict[str, Tensor]:
    """The tensors of the safetensors ``data``; those of a large message stay in it, and are not copied.

    Raises:
        SafetensorError, ValueError, KeyError, TypeError, RuntimeError: it is none.
    """
    from safetensors.torch import load

    if len(data) < LARGE:
        return dict(load(bytes(data)))
    import torch

    size = int.from_bytes(data[:8], "little")
    if not 0 < size <= _HEADER:
        raise ValueError("a header of a size that is not allowed")
    header = json.loads(bytes(data[8 : 8 + size]))
    header.pop("__metadata__", None)
    out, at, kinds = {}, 0, _kinds()
    for name, fact in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, end = fact["data_offsets"]
        dtype, shape = kinds[fact["dtype"]], [int(n) for n in fact["shape"]]
        count = math.prod(shape)
        if start != at or min([0, *shape]) < 0 or end - start != count * dtype.itemsize:
            raise ValueError("tensors that overlap, or leave gaps")
        begin, at = 8 + size + start, end
        if begin % dtype.itemsize:
            out[name] = torch.frombuffer(bytearray(data[begin : begin + end - start]), dtype=dtype).view(shape)
        elif count:
            out[name] = torch.frombuffer(data, dtype=dtype, count=count, offset=begin).view(shape)
        else:
            out[name] = torch.empty(shape, dtype=dtype)
    if 8 + size + at != len(data):
        raise ValueError("tensors that are cut")
    return out


def _kinds() -> dict[str, Any]:
    import torch

    return {
        "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
        "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
    }  # fmt: skip
