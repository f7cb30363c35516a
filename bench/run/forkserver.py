"""The server that attacks' processes are forked from. It imports for seconds, so it is started early; no torch here."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import forkserver

PRELOADED = [
    "bench.run.attack_process",
    "bench.registry",
    "bench.predictors",
    "bench.editors.engine",
    "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_instruct_pix2pix",
    "transformers.models.clip.modeling_clip",
]
"""What the fork server imports once, so that an attack's process does not: imports are most of its start."""


ENVIRONMENT = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
"""What the server has in its environment: some of what it imports asks torch whether there is a GPU. Asked of the
CUDA runtime, that initialises CUDA, and no process forked from one that did can use a GPU; asked of the driver's
management library it does not."""


def start() -> None:
    """Start the fork server if it is not running; it imports on another core while this process does."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
