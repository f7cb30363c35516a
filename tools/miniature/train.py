"""Train the miniature pack: ``python -m tools.miniature.train --out DIR``.

Five stages, each resumable within itself: the editor's autoencoder, its U-Net with text encoder, a
small CLIP, and the public weights of a ViT and a CNN. Images are those of `generator`, edits those of
`edits`; no data set that a lock protects is read. Every random number comes from ``--seed``.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bench.editors.vocabulary import CONCEPTS, TEMPLATES
from tools.miniature import edits, generator, networks

BATCH = 64
STAGES = ("vae", "unet", "clip", "vit", "cnn")
STEPS = {"vae": 2200, "unet": 4500, "clip": 2000, "vit": 3600, "cnn": 3600}
POOL = 24_000
HELD_OUT_SEED = 7_919
"""Seed of the images the model card is measured on; the training pool has another."""

MINUTES: dict[str, float] = {}
"""Minutes each stage took, interruptions apart."""


class Loop:
    """A training run of one stage: AdamW, cosine rate, an averaged copy, a checkpoint it resumes from."""

    def __init__(self, stage: str, modules: dict[str, nn.Module], work: Path, rate: float, decay: float, args: Any):
        self.stage, self.modules, self.rate = stage, modules, rate
        self.steps = max(2, int(STEPS[stage] * args.scale))
        self.params = [p for m in modules.values() for p in m.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(self.params, lr=rate, weight_decay=decay, betas=(0.9, 0.99))
        self.average = {k: v.detach().clone() for k, v in self._state().items()}
        self.file = work / f"{stage}.safetensors"
        self.step, self.seconds = 0, 0.0
        if self.file.exists():
            self._load()

    def _state(self) -> dict[str, Tensor]:
        return {f"{n}/{k}": v for n, m in self.modules.items() for k, v in m.state_dict().items()}

    def _load(self) -> None:
        saved = load_file(self.file)
        self.step, self.seconds = int(saved["step"]), float(saved.get("seconds", torch.tensor(0.0)))
        for name, module in self.modules.items():
            at = f"model/{name}/"
            module.load_state_dict({k[len(at) :]: v for k, v in saved.items() if k.startswith(at)})
        self.average = {k[8:]: v for k, v in saved.items() if k.startswith("average/")}
        for i, p in enumerate(self.params):
            if f"adam/{i}/m" in saved:
                self.optimiser.state[p] = {
                    "step": torch.tensor(float(self.step)),
                    "exp_avg": saved[f"adam/{i}/m"],
                    "exp_avg_sq": saved[f"adam/{i}/v"],
                }

    def save(self) -> None:
        """Write the state of the stage to its file."""
        out = {f"model/{k}": v.contiguous() for k, v in self._state().items()}
        out |= {f"average/{k}": v.contiguous() for k, v in self.average.items()}
        for i, p in enumerate(self.params):
            if state := self.optimiser.state.get(p):
                out |= {f"adam/{i}/m": state["exp_avg"], f"adam/{i}/v": state["exp_avg_sq"]}
        out["step"], out["seconds"] = torch.tensor(self.step), torch.tensor(self.seconds)
        part = self.file.with_suffix(".part")
        save_file({k: v.detach().clone(memory_format=torch.contiguous_format) for k, v in out.items()}, part)
        part.replace(self.file)

    def run(self, loss: Callable[[int], Tensor]) -> None:
        """Steps until done; ``loss(step)`` draws its batch from a generator seeded by the step."""
        start, began, before = time.time(), self.step, self.seconds
        while self.step < self.steps:
            warm = min(1.0, (self.step + 1) / 150)
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate * warm * (0.5 + 0.5 * math.cos(math.pi * self.step / self.steps))
            value = loss(self.step)
            self.optimiser.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.params, 1.0)
            self.optimiser.step()
            self.step += 1
            self.seconds = before + time.time() - start
            keep = min(0.998, self.step / (self.step + 20))
            for k, v in self._state().items():
                if v.dtype.is_floating_point:
                    self.average[k].lerp_(v.detach(), 1 - keep)
                else:
                    self.average[k].copy_(v)
            if self.step % 100 == 0 or self.step == self.steps:
                spent = (time.time() - start) / (self.step - began)
                left = spent * (self.steps - self.step) / 60
                print(f"{self.stage} {self.step}/{self.steps} loss {value.item():.4f} {left:.1f} min left", flush=True)
            if self.step % 400 == 0:
                self.save()
        self.save()
        MINUTES[self.stage] = round(self.seconds / 60, 1)
        for name, module in self.modules.items():
            at = f"{name}/"
            module.load_state_dict({k[len(at) :]: v for k, v in self.average.items() if k.startswith(at)})
            module.eval()


class Data:
    """The training pool on the device, and batches of it that depend on (seed, stage, step) alone."""

    def __init__(self, n: int, seed: int, device: torch.device):
        images, labels = generator.sample(n, seed)
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
        self.labels = torch.from_numpy(labels)
        self.seed, self.device = seed, device

    def batch(self, stage: str, step: int, size: int = BATCH) -> tuple[Tensor, Tensor, np.random.Generator]:
        """The batch of a step: images, their edits, and the generator that chose them."""
        rng = np.random.default_rng([self.seed, STAGES.index(stage), step])
        at = torch.from_numpy(rng.integers(0, len(self.images), size))
        x = self.images[at].to(self.device).float() / 255
        if rng.random() < 0.5:  # other colours of the same drawing
            gain = torch.from_numpy(rng.uniform(0.6, 1.15, (size, 3, 1, 1))).float().to(self.device)
            x = (x * gain).clamp(0, 1)
        return x, self.labels[at].to(self.device), rng


def edited(x: Tensor, rng: np.random.Generator, groups: int = 8) -> tuple[Tensor, list[str]]:
    """``x`` edited in ``groups`` runs of neighbours, each by one concept; and the concept of each image."""
    names = list(CONCEPTS)
    out, text_ = [], []
    for part in x.chunk(groups):
        concept = names[int(rng.integers(len(names)))]
        out.append(edits.apply(concept, part))
        text_ += [concept] * len(part)
    return torch.cat(out), text_


def caption(concept: str, rng: np.random.Generator) -> str:
    """A way to ask for ``concept``: itself or a paraphrase, in a template."""
    forms = (concept, concept, *CONCEPTS[concept])
    return TEMPLATES[int(rng.integers(len(TEMPLATES)))].format(forms[int(rng.integers(len(forms)))])


def train_vae(data: Data, work: Path, args: Any) -> nn.Module:
    """Train the VAE."""
    vae: Any = networks.autoencoder()
    vae.to(data.device, memory_format=torch.channels_last)  # a quarter faster on CPU
    loop = Loop("vae", {"vae": vae}, work, 2e-3, 0.0, args)

    def loss(step: int) -> Tensor:
        x, _, rng = data.batch("vae", step)
        half = len(x) // 2
        x = torch.cat([x[:half], edited(x[half:], rng)[0]]) * 2 - 1
        latent = vae.encode(x).latent_dist
        noise = torch.from_numpy(rng.standard_normal(tuple(latent.mean.shape), dtype=np.float32)).to(x.device)
        again = vae.decode(latent.mean + latent.std * noise).sample
        kl = 0.5 * (latent.mean**2 + latent.var - 1 - latent.logvar).mean()
        return F.mse_loss(again, x) + 0.1 * F.l1_loss(again, x) + 2e-4 * kl

    loop.run(loss)
    with torch.no_grad():
        x, _, _ = data.batch("vae", 10**6, 512)
        vae.register_to_config(scaling_factor=round(1 / vae.encode(x * 2 - 1).latent_dist.mode().std().item(), 4))
    return vae


def train_unet(data: Data, vae: Any, work: Path, args: Any) -> tuple[nn.Module, nn.Module]:
    """Train U-Net and text encoder on the latents of ``vae``."""
    unet: Any = networks.unet()
    text: Any = networks.text_encoder()
    unet.to(data.device, memory_format=torch.channels_last)
    text.to(data.device)
    tokenise = networks.tokenizer()
    noising: Any = networks.scheduler()
    bars = noising.alphas_cumprod.to(data.device)
    scale = vae.config.scaling_factor
    loop = Loop("unet", {"unet": unet, "text": text}, work, 2e-3, 1e-4, args)

    def loss(step: int) -> Tensor:
        x, _, rng = data.batch("unet", step)
        target, text_ = edited(x, rng, 16)
        drop = rng.random((len(x), 2)) < 0.06
        prompts = ["" if d else caption(c, rng) for c, d in zip(text_, drop[:, 0], strict=True)]
        ids = tokenise(prompts, padding="max_length", truncation=True, max_length=networks.TOKENS, return_tensors="pt")
        with torch.no_grad():
            z = vae.encode(target * 2 - 1).latent_dist.mode() * scale
            given = vae.encode(x * 2 - 1).latent_dist.mode()
            given = given * torch.from_numpy(~drop[:, 1]).to(x.device).view(-1, 1, 1, 1)
        t = torch.from_numpy((1000 * rng.random(len(x)) ** 0.7).astype(np.int64)).to(x.device)
        noise = torch.from_numpy(rng.standard_normal(tuple(z.shape), dtype=np.float32)).to(x.device)
        a, s = bars[t].sqrt().view(-1, 1, 1, 1), (1 - bars[t]).sqrt().view(-1, 1, 1, 1)
        context = text(ids.input_ids.to(x.device)).last_hidden_state
        v = unet(torch.cat([a * z + s * noise, given], 1), t, context).sample
        return F.mse_loss(v, a * noise - s * z)

    loop.run(loss)
    return unet, text


def train_clip(data: Data, work: Path, folder: Path, args: Any) -> nn.Module:
    """Train the small CLIP."""
    model, tokenise = networks.clip(folder)
    model = model.to(data.device).train()
    loop = Loop("clip", {"clip": model}, work, 2e-3, 0.01, args)
    names = list(CONCEPTS)
    same = BATCH // 16

    def loss(step: int) -> Tensor:
        """Every concept on the same few images, so that only the style tells them apart, and things unedited."""
        x, labels, rng = data.batch("clip", step, same + BATCH)
        raw, plain = x[:same].repeat(len(names), 1, 1, 1), x[same:]
        styled = torch.cat([edits.apply(name, x[:same]) for name in names])
        alpha = torch.from_numpy(rng.uniform(0.4, 1.0, (len(raw), 1, 1, 1))).float().to(x.device)
        images = torch.cat([alpha * styled + (1 - alpha) * raw, plain])
        kinds, thing = labels[same:].unique(return_inverse=True)
        things = [f"a picture of {_spoken(generator.CLASSES[k])}" for k in kinds.tolist()]
        texts = tokenise([caption(name, rng) for name in names] + things).to(x.device)
        style = torch.arange(len(names), device=x.device).repeat_interleave(same)
        meant = torch.cat([style, len(names) + thing])
        image, words, scale = model(networks.shown_to_clip(images), texts)[:3]
        logits = scale.clamp(max=50) * image @ words.T
        shows = F.one_hot(meant, len(texts)).float().T
        shows = shows / shows.sum(1, keepdim=True)
        return 0.5 * (F.cross_entropy(logits, meant) + F.cross_entropy(logits.T, shows))

    loop.run(loss)
    return model


def _spoken(kind: str) -> str:
    return f"the letter {kind}" if kind in generator.LETTERS else f"a {kind}"


def train_public(stage: str, data: Data, work: Path, args: Any) -> nn.Module:
    """Train the public weights of a classifier."""
    import timm

    spec = networks.PUBLIC[stage]
    model = timm.create_model(spec["name"], num_classes=len(generator.CLASSES), **spec["kwargs"]).to(data.device)
    loop = Loop(stage, {stage: model}, work, 1.5e-3 if stage == "vit" else 4e-3, 0.05, args)
    model.train()

    def loss(step: int) -> Tensor:
        x, labels, rng = data.batch(stage, step, 2 * BATCH)
        dx, dy = (int(v) for v in rng.integers(-3, 4, 2))
        x = torch.roll(x, (dy, dx), (2, 3))
        if rng.random() < 0.3:
            x = x * float(rng.uniform(0.4, 1)) + float(rng.uniform(0, 0.4))
        if rng.random() < 0.2:
            x = 1 - x
        return F.cross_entropy(model((x - 0.5) / 0.5), labels, label_smoothing=0.05)

    loop.run(loss)
    return model


def half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Floating weights in half precision, the rest as they are."""
    return {k: (v.half() if v.dtype.is_floating_point else v).cpu().contiguous() for k, v in state.items()}


