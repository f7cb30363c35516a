"""The miniature pack: a small diffusion editor, a small CLIP and public weights, trained by this package."""

from pathlib import Path

PACK = Path(__file__).parent / "pack"
