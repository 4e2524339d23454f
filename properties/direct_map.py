"""Pages, their leaves in the direct map, and what CPUs have of them, whatever system edits them.

What it checks: what is free is as the allocator expects it; a large leaf has one set of attributes, and
no CPU has one after a small leaf below it was edited; a leaf that is not present has no PFN that a CPU
could use; an edit of a page leaves others alone; entries of areas are of areas that are on record.
Invariants 2, 5 and 6 of direct-map removal, 7 and 8 of cacheability.
Why it matters: everything in the kernel takes it for granted that a page that it gets is mapped,
writable, cached and private.
Kernel precedent: 6f86d0534fdd ("mm: introduce set_direct_map helpers").
Smallest counterexample: XPFO leaves the PFN in a leaf that is not present (direct-map-today).
Not covered: tables themselves and their lifetime; how many leaves a split demotes.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, step
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.operations.direct_map.frames import DirectMap
from mapproof.model.operations.vmalloc import Area


@always
def free_pages_are_as_expected(s: DirectMap, f: Frame) -> Bool:
    """A page that the allocator can hand out is mapped, writable, cached, private, without a key."""
    return s.is_available(f).implies(s.leaf.present[f] & s.is_plain(f))


@always
def large_leaves_are_plain(s: DirectMap, f: Frame) -> Bool:
    """Below a large leaf, pages are mapped as the allocator expects them."""
    return (~s.split[s.region[f]]).implies(s.leaf.present[f] & s.is_plain(f))


@always
def large_entries_are_flushed_before_an_edit(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """No CPU has a large entry for a page whose leaf is no longer what it was in the large one."""
    return s.large_tlb[cpu, s.region[f]].implies(s.leaf.present[f] & s.is_plain(f))


@always
def hidden_leaves_have_no_pfn(s: DirectMap, f: Frame) -> Bool:
    """A leaf that is not present has an inverted PFN."""
    return ~s.leaf.legible[f]


@always
def area_entries_are_on_record(s: DirectMap, cpu: Cpu, va: Va) -> Bool:
    """What a CPU has of an area is what the area maps, or mapped until it was purged."""
    entry = s.area_tlb[cpu, va]
    return entry.is_some.implies((s.page[va] == entry) & (s.area[va] != Area.FREE))


@always
def areas_in_use_map_a_page(s: DirectMap, va: Va, f: Frame) -> Bool:
    """An area that is free maps nothing."""
    return (s.area[va] == Area.FREE).implies(s.page[va] != some(f))


@always
def purged_areas_are_flushed(s: DirectMap, cpu: Cpu, va: Va) -> Bool:
    """An area that is being purged is mapped by nothing, and a CPU that has answered has no entry."""
    waits = s.purge_asked[va, cpu]
    flushed = (s.purging[va] & ~waits).implies(s.area_tlb[cpu, va].is_none)
    return flushed & waits.implies(s.purging[va]) & s.purging[va].implies(s.area[va] == Area.LAZY)


@step
def edits_leave_neighbours_alone(s: DirectMap, new: DirectMap, f: Frame, g: Frame) -> Bool:
    """A step changes the leaf of one page."""

    def changed(h: Frame) -> Bool:
        mapping = (s.leaf.present[h] != new.leaf.present[h]) | (
            s.leaf.writable[h] != new.leaf.writable[h]
        )
        kind = (s.leaf.uncached[h] != new.leaf.uncached[h]) | (
            s.leaf.shared[h] != new.leaf.shared[h]
        )
        return mapping | kind | (s.leaf.keyed[h] != new.leaf.keyed[h])

    return (changed(f) & changed(g)).implies(f == g)
