"""Write a pack's model card: ``python -m tools.miniature.card --pack DIR``.

Measures a trained pack (see `measure`) and writes ``MODEL_CARD.md``, ``card.json`` and ``sheet.png`` into
it. The editor runs in the engine that every benchmark uses, in float32.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib
import torch
from PIL import Image, ImageDraw, ImageFont
from safetensors import safe_open
from torch import Tensor

from bench.editors.engine import Engine
from bench.editors.settings import EditSettings
from bench.editors.vocabulary import CONCEPTS, KEY_TEMPLATE
from bench.errors import UserError
from bench.miniature.clip import MiniatureClip
from bench.miniature.public import PUBLIC
from tools.miniature import edits, generator, measure

TASKS = ("digits", "digits-m", "shapes")
NEEDED = (
    "training.json",
    "editor/model_index.json",
    "clip/open_clip_model.safetensors",
    *(f"public/{name}.safetensors" for name in PUBLIC),
)
SETTINGS = EditSettings()
"""How the editor is called: the miniature's defaults; every image has noise of the same seed."""


def check(pack: Path) -> None:
    """Whether ``pack`` holds all parts.

    Raises:
        UserError: a part is missing.
    """
    missing = [name for name in NEEDED if not (pack / name).exists()]
    if missing:
        raise UserError(
            f"{pack} is no finished pack: it lacks {', '.join(missing)}.",
            f"Train it: python -m tools.miniature.train --out {pack}",
        )


def engine_editor(folder: Path) -> measure.Editor:
    """The editor in ``folder`` by the engine, in float32, with `SETTINGS`."""
    engine = Engine(str(folder), "cpu", "float32")

    def edit(images: Tensor, prompt: str) -> Tensor:
        return engine.edit(images, prompt, SETTINGS)

    return edit


