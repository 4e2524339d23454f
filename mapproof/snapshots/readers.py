"""Which reader a file needs."""

from __future__ import annotations

from pathlib import Path

from .image import Image
from .ptsnap import read_ptsnap


def read_image(path: Path) -> Image:
    """The image in a file of any kind that is known.  Raises BadSnapshot."""
    return read_ptsnap(path)
