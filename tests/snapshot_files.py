"""The snapshots of real kernels that tests use, and their audits."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from mapproof.catalog import Catalog
from mapproof.model.language import Property
from mapproof.snapshots.audit import Audit, about_snapshots, audit
from mapproof.snapshots.image import Image
from mapproof.snapshots.readers import read_image

FOLDER = Path(__file__).parent / "snapshots"
NAMES = ("amd64_pti", "amd64_nopti", "amd64_pti_auto_global", "i386_pae_pti", "amd64_pti_seeded")

# Taken since, of the same kernel: the kernel image and the direct map moved; 5-level paging.
OTHERS = ("amd64_kaslr", "amd64_la57")


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.ptsnap.xz"


@cache
def image_of(name: str) -> Image:
    return read_image(path_of(name))


@cache
def properties() -> tuple[Property[Any], ...]:
    return tuple(about_snapshots(Catalog().library))


@cache
def audit_of(name: str) -> Audit:
    return audit(image_of(name), properties())