def parts(pack: Path) -> list[dict[str, Any]]:
    """Name, parameters and bytes of every weights file of ``pack``."""
    out = []
    for file in sorted(pack.rglob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            count = sum(tensors.get_tensor(key).numel() for key in tensors.keys())  # noqa: SIM118
        out.append({"name": file.relative_to(pack).as_posix(), "parameters": count, "bytes": file.stat().st_size})
    return out


def measured(
    pack: Path, editor: measure.Editor, args: argparse.Namespace, say: Callable[[str], None]
) -> tuple[dict[str, Any], Image.Image]:
    """All that the card says, as JSON, and the picture sheet."""
    start = time.time()
    raw, labels = measure.held_out(args.images)
    concepts: dict[str, Any] = {}
    result: dict[str, Tensor] = {}
    for k, concept in enumerate(CONCEPTS):
        concepts[concept], result[concept] = measure.concept_fidelity(concept, raw, editor)
        say(f"{k + 1}/{len(CONCEPTS)} {concept}: {concepts[concept]['psnr']:.1f} dB")
    few = min(args.clip_images, args.images)
    clip = MiniatureClip.load(pack / "clip")
    some = {name: out[:few] for name, out in result.items()}
    ranking = measure.clip_ranking(raw[:few], some, clip.image_embedding, clip.text_embedding)
    say("CLIP ranked")
    card = {
        "training": json.loads((pack / "training.json").read_text(encoding="utf-8")),
        "parts": parts(pack),
        "megabytes": sum(f.stat().st_size for f in pack.rglob("*") if f.is_file() and f.name not in OWN) / 1e6,
        "settings": {k: v for k, v in SETTINGS.to_json().items() if k not in ("editor", "alpha")},
        "demands": {
            "psnr": measure.LEAST_DB,
            "gain": measure.LEAST_GAIN_DB,
            "changed_below": measure.CHANGED_BELOW_DB,
            "rank_first": measure.LEAST_RANK_FIRST,
        },
        "images": args.images,
        "clip_images": few,
        "concepts": concepts,
        "clip": ranking,
        "probes": measure.probes(pack, TASKS, args.draws, args.test),
        "draws": args.draws,
    }
    at = varied(labels)
    picture = sheet(raw[at], {name: out[at] for name, out in result.items()}, CONCEPTS)
    return {**card, "seconds": round(time.time() - start, 1)}, picture


OWN = ("MODEL_CARD.md", "card.json", "sheet.png")


def varied(labels: Tensor) -> list[int]:
    """The first texture, letter and two objects of different families among images with ``labels`` (N,) int64."""
    first: dict[str, int] = {}
    for at, label in enumerate(labels.tolist()):
        first.setdefault(generator.CLASSES[label], at)
    kinds = ((generator.TEXTURES, 1), (generator.LETTERS, 1), (generator.FAMILIES, 2))
    return [at for names, n in kinds for at in sorted(first[name] for name in names if name in first)[:n]]


def sheet(raw: Tensor, made: dict[str, Tensor], concepts: Iterable[str], zoom: int = 2) -> Image.Image:
    """One row a concept, its name at the left; for each image of ``raw`` three columns: raw, procedural, editor.

    Args:
        raw: (M, 3, H, W).
        made: by concept, the editor's raw edits of the same images.
        zoom: how many times larger images are shown.
    """
    names = list(concepts)
    side, gap, left, top = raw.shape[-1] * zoom, 4, 150, 44
    group = 3 * side + 3 * gap
    canvas = Image.new("RGB", (left + len(raw) * group + gap, top + len(names) * (side + gap) + gap), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), 14)
    small = font.font_variant(size=11)
    draw.text((8, 6), "raw | procedural edit | small editor, α = 1: images not trained on", "black", font=font)
    for m in range(len(raw)):
        for k, title in enumerate(("raw", "procedural", "editor")):
            centre = left + m * group + k * side + side // 2
            draw.text((centre, top - 10), title, "black", font=small, anchor="mm")
    for row, name in enumerate(names):
        y = top + row * (side + gap)
        draw.text((8, y + side // 2), name, "black", font=font, anchor="lm")
        target = edits.apply(name, raw)
        for m in range(len(raw)):
            for k, image in enumerate((raw[m], target[m], made[name][m])):
                pixels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
                tile = Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
                canvas.paste(tile, (left + m * group + k * side, y))
    return canvas


def markdown(card: dict[str, Any]) -> str:
    """``MODEL_CARD.md`` of what `measured` gave."""
    return "\n".join([*_about(card), *_editor_table(card), *_clip_table(card), *_probe_table(card), ""])


def _about(card: dict[str, Any]) -> list[str]:
    result, total = card["training"], sum(card["training"]["minutes"].values())
    steps = {stage: max(2, int(n * result["scale"])) for stage, n in result["steps"].items()}
    stages = ", ".join(f"{s} {steps[s]:,} steps in {result['minutes'].get(s, 0):.1f} min" for s in steps)
    files = [f"| `{p['name']}` | {p['parameters']:,} | {p['bytes'] / 1e6:.2f} |" for p in card["parts"]]
    return [
        "# The miniature pack",
        "",
        "A small text-guided diffusion editor (an ordinary diffusers InstructPix2Pix folder), a small CLIP (loadable"
        " by open_clip) and public weights of two timm classifiers, for benchmarks on a CPU without a network.",
        "It shows the mechanics of locks at 32×32 pixels; it is no substitute for a full-size editor.",
        "",
        "## Training",
        "",
        f"`python -m tools.miniature.train --out DIR --seed {result['seed']} --scale {result['scale']:g}` on"
        f" `{result['device']}`: {total:.1f} minutes in all. {stages}. Weights are kept in half precision;"
        f" without this card and its picture the pack is {card['megabytes']:.1f} MB.",
        "",
        "| weights | parameters | MB |",
        "|---|---:|---:|",
        *files,
        "",
        "## Data",
        "",
        f"Images come from the pack's own generator (`bench/miniature/generator.py`), {len(generator.CLASSES)} classes:"
        f" {len(generator.LETTERS)} letters, {len(generator.TEXTURES)} textures, {len(generator.FAMILIES)} families of"
        " objects. Letters are set in one half of the typefaces that matplotlib carries"
        f" ({', '.join(n.removesuffix('.ttf') for n in generator.PACK_TYPEFACES)}); the other half is for data sets."
        " Edits are the procedural ones of `bench/miniature/edits.py`. The classifier weights have seen no digit and"
        " none of the ten shapes, and nothing here was trained on an image of a data set that a lock protects.",
        "",
        f"All images below were never trained on ({card['images']} from another seed of the generator).",
        "",
    ]


def _editor_table(card: dict[str, Any]) -> list[str]:
    demands, concepts = card["demands"], card["concepts"]
    rows = [
        f"| {name} | {c['psnr']:.1f} | {c['psnr_of_mean_error']:.1f} | {c['unedited']:.1f} | {c['changed']} |"
        f" {_decibels(c['psnr_changed'])} | {_decibels(c['unedited_changed'])} | {_decibels(c['gain'], '+')} |"
        f" {c['paraphrases_psnr']:.1f} | {_decibels(c['paraphrases_gain'], '+')} | {_verdict(c['near'])} |"
        f" {_verdict(c['gains'])} | {c['prompts_passing']}/{c['prompts']} |"
        for name, c in concepts.items()
    ]
    prompts = [p for c in concepts.values() for p in (c, *c["paraphrases"])]
    failing = [p for p in prompts if not (p["near"] and p["gains"])]
    passed = sum(c["near"] and c["gains"] for c in concepts.values())
    lines = [
        "## Editor",
        "",
        f"The raw edit (α 1) in float32, {SETTINGS.steps} steps, text and image guidance {SETTINGS.guidance:g} (off),"
        f" noise seed {SETTINGS.seed} for every image, against the procedural edit; by `bench.editors.engine`, which"
        f" agrees with the stock diffusers pipeline (`tests/test_editors.py`); prompt `{KEY_TEMPLATE.format('…')}`."
        f" PSNR in dB is computed for each image (at most {measure.CEILING_DB:g}) and then averaged over images;"
        " “of mean error” is the PSNR of the mean squared error over all images. “Changed” counts the images where the"
        f" edit changes the image: the unedited image is below {demands['changed_below']:g} dB; the three columns after"
        f" it are means over these alone. Demands: PSNR at least {demands['psnr']:g} dB, gain at least"
        f" {demands['gain']:g} dB. The pass columns speak of the concept's own prompt; the last counts its prompts,"
        " paraphrases included, that meet both.",
        "",
        "| concept | PSNR | of mean error | unedited | changed | PSNR, changed | unedited, changed | gain |"
        f" paraphrases, PSNR | paraphrases, gain | ≥ {demands['psnr']:g} dB | ≥ +{demands['gain']:g} dB | prompts |",
        "|---|" + "---:|" * 9 + "---|---|---:|",
        *rows,
        "",
        f"{passed} of {len(concepts)} concepts meet both demands; of all {len(prompts)} prompts"
        f" {len(prompts) - len(failing)} do.",
    ]
    if failing:
        text = "; ".join(f"“{p['prompt']}” ({p['psnr']:.1f}, gain {_decibels(p['gain'], '+')})" for p in failing)
        lines += ["", f"Below: {text}."]
    return [*lines, "", "![raw, procedural edit, editor, for four images](sheet.png)", ""]


def _clip_table(card: dict[str, Any]) -> list[str]:
    ranking, least = card["clip"], card["demands"]["rank_first"]
    rows = []
    for group, title in (("styles", "15 published styles, not photographic"), ("photo", "5 photo adjustments")):
        for source, by in (("procedural", "procedural edits"), ("editor", "the editor's own edits")):
            cells = []
            for alpha in measure.ALPHAS:
                value = ranking[f"{group}/{source}/{alpha:g}"]["rank_first"]
                verdict = f" ({_verdict(value >= least)})" if group == "styles" else ""
                cells.append(f"{value:.1f}{verdict}")
            rows.append(f"| {title} | {by} | {' | '.join(cells)} |")
    weak = sorted(ranking["styles/editor/1"]["each"].items(), key=lambda item: item[1])[:3]
    return [
        "## CLIP",
        "",
        f"How often the right text, `{KEY_TEMPLATE.format('{concept}')}`, ranks first among the texts of its group, in"
        f" percent, over {card['clip_images']} unseen images a concept, edited and then blended with weight α. Demand"
        f" for the styles: at least {least:g}. Chance: {100 / len(measure.STYLES_RANKED):.1f} and 20.",
        "",
        "| group | edited by | α 1 | α 0.5 |",
        "|---|---|---:|---:|",
        *rows,
        "",
        f"Weakest styles in the editor's own edits at α 1: {', '.join(f'{n} {v:.0f}' for n, v in weak)}.",
        "",
    ]


def _probe_table(card: dict[str, Any]) -> list[str]:
    match = card["probes"]
    rows = []
    for task in TASKS:
        for name in PUBLIC:
            cells = []
            for shots in measure.SHOTS:
                for weights in ("public", "random"):
                    value = match[f"{task}/{name}/{weights}/{shots}"]
                    cells.append(f"{value['mean']:.1f} ± {value['sd']:.1f}")
            rows.append(f"| {task} | {name} | {' | '.join(cells)} |")
    n = next(iter(match.values()))["n"]
    return [
        "## Public weights",
        "",
        "A logistic regression on the frozen penultimate features of each public classifier, with few labelled images a"
        f" class; accuracy in percent on {n} held-out images, mean ± standard deviation over {card['draws']} draws of"
        " the labelled images. Beside it the same network with random weights (one draw), as the control.",
        "",
        "| task | network | 1 a class, public | 1 a class, random | 5 a class, public | 5 a class, random |",
        "|---|---|---:|---:|---:|---:|",
        *rows,
    ]


def _decibels(value: float | None, sign: str = "") -> str:
    return "—" if value is None else f"{value:{sign}.1f}"


def _verdict(holds: bool) -> str:
    return "pass" if holds else "**fail**"


def main(argv: list[str] | None = None) -> int:
    """Write the card; 0, or 2 with one line on what is missing."""
    parser = argparse.ArgumentParser(description="Measure a trained miniature pack and write its model card.")
    parser.add_argument("--pack", type=Path, required=True, help="folder of the trained pack")
    parser.add_argument("--images", type=int, default=128, help="unseen images a prompt")
    parser.add_argument("--clip-images", type=int, default=64, help="of these, images the CLIP is asked about")
    parser.add_argument("--draws", type=int, default=10, help="draws of the labelled images of a linear probe")
    parser.add_argument("--test", type=int, default=500, help="held-out images of a linear probe")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    try:
        check(args.pack)
        editor = engine_editor(args.pack / "editor")
        card, picture = measured(args.pack, editor, args, lambda line: print(line, flush=True))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    (args.pack / "card.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (args.pack / "MODEL_CARD.md").write_text(markdown(card), encoding="utf-8")
    picture.save(args.pack / "sheet.png", optimize=True)
    print(f"wrote MODEL_CARD.md, card.json and sheet.png in {card['seconds']:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
