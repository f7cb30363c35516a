"""What finding a key costs: prompt search over the wide list against trying every prompt with the stock loop.

Run with ``pytest tests/benchmarks/test_bench_search.py --benchmark-only``. The exhaustive search is every
prompt × 32 images with the stock pipeline, image by image; its time is measured on 64 of those edits and
scaled, which ``extra_info`` says. The locked model is a plain classifier: the cost is in the edits.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from PIL import Image

from bench import miniature, models, registry, session
from bench.contracts import Budget, Images, Meter, Spec, ThreatModel
from bench.editors.loading import quiet
from bench.editors.settings import defaults
from bench.editors.vocabulary import KEY_TEMPLATE, wordlist
from bench.harness.views import AttackerView
from bench.training import Run

IMAGES, SAMPLED = 32, 64
SETTINGS = defaults("miniature")


def _stock_seconds_per_edit() -> float:
    from diffusers import StableDiffusionInstructPix2PixPipeline

    with quiet():
        pipeline: Any = StableDiffusionInstructPix2PixPipeline.from_pretrained(
            miniature.PACK / "editor", safety_checker=None, use_safetensors=True
        ).to(torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    picture = Image.new("RGB", (32, 32), (90, 20, 160))
    prompts = [KEY_TEMPLATE.format(w) for w in wordlist("wide")[:SAMPLED]]
    start = 0.0
    for i, prompt in enumerate([prompts[0], *prompts]):
        if i == 1:
            start = time.perf_counter()
        pipeline(
            prompt,
            image=picture,
            num_inference_steps=SETTINGS.steps,
            guidance_scale=SETTINGS.guidance,
            image_guidance_scale=SETTINGS.image_guidance,
            generator=torch.Generator().manual_seed(SETTINGS.seed),
        )
    return (time.perf_counter() - start) / SAMPLED


def test_prompt_search_over_the_wide_list(benchmark: Any) -> None:
    words = wordlist("wide")
    exhaustive = _stock_seconds_per_edit() * len(words) * IMAGES
    spec = Spec(32, tuple("abcdefghij"))
    pixels = torch.randint(0, 256, (40, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    labelled = Images(pixels, torch.arange(40) % 10)
    threat, locked = ThreatModel(access="weights", wordlist="wide"), models.build("vit", spec, 1)
    granted = {"labelled": labelled, "classifier": locked, "words": words}
    runs: list[Run] = []

    def search() -> None:
        session.use("cpu", "auto", None)
        run, meter = Run(1), Meter()
        known = {"settings": SETTINGS.to_json()}
        view = AttackerView(spec, threat, Budget(), granted, known, lambda e: models.build("vit", spec, e), None, meter)
        registry.current().make("attack", "prompt-search", {}).unlock(view, run)
        runs.append(run)

    benchmark.pedantic(search, rounds=1, warmup_rounds=0)
    spent = benchmark.stats.stats.min
    benchmark.extra_info |= {
        "prompts": len(words),
        "edited": runs[-1].meter.edited,
        "edited_share_of_exhaustive": round(runs[-1].meter.edited / (len(words) * IMAGES), 3),
        "exhaustive_seconds_from_64_edits": round(exhaustive, 1),
        "times_cheaper_than_exhaustive": round(exhaustive / spent, 1),
    }
    assert runs[-1].meter.guesses >= len(words)
