"""Memory types beside everything else that maps pages.

What it checks: outside of set_memory_uc() and set_memory_wb(), no CPU and no alias has a page with
another type than its leaf.  Invariants 1 and 2 of cacheability.
Why it matters: two types of one page are undefined, and may be a machine check.
Kernel precedent: ab5130186d74 ("x86/mm/pat: fix boot crash when cpa flushes aliases").
Smallest counterexample: a slot of kmap() for a page that is uncached (direct-map-today).
Not covered: reservations of types, write-combining, cache lines (pageattr has them).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.operations.direct_map.frames import DirectMap, Owner


@always
def entries_have_the_type_of_the_leaf(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """When no call is under way, what a CPU has of a driver's page has the type of the leaf."""
    has = s.tlb.present[cpu, f] & s.idle(f) & (s.owner[f] == Owner.KERNEL)
    large = s.large_tlb[cpu, s.region[f]].implies(~s.leaf.uncached[f])
    return has.implies(s.tlb.uncached[cpu, f] == s.leaf.uncached[f]) & large


@always
def areas_have_the_type_of_the_leaf(s: DirectMap, va: Va, f: Frame) -> Bool:
    """An area maps a page with the type of its leaf, in use or not purged yet."""
    return (s.page[va] == some(f)).implies(s.area_uncached[va] == s.leaf.uncached[f])


@always
def uncached_pages_are_a_drivers(s: DirectMap, f: Frame) -> Bool:
    """A page comes back to the allocator write-back."""
    return s.leaf.uncached[f].implies(s.owner[f] == Owner.KERNEL)


@sometimes
def a_page_is_uncached(s: DirectMap, cpu: Cpu, f: Frame) -> Bool:
    """The call has returned, and a CPU has the page uncached."""
    return s.leaf.uncached[f] & s.idle(f) & s.tlb.present[cpu, f] & s.tlb.uncached[cpu, f]
