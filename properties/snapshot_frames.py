"""Who maps a page of memory, and as what.

What it checks: all mappings of a page have one memory type; a page of secret memory is mapped by its
process only; user mode reaches no page-table page; a free page is mapped by the direct map at most.
Why it matters: aliases of different memory types corrupt data or stop the machine; a page table that its
own process can write maps anything.
Kernel precedent: memtype_reserve() (arch/x86/mm/pat/memtype.c); mm/secretmem.c; mm/page_table_check.c.
Smallest counterexample: a second mapping of a page of RAM, write-combining.
Not covered: MTRRs; DMA; caches that were not flushed when a type changed.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists
from mapproof.model.machine.entries import CacheType
from mapproof.model.machine.snapshot import Region, Snapshot
from mapproof.model.machine.sorts import Frame, Va


def _in_direct_map(s: Snapshot, va: Va) -> Bool:
    return s.region[va] == Region.DIRECT_MAP


@always
def mappings_have_one_memory_type(s: Snapshot, f: Frame) -> Bool:
    """All leaves that map a page have the same memory type; UC and UC- count as the same.  Pages that
    large leaves alone map have one owner and are left out of the count."""
    kinds = (
        s.mapped_as(f, CacheType.WB),
        s.mapped_as(f, CacheType.WC),
        s.mapped_as(f, CacheType.UC_MINUS, CacheType.UC),
        s.mapped_as(f, CacheType.WP),
        s.mapped_as(f, CacheType.WT),
    )
    at_most_one = ~(kinds[0] & kinds[1])
    for i, a in enumerate(kinds):
        for b in kinds[i + 1 :]:
            at_most_one = at_most_one & ~(a & b)
    small = exists(Va, lambda va: s.kernel_maps[va, f] & s.small[va])
    return small.implies(at_most_one)


@always
def secret_pages_are_not_in_the_kernel_half(s: Snapshot, f: Frame) -> Bool:
    """No leaf of the kernel half, the direct map's in particular, maps a page of secret memory."""
    return s.secret[f].implies(
        ~exists(Va, lambda va: s.kernel_maps[va, f] & ~s.in_user_half[va] & ~s.special[va])
    )


@always
def table_pages_are_out_of_reach_of_user_mode(s: Snapshot, f: Frame) -> Bool:
    """No user half, and no user table, maps a page-table page."""
    in_user_half = exists(Va, lambda va: s.kernel_maps[va, f] & s.in_user_half[va] & ~s.special[va])
    in_shadow = exists(Va, lambda va: s.shadow_maps[va, f])
    return s.is_table_page[f].implies(~(in_user_half | in_shadow))


@always
def free_pages_are_in_the_direct_map_only(s: Snapshot, f: Frame) -> Bool:
    """The kernel's tables map a free page at its address in the direct map only."""
    return s.free[f].implies(
        ~exists(Va, lambda va: s.kernel_maps[va, f] & ~_in_direct_map(s, va) & ~s.special[va])
    )
