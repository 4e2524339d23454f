"""Memory types of large pages and of the small pages that take their place.

What it checks: every page is mapped with the type that is tracked for it, by a large leaf or by its own
entry, but while a set_memory_*() is at that page; so is what TLBs have of it; a split changes no type,
and what CPUs have cached of the large page is flushed before one does.  Invariant 7 of cacheability.
Why it matters: pages that nobody asked to change would get another type, which their users do not know.
Kernel precedent: f5b2831d6541 ("x86: Respect PAT bit when copying pte values between large and normal
pages"); the comments of __split_large_page().
Smallest counterexample: change one page of a large page that is write-through (split-without-pat).
Not covered: pages of 1 GiB, the rights of the leaves, failures to allocate a table.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, forall, some, sometimes, step
from mapproof.model.machine.entries import CacheType
from mapproof.model.machine.sorts import Cpu, PmdSlot, PteSlot
from mapproof.model.operations.split import (
    CPA_FLUSH,
    FLUSH_ALL,
    SET_PMD,
    LargePages,
    collapse,
    set_memory_4k,
)


@always
def pages_are_mapped_with_their_type(s: LargePages, i: PmdSlot, j: PteSlot) -> Bool:
    """A page has its tracked type, but while that is being changed."""
    return s.has_type(i, j, s.memtype[i, j]) | s.busy[i, j]


@always
def pages_are_cached_with_their_type(s: LargePages, cpu: Cpu, i: PmdSlot, j: PteSlot) -> Bool:
    """A TLB entry has the page's tracked type, but while that is being changed."""
    entry = s.tlb[cpu, i, j]
    return entry.is_none | (entry == some(s.memtype[i, j])) | s.busy[i, j]


@always
def one_cpu_changes_a_page(s: LargePages, a: Cpu, b: Cpu) -> Bool:
    """Two CPUs that change types are at two pages."""
    both = ~set_memory_4k.idle(s, a) & ~set_memory_4k.idle(s, b)
    same = (s.change.slot[a] == s.change.slot[b]) & (s.change.page[a] == s.change.page[b])
    return (both & same).implies(a == b)


@always
def changes_are_tracked(s: LargePages, cpu: Cpu) -> Bool:
    """The page that a CPU changes is tracked with the type that it will have, and when CPUs are asked to
    flush it has an entry or a large leaf of that type."""
    i, j, want = s.change.slot[cpu], s.change.page[cpu], s.change.want[cpu]
    tracked = set_memory_4k.idle(s, cpu) | (s.busy[i, j] & (s.memtype[i, j] == want))
    written = set_memory_4k.at(s, cpu, CPA_FLUSH).implies(s.has_type(i, j, want))
    return tracked & written


@always
def tables_are_filled_before_they_are_linked(s: LargePages, cpu: Cpu, j: PteSlot) -> Bool:
    """When a table takes a large leaf's place, by somebody with the locks, its entries have the same
    type."""
    i = s.change.slot[cpu]
    linking = set_memory_4k.at(s, cpu, SET_PMD)
    ready = (s.lock.now == some(cpu)) & s.pmd.pse[i] & (s.small(i, j) == s.large(i))
    return linking.implies(ready)


@always
def locks_are_held_to_the_flush(s: LargePages, cpu: Cpu) -> Bool:
    """Who has the locks is about to link a table or to flush, and nobody else is."""
    linking = set_memory_4k.at(s, cpu, SET_PMD) | set_memory_4k.at(s, cpu, FLUSH_ALL)
    one_call = collapse.idle(s, cpu) | set_memory_4k.idle(s, cpu)
    return one_call & ((s.lock.now == some(cpu)) == (linking | ~collapse.idle(s, cpu)))


@step
def sizes_change_no_type(old: LargePages, new: LargePages, i: PmdSlot, j: PteSlot) -> Bool:
    """When a page becomes part of a large one, or is no more, its type stays."""
    same = (old.large(i) == new.small(i, j)) & old.pmd.pse[i]
    back = (old.small(i, j) == new.large(i)) & ~old.pmd.pse[i]
    return (old.pmd.pse[i] == new.pmd.pse[i]) | same | back


@step
def splits_are_flushed_before_a_change(old: LargePages, new: LargePages, cpu: Cpu) -> Bool:
    """Who has split a page, or made a large one, releases the locks when no CPU has an entry."""
    released = (old.lock.now == some(cpu)) & new.lock.now.is_none

    return released.implies(forall(Cpu, PmdSlot, PteSlot, lambda c, i, j: new.tlb[c, i, j].is_none))


@step
def leaves_change_under_the_lock(old: LargePages, new: LargePages, i: PmdSlot, j: PteSlot) -> Bool:
    """The type of a large leaf, or of an entry of a table that is linked, changes when nobody else has
    the locks."""
    small = ~old.pmd.pse[i] & ~new.pmd.pse[i] & (old.small(i, j) != new.small(i, j))
    return (small | (old.large(i) != new.large(i))).implies(old.lock.now.is_none)


@sometimes
def a_write_through_page_is_small(s: LargePages, cpu: Cpu, i: PmdSlot, j: PteSlot) -> Bool:
    """A write-through page has an entry of its own, and a CPU has cached that."""
    entry = s.tlb[cpu, i, j] == some(CacheType.WT)
    return ~s.pmd.pse[i] & ~s.busy[i, j] & (s.memtype[i, j] == CacheType.WT) & entry


@sometimes
def a_large_page_is_made(s: LargePages, cpu: Cpu, i: PmdSlot) -> Bool:
    """Small pages that are uncached have become a large page."""
    large = s.pmd.pse[i] & (s.large(i) == CacheType.UC_MINUS)
    return large & ~collapse.idle(s, cpu)


@sometimes
def a_large_page_is_made_and_used(s: LargePages, cpu: Cpu, i: PmdSlot, j: PteSlot) -> Bool:
    """A large page has come of small ones, which have the type of the table's last entries."""
    used = s.tlb[cpu, i, j] == some(CacheType.WC)
    same = (s.small(i, j) == CacheType.WC) & (s.change.want[cpu] == CacheType.WC)
    return s.pmd.pse[i] & s.lock.now.is_none & used & same
