"""The server that attacks' processes are forked from. It imports for seconds, so it is started early; no torch here."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import forkserver

PRELOADED = ["bench.run.preload"]
"""What the server imports once, so that an attack's process does not: imports are most of its start."""
ENVIRONMENT = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
"""Environment of the server. Some of its imports ask torch whether there is a GPU. Through the CUDA runtime that
initialises CUDA, and no process forked afterwards can use a GPU. Through the driver's library it does not."""


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
