"""Ranges that ioremap() maps.

What it checks: RAM is not among them; an area has the type of its reservation, which it has until
iounmap() gives that back, and so has the direct map, where it maps the range as well; no reservation is
left without an area; where the order is under discussion, no two translations of one range differ,
not even in a TLB.  Invariants 1, 3 and 6 of cacheability.
Why it matters: registers of a device that are cached are not written when the driver thinks they are,
and two types for one range are undefined behaviour.
Kernel precedent: Documentation/x86/pat.rst; the comments of __ioremap_caller().
Smallest counterexample: iounmap(), and ioremap_wc() by another driver before the range is unmapped
(ioremap-freed-first).
Not covered: ioremap_cache() of reserved RAM, which page flags do not count; early_ioremap(); partial
overlaps with the direct map.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists, some, sometimes, step
from mapproof.model.machine.entries import CacheType
from mapproof.model.machine.sorts import Cpu
from mapproof.model.operations.ioremap import (
    Area,
    Ioremap,
    IoremapInOrder,
    ioremap,
)
from mapproof.model.operations.memtype import Mapper, Range


@always
def ram_is_not_remapped(s: Ioremap, m: Mapper) -> Bool:
    """No area maps RAM that the allocator may hand out, nor is such RAM reserved for one."""
    return (s.reserved[m] | s.leaf[m].is_some).implies(~s.is_ram[s.range[m]])


@always
def areas_have_the_reserved_type(s: Ioremap, m: Mapper) -> Bool:
    """An area that is mapped has a reservation, and its type, until iounmap() gives that back."""
    kept = s.reserved[m] & (s.leaf[m] == some(s.type[m]))
    return s.leaf[m].is_some.implies(kept | s.leaving[m])


@always
def the_direct_map_has_the_reserved_type(s: Ioremap, m: Mapper) -> Bool:
    """A range that an area maps has the same type in the direct map, if it is there, likewise."""
    mapped = s.leaf[m].is_some & s.aliased[s.range[m]] & ~s.leaving[m]
    return mapped.implies(s.leaf[m] == some(s.direct[s.range[m]]))


@always
def entries_are_of_areas(s: Ioremap, cpu: Cpu, m: Mapper) -> Bool:
    """A TLB entry has the type of its area's leaves, or the area waits for its flush."""
    fresh = (s.tlb[cpu, m] == s.leaf[m]) & (s.area[m] == Area.BUSY)
    waits = (s.area[m] != Area.FREE) & s.leaf[m].is_none
    return s.tlb[cpu, m].is_some.implies(fresh | waits)


@always
def reservations_are_given_back(s: Ioremap, m: Mapper) -> Bool:
    """Outside of the two calls, an area has a reservation and leaves if its addresses are in use, and
    neither if they are not."""
    outside, busy = ioremap.idle(s, m) & ~s.leaving[m], s.area[m] == Area.BUSY
    return outside.implies((s.reserved[m] == busy) & (s.leaf[m].is_some == busy))


@always
def who_leaves_is_in_use(s: Ioremap, m: Mapper) -> Bool:
    """iounmap() is at areas whose addresses are in use."""
    return s.leaving[m].implies(s.area[m] == Area.BUSY)


@always
def uncached_areas_are_not_cached(s: Ioremap, m: Mapper) -> Bool:
    """Who did not ask for write-back is not given it."""
    return (s.leaf[m] == some(CacheType.WB)).implies(s.call.pcm[m] == CacheType.WB)


@always
def reserved_ram_has_one_mapping(s: Ioremap, m: Mapper, n: Mapper) -> Bool:
    """Of a range in the direct map there is one reservation, and its type is not write-back."""
    same = s.reserved[m] & s.reserved[n] & (s.range[m] == s.range[n]) & s.aliased[s.range[m]]
    return same.implies((m == n) & (s.type[m] != CacheType.WB))


