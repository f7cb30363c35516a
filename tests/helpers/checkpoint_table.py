# ruff: noqa: E501
"""Writes docs/results/checkpoints.md: what `bench audit` reads, with real architectures and random weights.

python tests/helpers/checkpoint_table.py --out docs/results/checkpoints.md
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.api import checkpoint, live
from bench.api.checkpoint import Options
from bench.errors import UserError
from bench.guests import process as guests
from bench.store.settings import Settings

K = 10
State = dict[str, Tensor]
Save = Callable[[State, Path], None]


def _torch(wrap: Callable[[State], Any]) -> Save:
    return lambda state, file: torch.save(wrap(state), file)


def _prefixed(prefix: str) -> Save:
    return lambda state, file: torch.save({prefix + name: value for name, value in state.items()}, file)


def _safetensors(state: State, file: Path) -> None:
    save_file({name: value.contiguous().clone() for name, value in state.items()}, file)


def _half(state: State, file: Path) -> None:
    save_file({k: v.half() if v.dtype.is_floating_point else v for k, v in state.items()}, file)


PLAIN = _torch(lambda state: state)


@dataclass(frozen=True)
class Case:
    """One checkpoint: the architecture that made it, how it was saved, and how it is read.

    Args:
        made: ``timm:NAME`` or ``torchvision:NAME``, or "" where ``save`` needs none.
        form: how it was saved, in words.
        save: writes the file.
        options: fields of `Options`; ``model`` defaults to what made it.
        args: arguments of the architecture that made it.
        outputs: of it.
    """

    made: str
    form: str
    save: Save
    options: Mapping[str, Any] = field(default_factory=dict)
    args: Mapping[str, Any] = field(default_factory=dict)
    outputs: int = K


def wrapped(key: str) -> Save:
    """A state dict under ``key``, beside what training code keeps with it."""
    return _torch(lambda state: {key: state, "epoch": 3, "optimizer": {"state": {}}})


SMALL = {"image_size": 32}
CASES = [
    Case("timm:resnet18", "safetensors", _safetensors, SMALL),
    Case("timm:resnet18", "state dict, .pth", PLAIN, {**SMALL, "model": "resnet18.a1_in1k"}),
    *(
        Case("timm:resnet18", f"under `{key}`", wrapped(key), SMALL)
        for key in ("state_dict", "model", "model_state_dict", "ema", "state_dict_ema", "model_ema")
    ),
    Case("timm:resnet18", "under `state_dict` and `model`", _torch(lambda s: {"state_dict": {"model": s}}), SMALL),
    *(
        Case("timm:resnet18", f"prefix `{prefix}`", _prefixed(prefix), SMALL)
        for prefix in ("module.", "_orig_mod.", "model.", "net.", "backbone.", "module._orig_mod.model.")
    ),
    Case("timm:resnet18", "timm's script: `arch` beside `state_dict`", _torch(lambda s: {"arch": "resnet18", "state_dict": s}),
         {**SMALL, "model": ""}),
    Case("timm:resnet18", "float16", _half, SMALL),
    Case("torchvision:resnet18", "torchvision's names, read as timm's", PLAIN, {**SMALL, "model": "resnet18"}),
    Case("torchvision:vit_b_16", "torchvision's names", PLAIN),
    Case("torchvision:efficientnet_b0", "torchvision's names", PLAIN, {"image_size": 64}),
    Case("torchvision:convnext_tiny", "torchvision's names", PLAIN, {"image_size": 64}),
    Case("torchvision:densenet121", "torchvision's names", PLAIN, {"image_size": 64}),
    Case("torchvision:vgg11", "torchvision's names", PLAIN, {"image_size": 64}),
    Case("torchvision:mobilenet_v3_small", "torchvision's names", PLAIN, {"image_size": 64}),
    Case("torchvision:squeezenet1_1", "torchvision's names", PLAIN, {"image_size": 64}),
    Case("torchvision:swin_t", "torchvision's names", PLAIN),
    Case("torchvision:googlenet", "torchvision's names, auxiliary heads", PLAIN),
    Case("timm:deit_tiny_distilled_patch16_224", "two heads", PLAIN, SMALL, {"img_size": 32}),
    Case("timm:levit_128s", "two heads", PLAIN),
    Case("timm:pit_ti_distilled_224", "two heads", PLAIN),
    Case("timm:crossvit_tiny_240", "two branches", PLAIN),
    Case("timm:efficientformer_l1", "two heads", PLAIN),
    Case("timm:resnetv2_50x1_bit", "convolutional head (BiT)", PLAIN, {"image_size": 64}),
    Case("timm:mobilenetv3_small_050", "convolution before the head", PLAIN, {"image_size": 64}),
    Case("timm:dla46x_c", "convolutional head", PLAIN, {"image_size": 64}),
    Case("timm:volo_d1_224", "auxiliary head", PLAIN),
    Case("timm:sequencer2d_s", "head with pooling", PLAIN),
    Case("timm:hrnet_w18_small", "stages with other names", PLAIN, {"image_size": 64}),
    Case("timm:vit_tiny_patch16_224", "another size of image", PLAIN, {"image_size": 96}, {"img_size": 96}),
    Case("timm:vit_tiny_patch16_224", "`--model-args`", PLAIN, {"model_args": {"depth": 2, "global_pool": "avg"}},
         {"depth": 2, "global_pool": "avg"}),
    Case("timm:vit_base_patch16_224", "ModelLock: MAE ViT-B/16 under `model`, one more output, `fc_norm` twice", wrapped("model"),
         {"model_args": {"global_pool": "avg"}, "fc_norm": "twice", "mean": (0.485, 0.456, 0.406),
          "std": (0.229, 0.224, 0.225), "resize": 256}, {"global_pool": "avg"}, K + 1),
    Case("timm:resnet18", "three more outputs", PLAIN, SMALL, {}, K + 3),
    Case("timm:resnet18", "a factory in a file", PLAIN, {**SMALL, "factory": "FACTORY", "model": ""}),
    Case("live", "a live timm module", PLAIN, SMALL),
    Case("live-own", "a live module of one's own", PLAIN, SMALL),
    Case("timm:resnet18", "fewer outputs than classes", PLAIN, SMALL, {}, K - 1),
    Case("timm:resnet18", "read as another architecture", PLAIN, {**SMALL, "model": "resnet34"}),
    Case("timm:vit_tiny_patch16_224", "read at another size", PLAIN, {"image_size": 96}),
    Case("timm:resnet18", "no architecture named", PLAIN, {**SMALL, "model": ""}),
    Case("timm:resnet18", "`hf-hub:` name, offline", PLAIN, {**SMALL, "model": "hf-hub:timm/resnet18.nowhere"}),
    Case("timm:resnet18", "weights that are not finite", lambda s, f: torch.save({**s, "fc.bias": s["fc.bias"] / 0}, f), SMALL),
    Case("whole", "a whole pickled model", PLAIN, SMALL),
    Case("timm:resnet18", "a pointer of Git LFS", lambda _s, f: f.write_text("version https://git-lfs.github.com/spec/v1\n"), SMALL),
    Case("timm:resnet18", "a web page", lambda _s, f: f.write_text("<!DOCTYPE html>"), SMALL),
    Case("timm:resnet18", "an optimiser's state alone", lambda _s, f: torch.save({"epoch": 3, "lr": 0.1}, f), SMALL),
]  # fmt: skip


class Own(nn.Module):
    """An architecture that no library names."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, K)


