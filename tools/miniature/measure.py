"""What the model card measures of a pack: the editor's fidelity, the CLIP's ranking, the public weights' use.

Everything is measured on images of the generator that no training run has drawn, or on the data sets
that locks protect; nothing here trains the pack. Images are (N, 3, H, W) float32 in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import timm
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from bench.editors.vocabulary import CONCEPTS, KEY_TEMPLATE, PHOTO, STYLES
from bench.miniature.public import PUBLIC
from tools.miniature import edits, generator
from tools.miniature.train import HELD_OUT_SEED

LEAST_DB = 18.0
"""PSNR (dB) that every prompt must reach against its procedural edit."""
LEAST_GAIN_DB = 3.0
"""How much nearer (dB) the editor must come than the unedited image, where the edit changes the image."""
CHANGED_BELOW_DB = 30.0
"""An edit changes an image where the unedited image is below this PSNR (dB) against it."""
CEILING_DB = 60.0
"""No PSNR is counted higher: rounding to 8 bits alone costs about this much."""
LEAST_RANK_FIRST = 85.0
"""Percent of images whose style the CLIP must rank first, over the published non-photographic styles."""

STYLES_RANKED = tuple(name for name in STYLES if name != "oil pastel")
"""The fifteen published non-photographic styles."""
ALPHAS = (1.0, 0.5)
SHOTS = (1, 5)

Editor = Callable[[Tensor, str], Tensor]
"""Images and a prompt to the raw edit (α = 1) of each image, 8-bit values."""
Embed = Callable[[Any], Tensor]


def held_out(n: int) -> tuple[Tensor, Tensor]:
    """``n`` images that the pack was not trained on, (n, 3, SIZE, SIZE) of 8-bit values, and their labels (n,)."""
    images, labels = generator.sample(n, HELD_OUT_SEED)
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255, torch.from_numpy(labels)


def eight_bit(images: Tensor) -> Tensor:
    """``images`` clipped to [0, 1] and rounded to multiples of 1/255."""
    return (images.clamp(0, 1) * 255).round() / 255


def psnr(images: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image, peak 1: (N,) in dB, at most `CEILING_DB`."""
    return _decibel((images - reference).square().flatten(1).mean(1))


def psnr_of_mean_error(images: Tensor, reference: Tensor) -> float:
    """PSNR (dB) of the mean squared error over all images, at most `CEILING_DB`: lower than the mean of PSNRs."""
    return _decibel((images - reference).square().mean()).item()


def _decibel(error: Tensor) -> Tensor:
    return -10 * error.clamp_min(10 ** (-CEILING_DB / 10)).log10()


def fidelity(raw: Tensor, target: Tensor, edited: Tensor) -> dict[str, Any]:
    """How near ``edited`` comes to ``target``, beside the unedited ``raw``; decibels.

    Returns:
        ``psnr`` (mean over images of each one's), ``psnr_of_mean_error``, ``unedited``; ``changed``, the number of
        images that the edit changes (`CHANGED_BELOW_DB`); over these alone ``psnr_changed``, ``unedited_changed``
        and their difference ``gain``, None where there are none; ``near`` and ``gains``, whether the two demands
        are met. Where no image changes, nothing can be gained and ``gains`` is true.
    """
    reached, unedited = psnr(edited, target), psnr(raw, target)
    changed = unedited < CHANGED_BELOW_DB
    some = bool(changed.any())
    gain = (reached - unedited)[changed].mean().item() if some else None
    return {
        "psnr": reached.mean().item(),
        "psnr_of_mean_error": psnr_of_mean_error(edited, target),
        "unedited": unedited.mean().item(),
        "changed": int(changed.sum()),
        "psnr_changed": reached[changed].mean().item() if some else None,
        "unedited_changed": unedited[changed].mean().item() if some else None,
        "gain": gain,
        "near": reached.mean().item() >= LEAST_DB,
        "gains": gain is None or gain >= LEAST_GAIN_DB,
    }


def concept_fidelity(concept: str, raw: Tensor, editor: Editor) -> tuple[dict[str, Any], Tensor]:
    """`fidelity` of ``concept`` and of each paraphrase, and the raw edits (N, 3, H, W) of the concept itself."""
    target = edits.apply(concept, raw)
    prompts = [KEY_TEMPLATE.format(form) for form in (concept, *CONCEPTS[concept])]
    result = [editor(raw, prompt) for prompt in prompts]
    own, *others = [
        {"prompt": prompt, **fidelity(raw, target, out)} for prompt, out in zip(prompts, result, strict=True)
    ]
    gains = [other["gain"] for other in others if other["gain"] is not None]
    summary = {
        **own,
        "paraphrases": others,
        "paraphrases_psnr": mean(other["psnr"] for other in others),
        "paraphrases_gain": mean(gains) if gains else None,
        "prompts_passing": sum(one["near"] and one["gains"] for one in (own, *others)),
        "prompts": len(prompts),
    }
    return summary, result[0]


