"""What synchronisation inside flush_tlb_kernel_range() would promise.

What it checks: when a range is free for reuse, no process has an entry for it and no CPU a translation;
in a range in use, both have what init_mm has or nothing (invariants 1, 2 and 6 of the vmalloc area).
What it does not promise can be reached: a range in use that a process lacks, so that faults are needed
as before; a walk over pgd_list that finds nothing to do, which is what it costs.
Why it matters: nobody who unmaps could forget to synchronise.
Kernel precedent: none; A. Lutomirski asks for it on 18 July 2019, J. Roedel answers on the 19th.
Smallest counterexample: flush, fill the TLB from a stale copy, synchronise (flush-sync-last).
Not covered: callers of flush_tlb_kernel_range() that hold pgd_lock, or cannot wait for it.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, forall, sometimes, step
from mapproof.model.machine.sorts import Cpu, Mm, PmdSlot
from mapproof.model.operations.flush_sync import FlushSync, purge
from mapproof.model.operations.vmalloc import Area

_BEGIN, _LOCK, _SYNC, _UNLOCK, _ASK, _ANSWERED, _FREE = purge.steps


def _synced(s: FlushSync, cpu: Cpu) -> Bool:
    """A purge has pushed, in the order that is proved."""
    found = purge.at(s, cpu, _ASK) | purge.at(s, cpu, _ANSWERED)
    return found | purge.at(s, cpu, _FREE)


@always
def free_ranges_are_nowhere(s: FlushSync, cpu: Cpu, m: Mm, i: PmdSlot) -> Bool:
    """Of a range that is free, no process has an entry, and no CPU a translation."""
    nowhere = s.on_list[m].implies(s.copy[m, i].is_none) & s.tlb[cpu, i].is_none
    return (s.area[i] == Area.FREE).implies(nowhere)


@always
def used_ranges_are_init_mms(s: FlushSync, cpu: Cpu, m: Mm, i: PmdSlot) -> Bool:
    """Of a range in use, a process has init_mm's entry or none, and a CPU has cached that or nothing."""
    copy = (s.on_list[m] & s.copy[m, i].is_some).implies(s.copy[m, i] == s.reference[i])
    cached = s.tlb[cpu, i].is_some.implies(s.tlb[cpu, i] == s.reference[i])
    return (s.area[i] == Area.BUSY).implies(copy & cached)


@always
def init_mm_maps_ranges_in_use(s: FlushSync, i: PmdSlot) -> Bool:
    """init_mm has an entry for a range in use, and for no other."""
    return s.reference[i].is_some == (s.area[i] == Area.BUSY)


@always
def purges_have_their_range_alone(s: FlushSync, a: Cpu, b: Cpu) -> Bool:
    """A purge holds vmap_purge_lock, alone; its range waits for it; and it has pgd_lock while it
    walks."""
    purging = ~purge.idle(s, a)
    waits = s.area[s.purge.slot[a]] == Area.LAZY
    locked = purge.at(s, a, _SYNC) == (s.pgd_lock.now & purging)
    alone = (purging & ~purge.idle(s, b)).implies(a == b)
    return purging.implies(s.vmap_purge_lock.now & waits) & locked & alone


@always
def pushed_ranges_are_in_no_table(s: FlushSync, cpu: Cpu, m: Mm) -> Bool:
    """What a purge has visited has no entry for its range, and at the end of the walk nobody has."""
    visited = purge.at(s, cpu, _SYNC) & s.walk.visited[cpu, m]
    gone = s.on_list[m].implies(s.copy[m, s.purge.slot[cpu]].is_none)
    return (visited | _synced(s, cpu)).implies(gone)


@always
def who_has_flushed_cannot_refill(s: FlushSync, by: Cpu, cpu: Cpu) -> Bool:
    """A CPU that has answered has no translation of the range."""
    answered = purge.at(s, by, _ANSWERED) & ~s.purge.waits_for[by, cpu]
    done = answered | purge.at(s, by, _FREE)
    return done.implies(s.tlb[cpu, s.purge.slot[by]].is_none)


@always
def what_runs_is_listed(s: FlushSync, cpu: Cpu) -> Bool:
    """A CPU runs on init_mm's tables or on those of a process on pgd_list."""
    return s.loaded_mm[cpu].is_some.implies(s.on_list[s.loaded_mm[cpu].value])


@always
def pgd_lock_is_a_walkers(s: FlushSync) -> Bool:
    """pgd_lock is held within a purge."""
    return s.pgd_lock.now.implies(s.vmap_purge_lock.now)


@step
def purges_end(old: FlushSync, new: FlushSync, cpu: Cpu) -> Bool:
    """When a purge is over, its range is free, and so is the lock."""
    done = ~purge.idle(old, cpu) & purge.idle(new, cpu)
    free = new.area[old.purge.slot[cpu]] == Area.FREE
    return done.implies(free & ~new.vmap_purge_lock.now & ~new.pgd_lock.now)


@step
def pgd_list_is_stable_under_its_lock(old: FlushSync, new: FlushSync, m: Mm, i: PmdSlot) -> Bool:
    """Nobody joins or leaves pgd_list while it is walked, and tables off the list are left alone."""
    moved = old.on_list[m] != new.on_list[m]
    gone = ~old.on_list[m] & ~new.on_list[m]
    return moved.implies(~old.pgd_lock.now) & gone.implies(old.copy[m, i] == new.copy[m, i])


@sometimes
def a_fault_is_still_needed(s: FlushSync, cpu: Cpu, m: Mm, i: PmdSlot) -> Bool:
    """A range is in use that the process of a CPU has no entry for."""
    runs = (s.loaded_mm[cpu] == m) & (s.area[i] == Area.BUSY)
    return runs & s.copy[m, i].is_none


@sometimes
def a_walk_finds_nothing_to_do(s: FlushSync, cpu: Cpu, m: Mm, n: Mm) -> Bool:
    """A purge walks pgd_list although no process has the entry: nobody had touched the range."""
    nobody = forall(Mm, lambda p: s.copy[p, s.purge.slot[cpu]].is_none)
    return purge.at(s, cpu, _SYNC) & nobody & s.walk.visited[cpu, m] & (m != n)


@sometimes
def a_stale_translation_waits(s: FlushSync, by: Cpu, a: Cpu, b: Cpu) -> Bool:
    """One CPU has answered the flush of a range, and another could still use it."""
    i = s.purge.slot[by]
    waits = s.tlb[a, i].is_some & ~s.purge.waits_for[by, b]
    return purge.at(s, by, _ANSWERED) & waits


@sometimes
def a_copy_outlives_its_range(s: FlushSync, m: Mm, i: PmdSlot) -> Bool:
    """A process has exited with an entry that nobody pushes to any more, and the range is free."""
    return ~s.on_list[m] & s.copy[m, i].is_some & (s.area[i] == Area.FREE)
