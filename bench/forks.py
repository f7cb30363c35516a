"""The server that attacks' processes are forked from. It imports for seconds, so it is started early; no torch here."""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver

PRELOADED = [
    "bench.isolation",
    "bench.registry",
    "bench.predictors",
    "bench.editors.engine",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_instruct_pix2pix",
    "transformers.models.clip.modeling_clip",
]
"""What the fork server imports once, so that an attack's process does not: imports are most of its start."""


def start() -> None:
    """Start the fork server if it is not running; it imports on another core while this process does."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()