@always
def translations_agree(s: IoremapInOrder, a: Cpu, b: Cpu, m: Mapper, n: Mapper) -> Bool:
    """Entries for ranges that overlap have one type, on all CPUs."""
    x, y = s.tlb[a, m], s.tlb[b, n]
    both = x.is_some & y.is_some & s.overlaps[s.range[m], s.range[n]]
    return both.implies(x == y)


@always
def reservations_stay_to_the_end(s: IoremapInOrder, m: Mapper) -> Bool:
    """While iounmap() is at an area, the range is reserved, and no leaf maps it."""
    return s.leaving[m].implies(s.reserved[m] & s.leaf[m].is_none)


@always
def entries_are_covered_by_reservations(s: IoremapInOrder, cpu: Cpu, m: Mapper) -> Bool:
    """An area in a TLB is reserved, with the type of the entry."""
    return s.tlb[cpu, m].is_some.implies(s.reserved[m] & (s.tlb[cpu, m] == some(s.type[m])))


@step
def ranges_are_unmapped_in_place(old: Ioremap, new: Ioremap, m: Mapper) -> Bool:
    """A range that is mapped stays that range with that type until it is unmapped."""
    stays = old.leaf[m].is_some & new.leaf[m].is_some
    return stays.implies((old.leaf[m] == new.leaf[m]) & (old.range[m] == new.range[m]))


@step
def addresses_go_round(old: Ioremap, new: Ioremap, m: Mapper) -> Bool:
    """Addresses are free, then in use, then free again, mostly by way of the purge."""
    a, b = old.area[m], new.area[m]
    return ((a == Area.FREE).implies(b != Area.LAZY)) & ((a == Area.LAZY).implies(b != Area.BUSY))


@step
def entries_go_with_their_area(old: Ioremap, new: Ioremap, cpu: Cpu, m: Mapper) -> Bool:
    """A TLB entry goes when the addresses become free, or iounmap() has it flushed."""
    gone = old.tlb[cpu, m].is_some & new.tlb[cpu, m].is_none
    return gone.implies((old.area[m] != new.area[m]) | old.leaving[m])


@step
def the_direct_map_changes_for_an_area(old: Ioremap, new: Ioremap, r: Range) -> Bool:
    """The type of the direct map changes when an area for the range has its addresses."""

    def taken(m: Mapper) -> Bool:
        return old.reserved[m] & (old.range[m] == r) & (old.area[m] == Area.BUSY)

    return (old.direct[r] == new.direct[r]) | exists(Mapper, taken)


@sometimes
def an_area_has_another_type(s: Ioremap, m: Mapper) -> Bool:
    """An area that was asked for as uncached is write-combining."""
    return (s.leaf[m] == some(CacheType.WC)) & (s.call.pcm[m] == CacheType.UC_MINUS)


@sometimes
def a_range_is_mapped_twice(s: Ioremap, m: Mapper, n: Mapper) -> Bool:
    """Two areas map one range, write-combining, of which one was asked for as write-back."""
    both = (s.leaf[m] == some(CacheType.WC)) & (s.leaf[n] == some(CacheType.WC)) & (m != n)
    return both & (s.call.pcm[m] == CacheType.WB) & (s.range[m] == s.range[n])


@sometimes
def reserved_ram_is_mapped(s: Ioremap, m: Mapper) -> Bool:
    """An area and the direct map have a range uncached."""
    uncached = s.leaf[m] == some(CacheType.UC_MINUS)
    return uncached & s.aliased[s.range[m]] & (s.direct[s.range[m]] == CacheType.UC_MINUS)


@sometimes
def an_area_waits_for_the_purge(s: Ioremap, cpu: Cpu, m: Mapper) -> Bool:
    """A CPU has an entry for an area that is unmapped."""
    return s.tlb[cpu, m].is_some & s.leaf[m].is_none


@sometimes
def a_range_changes_its_type(s: Ioremap, m: Mapper) -> Bool:
    """A range in the direct map is mapped with another type than it had before."""
    other = (s.direct[s.range[m]] == CacheType.WC) & s.aliased[s.range[m]]
    return other & s.reserved[m] & (s.type[m] == CacheType.UC_MINUS) & s.leaf[m].is_none
