"""Which region of kernel addresses an address lies in, on this machine."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mapproof.model.language.sparse import Column
from mapproof.model.machine import geometry as machine
from mapproof.model.machine import snapshot as model

from .frames import ascending_bin
from .image import Image, as_int

_BASES = {
    "direct map": "page_offset_base",
    "vmalloc": "vmalloc_base",
    "vmemmap": "vmemmap_base",
}  # where KASLR puts them
_KASAN = "kasan shadow"  # not where regions are moved: kaslr_memory_enabled()


class Regions:
    """The memory map of one machine: that of its geometry, moved to where KASLR has put it."""

    def __init__(self, image: Image) -> None:
        self.geometry = image.geometry
        self.regions = _regions(image)
        self._starts = np.array([r.start for r in self.regions], np.uint64)
        self._ends = np.array([r.end - 1 for r in self.regions], np.uint64)
        names = [_enumerated(r.name) for r in self.regions]
        self._values = np.array([model.Region.values.index(n) for n in names], np.uint8)

    def of(self, va: Column) -> Column:
        """The index of the region of each address, among the values of the model's Region."""
        if not len(va):
            return np.zeros(0, np.uint8)
        at = ascending_bin(self._starts, va)
        inside = (at >= 0) & (va <= self._ends[at])
        none = np.uint8(model.Region.values.index("NONE"))
        return np.where(inside, self._values[at], none)

    def name_of(self, va: int) -> str:
        """The region's name, for reports."""
        return next((r.name for r in self.regions if va in r), "unused hole")

    def named(self, name: str) -> machine.Region | None:
        """The region of that name, if this machine has it."""
        return next((r for r in self.regions if r.name == name), None)


def _enumerated(name: str) -> str:
    return name.replace(" ", "_").upper()


def _regions(image: Image) -> list[machine.Region]:
    bases = [(region, _base(image, region)) for region in image.geometry.regions]
    randomised = any(base not in (None, region.start) for region, base in bases)
    found = []
    for region, base in bases:
        if randomised and region.name == _KASAN:
            continue
        start, end = region.start, region.end
        if base is not None:
            moved = base - start
            start, end = start + moved, min(end + moved, 1 << image.geometry.word_bits)
        found.append(machine.Region(region.name, start, end, region.half))
    if image.geometry.word_bits == 32:
        found = _lowmem(image, found)
    by_start = sorted(found, key=lambda r: r.start)
    cut = [
        machine.Region(a.name, a.start, min(a.end, b.start), a.half) for a, b in pairwise(by_start)
    ]
    return [r for r in [*cut, by_start[-1]] if r.start < r.end]


def _base(image: Image, region: machine.Region) -> int | None:
    """Where a region begins, as the kernel says; nothing but a kernel address is believed."""
    geometry, values = image.geometry, image.header.get("values", {})
    base = as_int(values.get(_BASES.get(region.name, "")))
    if base is None or base < geometry.region("user").end or base != geometry.canonical(base):
        return None
    return base


def _lowmem(image: Image, regions: list[machine.Region]) -> list[machine.Region]:
    """On 32 bits the direct map ends with the memory that there is, and vmalloc begins behind it."""
    direct = next(r for r in regions if r.name == "direct map")
    room = direct.end - direct.start
    ranges = [p for p in image.header.get("memory") or [] if _is_range(p) and p[0] < room]
    end = direct.start + max((min(p[1], room) for p in ranges), default=room)
    found = []
    for region in regions:
        if region.name == "direct map":
            found.append(machine.Region(region.name, region.start, end, region.half))
        elif region.name == "vmalloc":
            found.append(machine.Region(region.name, end, region.end, region.half))
        else:
            found.append(region)
    return found


def _is_range(piece: object) -> bool:
    return isinstance(piece, list) and len(piece) == 2 and None not in map(as_int, piece)
