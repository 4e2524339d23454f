"""Device memory in user mappings.

What it checks: no entry and no TLB leads to memory that the driver has given away (invariant 1 of TLB
and table lifetime); an entry that is cached is of a mapping that the driver finds.
Why it matters: the memory is somebody else's; nothing counts the users of a PFN mapping.
Kernel precedent: b67fbebd4cf9 ("mmu_gather: Force tlb-flush VM_PFNMAP vmas", CVE-2022-39188).
Smallest counterexample: munmap() leaves i_mmap, the driver finds nobody (unmap-mapping-flush-last).
Not covered: several files, which CPUs run the process.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.operations.unmap_mapping import PfnMap, munmap, unmap_mapping_range


@always
def released_memory_is_in_no_tlb(s: PfnMap, cpu: Cpu, va: Va) -> Bool:
    """No CPU has an entry for memory that the driver has given away."""
    return s.tlb[cpu, va].is_some.implies(~s.released[s.tlb[cpu, va].value])


@always
def mappings_are_of_the_drivers_memory(s: PfnMap, va: Va) -> Bool:
    """What is mapped is the driver's, in a mapping that it finds."""
    good = (s.maps[va] == s.memory.now) & s.vma[va] & ~s.released[s.maps[va].value]
    return s.maps[va].is_some.implies(good)


@always
def cached_mappings_are_found(s: PfnMap, cpu: Cpu, va: Va) -> Bool:
    """An address that a CPU has cached is in i_mmap."""
    return s.tlb[cpu, va].is_some.implies(s.vma[va])


@step
def memory_is_released_under_the_lock(old: PfnMap, new: PfnMap, f: Frame) -> Bool:
    """The driver gives memory away while nobody can join or leave i_mmap."""
    return (~old.released[f] & new.released[f]).implies(old.i_mmap_rwsem.now)


@step
def i_mmap_changes_without_the_driver(old: PfnMap, new: PfnMap, va: Va) -> Bool:
    """No mapping joins or leaves i_mmap while the driver goes through it."""
    return (old.vma[va] == new.vma[va]) | ~old.i_mmap_rwsem.now


@step
def the_driver_takes_memory_that_is_free(old: PfnMap, new: PfnMap, f: Frame) -> Bool:
    """What the driver takes was nobody's, and nobody holds the lock."""
    taken = (old.memory.now != f) & (new.memory.now == f)
    return taken.implies(old.released[f] & ~old.i_mmap_rwsem.now)


@step
def a_mapping_is_made_when_the_last_is_gone(old: PfnMap, new: PfnMap, va: Va) -> Bool:
    """Nothing is mapped, and nothing faulted in, while an munmap() of the address is under way."""
    made = (~old.vma[va] & new.vma[va]) | (old.maps[va].is_none & new.maps[va].is_some)
    return made.implies(~old.flush_pending[va])


@step
def the_driver_ends_without_the_memory(old: PfnMap, new: PfnMap, by: Cpu) -> Bool:
    """When the driver is done, the memory is given away and the lock is free."""
    ends = ~unmap_mapping_range.idle(old, by) & unmap_mapping_range.idle(new, by)
    gone = new.memory.now.is_none & new.released[old.memory.now.value]
    return ends.implies(gone & ~new.i_mmap_rwsem.now)


@step
def munmap_ends_flushed(old: PfnMap, new: PfnMap, by: Cpu) -> Bool:
    """When munmap() is done, every CPU has flushed for it, and nothing of it is pending or mapped."""
    ends = ~munmap.idle(old, by) & munmap.idle(new, by)
    va = old.unmapping.va[by]
    return ends.implies(old.answered(by) & ~new.flush_pending[va] & ~new.vma[va])


@step
def munmap_begins_with_a_mapping(old: PfnMap, new: PfnMap, by: Cpu) -> Bool:
    """munmap() is of a mapping in i_mmap, and begins while the driver does not go through it."""
    begins = munmap.idle(old, by) & ~munmap.idle(new, by)
    va = new.unmapping.va[by]
    return begins.implies(old.vma[va] & ~old.i_mmap_rwsem.now & new.flush_pending[va])


@always
def one_driver_at_a_time(s: PfnMap, a: Cpu, b: Cpu) -> Bool:
    """Whoever goes through i_mmap holds the lock, alone."""
    busy_a, busy_b = ~unmap_mapping_range.idle(s, a), ~unmap_mapping_range.idle(s, b)
    return busy_a.implies(s.i_mmap_rwsem.now) & (busy_a & busy_b).implies(a == b)


@sometimes
def the_driver_flushes_a_user(s: PfnMap, by: Cpu, cpu: Cpu, va: Va) -> Bool:
    """A user has an entry while the driver takes the memory back."""
    stale = s.tlb[cpu, va].is_some & s.maps[va].is_none
    return ~unmap_mapping_range.idle(s, by) & munmap.idle(s, cpu) & stale


@sometimes
def munmap_meets_the_driver(s: PfnMap, a: Cpu, b: Cpu, cpu: Cpu, va: Va) -> Bool:
    """A user has an entry while munmap() and the driver are both at it."""
    both = ~munmap.idle(s, a) & ~unmap_mapping_range.idle(s, b)
    return both & s.tlb[cpu, va].is_some & s.vma[va]


@sometimes
def munmap_ends_after_the_driver(s: PfnMap, by: Cpu, va: Va) -> Bool:
    """munmap() is at its end when the driver has released the memory."""
    ends = munmap.at(s, by, munmap.steps[2]) & (s.unmapping.va[by] == va)
    return ends & s.memory.now.is_none & ~s.vma[va] & ~s.i_mmap_rwsem.now
