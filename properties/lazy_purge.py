"""Lazily flushed ranges.

What it checks: no CPU has anything cached of a range that is free, and of a range in use only what is
mapped there (invariant 6 of the vmalloc area, for its addresses; vmap_blocks has it for pages).
Why it matters: pages are given back when a range is unmapped; a TLB entry that outlives the purge reads
and writes pages of somebody else, at an address that somebody else may use.
Kernel precedent: the comment above lazy_max_pages() and that of vunmap_range_noflush().
Smallest counterexample: none of the designs here breaks these.
Not covered: how large the flushed range is, the threshold, debug_pagealloc, which flushes at once.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, Va
from mapproof.model.operations.lazy_purge import LazyPurge, purge
from mapproof.model.operations.vmalloc import Area


@always
def free_ranges_are_in_no_tlb(s: LazyPurge, cpu: Cpu, va: Va) -> Bool:
    """No CPU has a translation of a range that may be allocated."""
    return (s.area[va] == Area.FREE).implies(s.area_tlb[cpu, va].is_none)


@always
def tlbs_have_what_is_mapped(s: LazyPurge, cpu: Cpu, va: Va) -> Bool:
    """Of a range in use, a CPU has cached nothing or what is mapped there."""
    cached = (s.area[va] == Area.BUSY) & s.area_tlb[cpu, va].is_some
    return cached.implies(s.area_tlb[cpu, va] == s.page[va])


@always
def ranges_in_use_are_mapped(s: LazyPurge, va: Va) -> Bool:
    """A range is mapped if it is in use, and not otherwise."""
    return s.page[va].is_some == (s.area[va] == Area.BUSY)


@always
def purges_have_their_ranges_alone(s: LazyPurge, a: Cpu, b: Cpu, va: Va) -> Bool:
    """A purge holds vmap_purge_lock, alone; what it has listed waits for it."""
    purging = ~purge.idle(s, a)
    alone = (purging & ~purge.idle(s, b)).implies(a == b)
    waits = (purging & s.purge.listed[a, va]).implies(s.area[va] == Area.LAZY)
    return purging.implies(s.vmap_purge_lock.now) & alone & waits


@always
def answers_mean_that_nothing_is_cached(s: LazyPurge, by: Cpu, cpu: Cpu, va: Va) -> Bool:
    """A CPU that has answered a purge has nothing cached of what is listed."""
    answered = purge.at(s, by, purge.steps[2]) & ~s.purge.waits_for[by, cpu]
    return (answered & s.purge.listed[by, va]).implies(s.area_tlb[cpu, va].is_none)


@sometimes
def an_entry_outlives_its_mapping(s: LazyPurge, cpu: Cpu, va: Va) -> Bool:
    """A range is unmapped, and a CPU could still use it."""
    return (s.area[va] == Area.LAZY) & s.area_tlb[cpu, va].is_some


@sometimes
def a_range_is_queued_during_a_purge(s: LazyPurge, by: Cpu, va: Va) -> Bool:
    """A range waits for the next purge while another one is flushed."""
    return purge.at(s, by, purge.steps[2]) & (s.area[va] == Area.LAZY) & ~s.purge.listed[by, va]


@step
def purges_free_what_they_list(old: LazyPurge, new: LazyPurge, cpu: Cpu, va: Va) -> Bool:
    """When a purge is over, what it has listed is free, and so is the lock."""
    over = ~purge.idle(old, cpu) & purge.idle(new, cpu)
    listed = old.purge.listed[cpu, va].implies(new.area[va] == Area.FREE)
    return over.implies(listed & ~new.vmap_purge_lock.now)


@step
def purges_list_all_that_is_queued(old: LazyPurge, new: LazyPurge, cpu: Cpu, va: Va) -> Bool:
    """A purge that begins lists every range that waits."""
    begins = purge.idle(old, cpu) & ~purge.idle(new, cpu)
    return (begins & (old.area[va] == Area.LAZY)).implies(new.purge.listed[cpu, va])


@sometimes
def a_purge_is_almost_over(s: LazyPurge, by: Cpu, a: Cpu, b: Cpu, va: Va) -> Bool:
    """Two CPUs have answered a purge of a range."""
    answered = ~s.purge.waits_for[by, a] & ~s.purge.waits_for[by, b] & (a != b)
    return purge.at(s, by, purge.steps[2]) & answered & s.purge.listed[by, va]