def _network(case: Case) -> nn.Module:
    source, _, name = case.made.partition(":")
    torch.manual_seed(0)
    if source == "torchvision":
        net: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=case.outputs)
        return net
    return timm.create_model(name or "resnet18", num_classes=case.outputs, **case.args)


def result(case: Case, folder: Path) -> str:
    """``loaded: …`` or ``refused: …``, as `bench audit` reads the checkpoint on `digits`."""
    options = dict(case.options)
    try:
        if case.made in ("live", "live-own"):
            module = Own() if case.made == "live-own" else timm.create_model("resnet18", num_classes=K)
            options["model"] = live.name_of(module, {})
            file = live.save(module, folder)
        else:
            file = folder / ("c.safetensors" if case.save in (_safetensors, _half) else "c.pth")
            net = _network(case) if case.made != "whole" else None
            if net is None:
                torch.save(timm.create_model("resnet18", num_classes=K), file)
            else:
                case.save(net.state_dict(), file)
                options.setdefault("model", case.made.removeprefix("timm:"))
            if options.get("factory"):
                factory = folder / "own_code.py"
                factory.write_text(
                    "import timm\n\ndef make(num_classes):\n    return timm.create_model('resnet18', num_classes=num_classes)\n"
                )
                options["factory"] = f"{factory}:make"
        if "image_size" in options:
            options.setdefault("resize", options["image_size"])
        reading = checkpoint.describe(file, "digits", Options(**{"start": "random", **options}), Settings(), 32)
    except UserError as error:
        text = f"refused: {error}".replace("\n", " / ")
    else:
        facts = reading.facts
        notes = "; ".join([f"{facts.outputs} outputs, {facts.parameters:,} parameters", *facts.notes])
        text = f"loaded: {notes}" + ("" if facts.is_split else "; attacks on the head are approximate")
    return text.replace(f"{folder}/", "")


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("docs/results/checkpoints.md"))
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    guests.start()
    torch.set_num_threads(1)
    rows = []
    for number, case in enumerate(CASES, 1):
        with tempfile.TemporaryDirectory() as folder:
            rows.append((number, case.made or "–", case.form, result(case, Path(folder))))
    loaded = sum(text.startswith("loaded") for *_, text in rows)
    lines = [
        "# Checkpoints that `bench audit` reads",
        "",
        f"{len(rows)} checkpoints with random weights: {loaded} loaded, {len(rows) - loaded} refused. Each has {K} classes and is",
        "read as `bench audit` reads it, in a process of its own, which also sends two images through it.",
        "",
        "Command: `python tests/helpers/checkpoint_table.py --out docs/results/checkpoints.md`",
        "",
        "| # | made with | saved as | result |",
        "|---|---|---|---|",
        *(f"| {n} | `{made}` | {form} | {text.replace('|', chr(92) + '|')} |" for n, made, form, text in rows),
    ]
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text("\n".join(lines) + "\n")
    if chosen.json:
        chosen.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
