"""The fields of page-table entries, for whole columns of entries at once.

Where the bits lie is said in :mod:`mapproof.model.machine.words`; rights combine as in
:func:`mapproof.model.machine.tables.path`.
"""

from __future__ import annotations

import numpy as np

from mapproof.model.language.sparse import Column
from mapproof.model.machine.geometry import PAGE_SHIFT, Geometry, Level, PageBit
from mapproof.model.machine.words import layout_of

W, U, X = 1, 2, 4  # rights of a leaf: writable, open to user mode, executable
PRESENT = np.uint64(PageBit.PRESENT.mask)
COMPARED_IN_COPIES = ~np.uint64(PageBit.ACCESSED.mask | PageBit.DIRTY.mask)
"""All bits but accessed and dirty, which hardware sets in each copy of an entry separately."""


class Bits:
    """The masks of the entries of one level."""

    def __init__(self, geometry: Geometry, level: Level) -> None:
        self.level = level
        self.last = level is geometry.levels[-1]
        large = layout_of(geometry, level, large=level.leaf and not self.last)
        small = layout_of(geometry, level, large=False)
        self.ps = np.uint64(large.large)
        self.table_frame = np.uint64(_frame_mask(small.pfn))
        leaf = small if self.last else large
        self.pieces = leaf.pfn
        self.reserved_leaf = np.uint64(leaf.reserved)
        # The top level of PAE reserves the accessed bit, but emulators set it all the same.
        accessed = 0 if level.rights else PageBit.ACCESSED.mask
        self.reserved_table = np.uint64(small.reserved & ~accessed)
        self.flags = leaf.flags
        self.pat = leaf.pat

    def has(self, words: Column, flag: str) -> Column:
        """The bit of that name; an entry of this level may not have one."""
        mask = self.flags.get(flag)
        if mask is None:
            return np.zeros(len(words), bool)
        return np.asarray((words & np.uint64(mask)) != 0)

    def is_leaf(self, words: Column) -> Column:
        """Of present entries: those that map a page."""
        if self.last:
            return np.ones(len(words), bool)
        return np.asarray((words & self.ps) != 0)

    def frames(self, words: Column) -> Column:
        """The first frame of the page that leaves map."""
        found = np.zeros(len(words), np.uint64)
        for low, bits, place in self.pieces:
            mask = np.uint64((1 << bits) - 1)
            found |= (words >> np.uint64(low) & mask) << np.uint64(place)
        return found.astype(np.int64)

    def tables(self, words: Column) -> Column:
        """The frame of the table that other entries point to."""
        return ((words & self.table_frame) >> np.uint64(PAGE_SHIFT)).astype(np.int64)

    def types(self, words: Column) -> Column:
        """The index of the memory type of leaves."""
        found = np.zeros(len(words), np.uint8)
        for place, mask in enumerate(self.pat):
            found |= ((words & np.uint64(mask)) != 0).astype(np.uint8) << np.uint8(place)
        return found

    def rights(self, words: Column, above: Column) -> Column:
        """What is left of the rights of the levels above."""
        if not self.level.rights:
            return above
        here = np.full(len(words), 0, np.uint8)
        here |= self.has(words, "writable").astype(np.uint8) * np.uint8(W)
        here |= self.has(words, "user").astype(np.uint8) * np.uint8(U)
        here |= (~self.has(words, "nx")).astype(np.uint8) * np.uint8(X)
        return here & above


def _frame_mask(pieces: tuple[tuple[int, int, int], ...]) -> int:
    return sum(((1 << bits) - 1) << low for low, bits, _ in pieces)
