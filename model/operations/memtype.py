"""memtype_reserve() and memtype_free() of ranges that are not RAM.

An interval tree has one entry for each reservation.  A range may be reserved many times, by those who
map it, as long as all that overlap have one type: a caller that asks for another type gets that one,
and may refuse it.  Entries are the same whoever made them; that one is somebody's is what a reader of
the kernel keeps account of, and what tells whether they are balanced.
"""

from __future__ import annotations

from ..language import TRUE, Bool, Fun, Map, Sort, State, Update, assumption, exists, forall
from ..machine.entries import CacheType


class Range(Sort):
    """A range of physical addresses."""

    @classmethod
    def show(cls, index: int) -> str:
        return f"mem {0xFD00_0000 + (index << 20):#x}"


class Mapper(Sort):
    """Who maps a range: a ``vm_struct`` of ioremap(), a VMA, a ``dev_pagemap``."""


class Memtypes(State):
    """overlaps: two ranges share a page.  range: what a mapper maps.  reserved, type: the entry of the
    tree that was made for it."""

    overlaps: Fun[tuple[Range, Range], Bool]
    range: Map[Mapper, Range]
    reserved: Map[Mapper, Bool]
    type: Map[Mapper, CacheType]

    def tracked(self, r: Range, t: CacheType) -> Bool:
        """A reservation that overlaps the range has that type."""
        return exists(
            Mapper,
            lambda m: self.reserved[m] & self.overlaps[self.range[m], r] & (self.type[m] == t),
        )

    def reservable(self, r: Range, wanted: CacheType, offered: CacheType) -> Bool:
        """memtype_check_conflict(): everybody who overlaps has the type that is offered, which is the
        one that is wanted if there is nobody, and one that the caller may be content with."""

        def agrees(m: Mapper) -> Bool:
            overlap = self.reserved[m] & self.overlaps[self.range[m], r]
            return overlap.implies(self.type[m] == offered)

        known = (wanted == offered) | self.tracked(r, offered)
        return forall(Mapper, agrees) & known & is_new_memtype_allowed(wanted, offered)

    def reserve(self, m: Mapper, r: Range, t: CacheType) -> list[Update]:
        """An entry for the range."""
        return [self.range.set(m, r), self.reserved.set(m, TRUE), self.type.set(m, t)]


def is_new_memtype_allowed(wanted: CacheType, offered: CacheType) -> Bool:
    """arch/x86/include/asm/pgtable.h: who wants no caching is not given write-back, and who wants
    write-through not write-combining either."""
    write_through = wanted == CacheType.WT
    uncached = (wanted == CacheType.UC_MINUS) | (wanted == CacheType.WC) | write_through
    return ~(uncached & (offered == CacheType.WB)) & ~(write_through & (offered == CacheType.WC))


@assumption
def ranges_overlap_themselves(s: Memtypes, r: Range, other: Range) -> Bool:
    """A range overlaps itself, and who overlaps it is overlapped by it."""
    return s.overlaps[r, r] & s.overlaps[r, other].implies(s.overlaps[other, r])
