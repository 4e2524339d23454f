"""What the header of a snapshot records beside the tables: VMAs of processes, secret memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mapproof.model.language.sparse import Column
from mapproof.model.machine.geometry import PAGE_SHIFT

from .bits import W, X
from .image import MOST_PHYSICAL, Image, as_int

_PAGEMAP_PRESENT = 1 << 63
_PAGEMAP_FRAME = (1 << 55) - 1
_VMA = re.compile(r"(\d{1,9}) ([0-9a-f]{1,16})-([0-9a-f]{1,16}) [r-]([w-])([x-])[ps-] ")
_PAGES = re.compile(r"(\d{1,9}) ([0-9a-f]{1,16}) ([0-9a-f]{1,8}) ([0-9a-f]{1,16})$")
_SECRET = re.compile(r"(\d{1,9}) secret va=0x([0-9a-f]{1,16}) n=(\d{1,6})$")
_REPORTER = 1  # the process that writes the report goes on changing while it does


@dataclass
class Vmas:
    """The VMAs of a process in ascending order; ``rights`` as in :mod:`.walk`."""

    starts: Column
    ends: Column
    rights: Column


def _lines(image: Image, name: str) -> Iterator[str]:
    lines = image.header.get("guest", {}).get(name)
    if isinstance(lines, list):
        yield from (line for line in lines if isinstance(line, str))


def vmas(image: Image) -> dict[str, Vmas]:
    """The VMAs that the machine reported (/proc/PID/maps), by the name of the process in a root."""
    rows: dict[int, list[tuple[int, int, int]]] = {}
    for line in _lines(image, "MAP"):
        match = _VMA.match(line)
        if match:
            pid, start, end = int(match[1]), int(match[2], 16), int(match[3], 16)
            rights = W * (match[4] == "w") | X * (match[5] == "x")
            rows.setdefault(pid, []).append((start, end, rights))
    found: dict[str, Vmas] = {}
    for root in image.roots:
        for name in root.names:
            number = name.rpartition(":")[2]
            if number.isdecimal() and int(number) in rows and int(number) != _REPORTER:
                starts, ends, allowed = zip(*sorted(rows[int(number)]), strict=True)
                found[name] = Vmas(
                    np.array(starts, np.uint64),
                    np.array(ends, np.uint64),
                    np.array(allowed, np.uint8),
                )
    return found


def secret_frames(image: Image) -> list[int] | None:
    """Frames of secret memory: as extracted, or else by the report of a process that has some."""
    frames = image.header.get("secret_pfns") or []
    known = [f for f in (as_int(f, MOST_PHYSICAL >> PAGE_SHIFT) for f in frames) if f is not None]
    if known:
        return known
    areas = {
        int(m[1]): (int(m[2], 16), int(m[3]))
        for m in map(_SECRET.match, _lines(image, "NOTE"))
        if m
    }
    found = []
    for line in _lines(image, "PM"):
        match = _PAGES.match(line)
        if match and int(match[1]) in areas:
            start, pages = areas[int(match[1])]
            va, number, entry = (int(match[i], 16) for i in (2, 3, 4))
            if entry & _PAGEMAP_PRESENT:
                first = entry & _PAGEMAP_FRAME
                pieces = range(min(number, 1 << 20))
                found += [
                    first + i
                    for i in pieces
                    if start <= va + (i << PAGE_SHIFT) < start + (pages << PAGE_SHIFT)
                ]
    return found or None
