"""The small suite: one lock, one attack, their controls, a short public baseline, on pictures of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from places import PLUGINS

FILES = [PLUGINS / f"{name}.py" for name in ("tint", "quick_lock", "nosy", "tiny")]


def pictures(root: Path) -> str:
    """The task of 3 × 30 small pictures in ``root``: a bright bar at the left, in the middle, or at the right."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(("left", "middle", "right")):
        (root / name).mkdir()
        for i in range(30):
            image = rng.integers(0, 90, (32, 32, 3), dtype=np.uint8)
            image[:, 3 + 10 * k : 9 + 10 * k] += 120
            Image.fromarray(image).save(root / name / f"{i}.png")
    return f"folder:{root}"


def row(task: str) -> str:
    """The row of the suite's file."""
    return f"""[[row]]
locks = ["quick-lock"]
attacks = ["logit-surgery"]
tasks = ["{task}"]
models = ["tiny"]
params = {{ "task.size" = 16, "threat.share" = 0.2 }}
public_baseline = {{ "attack.trials" = 1, "attack.steps" = 10 }}
"""


def arguments(suite: Path, store: Path) -> list[str]:
    """Those of ``bench`` that run the file ``suite`` into ``store``."""
    base = ["run", "--suite", str(suite), "--threads", "1", "--device", "cpu", "--store", str(store)]
    return [*base, *(f"--plugin={file}" for file in FILES)]