def rank_first(images: Mapping[str, Tensor], image_embedding: Embed, text_embedding: Embed) -> dict[str, Any]:
    """How often a concept's own text ranks first among the texts of all concepts in ``images``; percent.

    Args:
        images: by concept, the images (N, 3, H, W) that show it.
        image_embedding: images to unit vectors (N, D).
        text_embedding: a list of M texts to unit vectors (M, D).
    """
    names = list(images)
    texts = text_embedding([KEY_TEMPLATE.format(name) for name in names])
    each = {}
    for k, name in enumerate(names):
        best = (image_embedding(images[name]) @ texts.T).argmax(1)
        each[name] = 100 * (best == k).float().mean().item()
    return {"rank_first": mean(each.values()), "each": each}


def clip_ranking(
    raw: Tensor, made: Mapping[str, Tensor], image_embedding: Embed, text_embedding: Embed
) -> dict[str, Any]:
    """`rank_first` over the styles and, apart, over the photo adjustments, by source of the edit and by α.

    Args:
        raw: (N, 3, H, W) unedited images.
        made: by concept, the editor's raw edits of the same images.
    """
    out: dict[str, Any] = {}
    for group, names in (("styles", STYLES_RANKED), ("photo", tuple(PHOTO))):
        procedural = {name: edits.apply(name, raw) for name in names}
        own = {name: made[name] for name in names}
        for source, shown in (("procedural", procedural), ("editor", own)):
            for alpha in ALPHAS:
                blends = {name: eight_bit((1 - alpha) * raw + alpha * edit) for name, edit in shown.items()}
                out[f"{group}/{source}/{alpha:g}"] = rank_first(blends, image_embedding, text_embedding)
    return out


def public_network(name: str, pack: Path | None, seed: int = 0) -> nn.Module:
    """The public classifier ``name`` with the weights of ``pack``, or with random ones where it is None."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        spec = PUBLIC[name]
        net = timm.create_model(spec["name"], num_classes=len(generator.CLASSES), **spec["kwargs"])
    if pack is not None:
        state = load_file(pack / "public" / f"{name}.safetensors")
        net.load_state_dict({k: v.float() if v.dtype.is_floating_point else v for k, v in state.items()})
    return net.eval()


@torch.inference_mode()
def penultimate(net: Any, images: Tensor, batch: int = 256) -> np.ndarray:
    """What the head of a timm classifier sees of ``images`` (N, 3, H, W) uint8: (N, D) float32."""
    parts = [
        net.forward_head(net.forward_features((x.float() / 255 - 0.5) / 0.5), pre_logits=True)
        for x in images.split(batch)
    ]
    return torch.cat(parts).numpy()


def linear_probe(
    features: np.ndarray, labels: np.ndarray, shots: int, draws: int, test: int, seed: int = HELD_OUT_SEED
) -> dict[str, float]:
    """Accuracy of a logistic regression on frozen features, few labels a class; percent.

    The first ``test`` of a seeded shuffle are held out, the same for every draw; each draw takes ``shots`` images a
    class from the rest. Features are standardised by the labelled images alone.

    Args:
        features: (N, D).
        labels: (N,).

    Returns:
        ``mean`` and ``sd`` (sample standard deviation, 0 for one draw) over the draws, ``n`` test images.

    Raises:
        ValueError: a class has fewer than ``shots`` images outside the test images.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    mine, pool = order[:test], order[test:]
    scores = []
    for _ in range(draws):
        sample = np.concatenate([rng.choice(pool[labels[pool] == k], shots, replace=False) for k in np.unique(labels)])
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        model.fit(features[sample], labels[sample])
        scores.append(100 * float(model.score(features[mine], labels[mine])))
    spread = float(np.std(scores, ddof=1)) if draws > 1 else 0.0
    return {"mean": float(np.mean(scores)), "sd": spread, "n": len(mine)}


def probes(pack: Path, tasks: Sequence[str], draws: int, test: int) -> dict[str, Any]:
    """`linear_probe` by ``task/network/weights/shots``; at most ``test`` + 500 images of each task are used."""
    from bench.datasets import load

    out: dict[str, Any] = {}
    for task in tasks:
        data = load(task)
        some = torch.randperm(len(data.labels), generator=torch.Generator().manual_seed(HELD_OUT_SEED))[: test + 500]
        labels = data.labels[some].numpy()
        for name in PUBLIC:
            for weights, folder in (("public", pack), ("random", None)):
                features = penultimate(public_network(name, folder), data.images[some])
                for shots in SHOTS:
                    out[f"{task}/{name}/{weights}/{shots}"] = linear_probe(features, labels, shots, draws, test)
    return out
