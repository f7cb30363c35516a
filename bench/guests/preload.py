"""What the nursery imports before it forks: all that a guest may need, which takes seconds."""

import importlib

import bench.preload
from bench import determinism

ROOMS = ("bench.guests.answering", *(f"bench.harness.{job}_process" for job in ("attack", "key", "lock", "victim")))
for name in ROOMS:
    importlib.import_module(name)  # by name: the ground floor knows the run's rooms by name alone
determinism.deterministic("cpu")  # its first call imports for most of a second
del bench