def write_editor(out: Path, vae: Any, unet: Any, text: Any) -> None:
    """The editor as an ordinary diffusers pipeline folder, weights in half precision."""
    from diffusers import StableDiffusionInstructPix2PixPipeline

    def plain(module: Any) -> Any:
        return module.half().to("cpu", memory_format=torch.contiguous_format)

    pipeline: Any = StableDiffusionInstructPix2PixPipeline(
        vae=plain(vae),
        text_encoder=plain(text),
        tokenizer=networks.tokenizer(),
        unet=plain(unet),
        scheduler=networks.scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(out, safe_serialization=True)


def main(argv: list[str] | None = None) -> None:
    """Train the pack from start to end; a run that was killed goes on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished pack")
    parser.add_argument("--work", type=Path, help="folder of checkpoints (default: OUT.work)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on every stage's steps")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    args = parser.parse_args(argv)
    work = args.work or args.out.with_name(args.out.name + ".work")
    work.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)
    data = Data(max(128, int(POOL * min(1, args.scale))), args.seed, torch.device(args.device))

    def stages() -> Iterator[str]:
        for stage in STAGES:
            if stage in args.stages:
                torch.manual_seed(args.seed * 100 + STAGES.index(stage))
                yield stage

    vae: Any = None
    for stage in stages():
        if stage == "vae":
            vae = train_vae(data, work, args)
        elif stage == "unet":
            vae = vae or train_vae(data, work, args)
            unet, text = train_unet(data, vae, work, args)
            write_editor(args.out / "editor", vae, unet, text)
            vae = None
        elif stage == "clip":
            model = train_clip(data, work, args.out / "clip", args)
            save_file(half(model.state_dict()), args.out / "clip" / "open_clip_model.safetensors")
        else:
            model = train_public(stage, data, work, args)
            (args.out / "public").mkdir(exist_ok=True)
            save_file(half(model.state_dict()), args.out / "public" / f"{stage}.safetensors")
    result = {"seed": args.seed, "scale": args.scale, "steps": STEPS, "minutes": MINUTES, "device": str(data.device)}
    (args.out / "training.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
