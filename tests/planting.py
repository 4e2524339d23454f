"""Changing the page tables of a snapshot, one entry at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mapproof.model.machine.geometry import PAGE_SHIFT
from mapproof.snapshots.image import Image, Root, TablePages

P, RW, US, PWT, G, NX = 1, 2, 4, 8, 0x100, 1 << 63
FRAME = (1 << 52) - (1 << PAGE_SHIFT)


@dataclass(frozen=True)
class Place:
    """One entry of a table page."""

    frame: int
    slot: int


class Patient:
    """A copy of an image whose entries can be changed."""

    def __init__(self, image: Image) -> None:
        content = image.pages.content.copy()
        pages = TablePages(image.pages.frames, content)
        self.image = replace(image, pages=pages, problems=[])
        self.geometry = image.geometry
        self._words = content.view("<u8")

    def root(self, name: str) -> Root:
        """The root with a name that begins so."""
        return next(r for r in self.image.roots if any(n.startswith(name) for n in r.names))

    def user(self, name: str) -> Root:
        """The user root of a process."""
        pair = self.root(name).pair
        return next(r for r in self.image.roots if r.pa == pair)

    def __getitem__(self, place: Place) -> int:
        return int(self._words[self._row(place.frame), place.slot])

    def __setitem__(self, place: Place, word: int) -> None:
        self._words[self._row(place.frame), place.slot] = word

    def _row(self, frame: int) -> int:
        return int(np.flatnonzero(self.image.pages.frames == frame)[0])

    def path(self, root: Root, va: int) -> list[Place]:
        """The entries that translate an address, as far as there are tables."""
        frame, found = root.pa >> PAGE_SHIFT, []
        for level in self.geometry.levels:
            place = Place(frame, self.geometry.index(level.name, va))
            if level is self.geometry.levels[0]:
                place = replace(place, slot=place.slot + (root.pa & 0xFFF) // 8)
            found.append(place)
            word = self[place]
            if not word & P or (level.leaf and word & 0x80):
                break
            frame = (word & FRAME) >> PAGE_SHIFT
        return found

    def leaf(self, root: Root, va: int) -> Place:
        """The entry that maps an address."""
        place = self.path(root, va)[-1]
        assert self[place] & P, hex(va)
        return place

    def entry(self, root: Root, va: int) -> Place:
        """The last-level entry for an address, present or not."""
        path = self.path(root, va)
        assert len(path) == len(self.geometry.levels), hex(va)
        return path[-1]


def frame_of(word: int) -> int:
    return (word & FRAME) >> PAGE_SHIFT


def with_frame(word: int, frame: int) -> int:
    return word & ~FRAME | frame << PAGE_SHIFT
