"""A locked checkpoint of one's own: judged and attacked as it is, without its victim or the method that made it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.checkpoints import fitting, reading
from bench.checkpoints.preprocessing import three
from bench.contracts import Classifier, DefenderNeeds, DefenderView, Key, Lock, Run, param
from bench.errors import UserError
from bench.hashing import file_digest


class Given(Lock):
    """A locked checkpoint of one's own: safetensors, or a state dict that `torch.save` wrote.

    `--model` names its architecture. Without the victim there is no oracle, and no recovery. Where no key is named,
    authorised images are the raw ones; `-p lock.key=edit -p key.key_choice=fixed -p key.prompt="..."` names one.
    `bench audit` fills in the parameters and says how it reads the file.
    """

    title = "a checkpoint of one's own"
    role = "given"
    key = "none"
    tasks = ("classification", "segmentation")
    files = ("file",)

    file: str = param("", "the weights: .safetensors, .pth or .pt; outputs beyond K are the lock's own")
    digest: str = param("", "digest of the file, as `bench audit` sets it: rows are then compared by content, not path")
    weights_key: str = param("", "the key of the file that holds the weights, such as ema; empty: the first there is")
    order: str = param("", "the output of each class, as 2,0,1; empty: in the order of the data's classes")
    mean: str = param("", "mean of the channels, as 0.5 or 0.485,0.456,0.406; empty: the architecture's own")
    std: str = param("", "standard deviation of the channels; empty: the architecture's own")
    image_size: int = param(0, "side that the network sees; 0: the architecture's own", ge=0, le=2048, unit="pixels")
    resize: int = param(0, "side before the centre is cut out; 0: the same", ge=0, le=2048, unit="pixels")
    interpolation: str = param("bicubic", "of the resizing", choices=("bicubic", "bilinear", "nearest"))
    norm: str = param("once", "how often fc_norm is applied", choices=("once", "twice"))

    def needs(self) -> DefenderNeeds:
        return DefenderNeeds(authorised=False, unauthorised=False, victim=False)

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        file = Path(self.file).expanduser()
        checkpoint = reading.read(file, self.weights_key)
        if self.digest and file_digest(file) != self.digest:
            raise UserError(f"{self.file} is not the file with the digest {self.digest}.", "Leave lock.digest out.")
        order = _numbers("order", self.order, int)
        own = fitting.fit(self.file, checkpoint.state, victim, order or None, self._spec(victim), run.seed("extra"))
        run.note(outputs=own.outputs, reading=checkpoint.notes + own.notes)
        return own.model

    def _spec(self, victim: Classifier) -> dict[str, Any]:
        """Fields of the spec that the parameters set."""
        spec: dict[str, Any] = {}
        for name in ("mean", "std"):
            values = three(_numbers(name, getattr(self, name), float))
            if values and (len(values) != 3 or (name == "std" and min(values) <= 0)):
                raise UserError(f"lock.{name}={getattr(self, name)} is not allowed.", "Give one number, or three.")
            spec |= {name: list(values)} if values else {}
        spec |= {"size": self.image_size} if self.image_size else {}
        size = spec.get("size", victim.spec.get("size"))
        if self.resize and size and self.resize < size:
            raise UserError(f"lock.resize={self.resize} is smaller than the {size} pixels that are cut out.")
        spec |= {"resize": self.resize} if self.resize and self.resize != size else {}
        spec |= {"interpolation": self.interpolation} if self.interpolation != "bicubic" else {}
        return spec | ({"norm": "twice"} if self.norm == "twice" else {})


def _numbers(name: str, text: str, kind: type) -> list[Any]:
    try:
        return [kind(x) for x in json.loads(f"[{text}]")]
    except (ValueError, TypeError):
        raise UserError(f"lock.{name}={text} is no list of numbers.", "Write numbers with commas between.") from None
