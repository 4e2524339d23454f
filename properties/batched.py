"""Flushes that reclaim puts off.

What it checks: no CPU has an entry for a free page (invariant 1 of TLB and table lifetime); when
munmap() returns, nobody can use the address by an old entry (invariant 2); an entry that is not mapped
is somebody's to flush.
Why it matters: a user who has unmapped or protected an address relies on it; the page may be an
attacker's next.
Kernel precedent: 3ea277194daa; "mm/vmscan: flush deferred TLB before freeing large folios".
Smallest counterexample: reclaim clears the entry, munmap() finds nothing to do (batched-flush-not-seen).
Not covered: which CPUs need the flush, page-table locks of several tables, the counters of 6.1 that
let the mark be reset without the lock.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.operations.batched import Batched, munmap, shrink_folio_list


@always
def free_pages_are_in_no_tlb_of_a_user(s: Batched, cpu: Cpu, va: Va) -> Bool:
    """No CPU has an entry for a free page."""
    return s.tlb[cpu, va].is_some.implies(~s.free[s.tlb[cpu, va].value])


@always
def mapped_pages_are_not_free(s: Batched, va: Va, other: Va) -> Bool:
    """A mapped page is not free, and is mapped once."""
    a, b = s.maps[va], s.maps[other]
    return a.is_some.implies(~s.free[a.value]) & (a.is_some & (a == b)).implies(va == other)


@step
def munmap_returns_to_nothing(old: Batched, new: Batched, by: Cpu, cpu: Cpu, va: Va) -> Bool:
    """When munmap() returns, no CPU can use the address."""
    returns = ~munmap.idle(old, by) & munmap.idle(new, by) & (old.zap.va[by] == va)
    return returns.implies(new.tlb[cpu, va].is_none & new.maps[va].is_none)


@always
def stale_entries_are_pending(s: Batched, cpu: Cpu, va: Va) -> Bool:
    """An entry that is no mapping is noted as pending, or a munmap() waits for the CPU."""
    entry = s.tlb[cpu, va]
    return (entry.is_some & (entry != s.maps[va])).implies(s.batched.now | s.ptl.now)


@step
def pages_are_freed_by_who_unmapped_them(old: Batched, new: Batched, f: Frame, va: Va) -> Bool:
    """A page that becomes free was not mapped any more."""
    return (~old.free[f] & new.free[f]).implies(old.maps[va] != f)


@step
def munmap_frees_what_it_finds(old: Batched, new: Batched, by: Cpu) -> Bool:
    """When munmap() returns, the page that it has found is free, and the lock is."""
    returns = ~munmap.idle(old, by) & munmap.idle(new, by)
    found = old.unmapped.found[by]
    return returns.implies(~new.ptl.now & found.is_some.implies(new.free[found.value]))


@step
def reclaim_frees_what_it_unmaps(old: Batched, new: Batched, by: Cpu) -> Bool:
    """Whoever leaves the step that frees has freed the page that he has unmapped."""
    last = shrink_folio_list.at(old, by, shrink_folio_list.steps[2])
    ends = last & shrink_folio_list.idle(new, by)
    return ends.implies(new.free[old.reclaim.frame[by]])


@sometimes
def a_flush_is_put_off(s: Batched, by: Cpu, cpu: Cpu, va: Va) -> Bool:
    """Reclaim has unmapped a page that a CPU still has an entry for, and has asked nobody."""
    entry = s.tlb[cpu, va]
    off = shrink_folio_list.at(s, by, shrink_folio_list.steps[1])
    return off & entry.is_some & s.maps[va].is_none


@sometimes
def munmap_flushes_for_reclaim(s: Batched, by: Cpu, cpu: Cpu) -> Bool:
    """munmap() has found no page and waits for a CPU nevertheless."""
    return ~munmap.idle(s, by) & s.unmapped.found[by].is_none & s.zap.waits_for[by, cpu]


@sometimes
def nothing_is_pending_again(s: Batched, by: Cpu, f: Frame) -> Bool:
    """A munmap() has done all flushes while a reclaim has still to free its page."""
    return ~shrink_folio_list.idle(s, by) & ~s.batched.now & ~s.ptl.now & ~s.free[f]


@sometimes
def a_page_is_used_again(s: Batched, va: Va, cpu: Cpu, f: Frame) -> Bool:
    """A CPU has an entry for another page than the one that reclaim has taken from it."""
    taken = ~shrink_folio_list.idle(s, cpu) & (s.reclaim.frame[cpu] == f)
    return taken & s.tlb[cpu, va].is_some & (s.tlb[cpu, va] != f)
