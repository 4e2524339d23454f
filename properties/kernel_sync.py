"""Push and pull of kernel entries on 32-bit kernels.

What it checks: a process's entry is init_mm's or absent, but while a large page is being unmapped; no
range is used again before that is over; a range that was returned can be reached, at the price of a
fault at most; a call that has changed an entry has pushed it when it returns, with success or without
(invariants 1, 2, 3 and 8 of the vmalloc area).
Why it matters: a stale entry never faults, so the kernel reads and writes what the range used to map.
Kernel precedent: the comments of vmalloc_fault() and of arch_sync_kernel_mappings(); "mm: don't skip
arch_sync_kernel_mappings() in error paths", R. Roberts, 2025.
Smallest counterexample: link a PTE page, then fail (kernel-sync-error-path).
Not covered: PTEs, the TLB (flush_sync has it), a process that exits (pae_exit has it).
"""

from __future__ import annotations

from typing import Any

from mapproof.model.language import FALSE, Bool, Procedure, ProcedureStep, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, Mm, PmdSlot, PteSlot
from mapproof.model.operations.kernel_sync import (
    KernelSync,
    Range,
    ioremap_large,
    iounmap_large,
    vmalloc_fault,
    vmap_range,
)


@always
def copies_are_init_mms(s: KernelSync, m: Mm, i: PmdSlot) -> Bool:
    """Where both have an entry, a process has init_mm's."""
    both = s.on_list[m] & s.copy[m, i].is_some & s.reference[i].is_some
    return both.implies(s.copy[m, i] == s.reference[i])


@always
def stale_copies_are_being_removed(s: KernelSync, m: Mm, i: PmdSlot) -> Bool:
    """A process has an entry that init_mm lacks only while a large page is being unmapped."""
    stale = s.on_list[m] & s.copy[m, i].is_some & s.reference[i].is_none
    return stale.implies(s.large[i] == Range.TAKEN)


@always
def mapped_ranges_are_in_init_mm(s: KernelSync, i: PmdSlot, j: PteSlot) -> Bool:
    """Of a range that was returned init_mm has the entry, large or not as the range is, from which a
    fault can take it."""
    large = s.reference[i].is_some & s.is_large[s.reference[i].value]
    small = s.reference[i].is_some & ~s.is_large[s.reference[i].value]
    return (s.large[i] == Range.MAPPED).implies(large) & (s.small[i, j] == Range.MAPPED).implies(
        small
    )


@always
def ranges_do_not_overlap(s: KernelSync, i: PmdSlot, j: PteSlot) -> Bool:
    """A range of a whole entry and one within it are never both in use."""
    return (s.large[i] == Range.FREE) | (s.small[i, j] == Range.FREE)


@always
def large_entries_belong_to_large_ranges(s: KernelSync, i: PmdSlot) -> Bool:
    """init_mm maps a large page only where a whole entry is in use."""
    large = s.reference[i].is_some & s.is_large[s.reference[i].value]
    used = (s.large[i] == Range.TAKEN) | (s.large[i] == Range.MAPPED)
    return large.implies(used)


def _returns(old: KernelSync, new: KernelSync, cpu: Cpu) -> Bool:
    done = FALSE
    for call in (vmap_range, ioremap_large, iounmap_large):
        done = done | (~call.idle(old, cpu) & call.idle(new, cpu))
    return done


@step
def changes_are_pushed_before_the_return(old: KernelSync, new: KernelSync, cpu: Cpu, m: Mm) -> Bool:
    """When a call returns that has changed an entry, every process has it if init_mm has, whether the
    call was successful or not."""
    done = _returns(old, new, cpu)
    i = old.call.slot[cpu]
    pushed = new.copy[m, i].is_some == new.reference[i].is_some
    return (done & old.call.modified[cpu] & new.on_list[m]).implies(pushed)


@step
def ptes_are_never_unlinked(old: KernelSync, new: KernelSync, i: PmdSlot) -> Bool:
    """A PTE page stays linked in init_mm: nothing would take it out of the copies in time."""
    table = old.reference[i].is_some & ~old.is_large[old.reference[i].value]
    return table.implies(new.reference[i] == old.reference[i])


@step
def copies_are_removed_under_the_lock(old: KernelSync, new: KernelSync, m: Mm, i: PmdSlot) -> Bool:
    """An entry of a process on pgd_list is taken away by whoever walks the list, and nobody joins or
    leaves meanwhile."""
    lost = old.on_list[m] & old.copy[m, i].is_some & (new.copy[m, i] != old.copy[m, i])
    moved = old.on_list[m] != new.on_list[m]
    return lost.implies(old.pgd_lock.now) & moved.implies(~old.pgd_lock.now)


# Calls: what belongs to whom.


def _walks(s: KernelSync, cpu: Cpu) -> Bool:
    walks = FALSE
    for call in (vmap_range, ioremap_large, iounmap_large):
        walks = walks | call.at(s, cpu, _step(call, "vmalloc_sync_one"))
    return walks


def _has_pushed(s: KernelSync, cpu: Cpu) -> Bool:
    finishes = vmap_range.at(s, cpu, _step(vmap_range, "succeed")) & s.call.modified[cpu]
    finishes = finishes | ioremap_large.at(s, cpu, _step(ioremap_large, "succeed"))
    return finishes | iounmap_large.at(s, cpu, _step(iounmap_large, "free_vmap_area"))


def _step(call: Procedure, name: str) -> ProcedureStep[Any, ...]:
    return next(step for step in call.steps if step.name == name)


@always
def calls_own_their_ranges(s: KernelSync, cpu: Cpu) -> Bool:
    """While a call maps or unmaps a range, it is nobody else's, and init_mm has what the call wrote or
    found there."""
    i, j = s.call.slot[cpu], s.call.page[cpu]
    entry = s.reference[i]
    large = entry.is_some & s.is_large[entry.value]
    taken = s.large[i] == Range.TAKEN
    small = (s.small[i, j] == Range.TAKEN) & entry.is_some & ~large
    pushes = vmap_range.at(s, cpu, _step(vmap_range, "lock")) | _walks(s, cpu)
    return (
        (~vmap_range.idle(s, cpu)).implies(small)
        & pushes.implies(s.call.modified[cpu])
        & (~ioremap_large.idle(s, cpu)).implies(taken & large & s.call.modified[cpu])
        & (~iounmap_large.idle(s, cpu)).implies(taken & entry.is_none & s.call.modified[cpu])
    )


@always
def large_pages_need_no_fault(s: KernelSync, m: Mm, i: PmdSlot) -> Bool:
    """Every process has the entry of a large page that was returned: whoever wrote it has pushed it."""
    return (s.on_list[m] & (s.large[i] == Range.MAPPED)).implies(s.copy[m, i].is_some)


@step
def a_fault_repairs_what_is_missing(old: KernelSync, new: KernelSync, cpu: Cpu) -> Bool:
    """When vmalloc_fault() returns, the process has init_mm's entry."""
    done = ~vmalloc_fault.idle(old, cpu) & vmalloc_fault.idle(new, cpu)
    m, i = old.fault.mm[cpu], old.fault.slot[cpu]
    return done.implies(new.copy[m, i].is_some & (new.copy[m, i] == new.reference[i]))


@step
def tables_off_the_list_rest(old: KernelSync, new: KernelSync, m: Mm, i: PmdSlot) -> Bool:
    """Nobody writes to the tables of a process that is not on pgd_list."""
    return (~old.on_list[m] & ~new.on_list[m]).implies(new.copy[m, i] == old.copy[m, i])


@always
def ranges_have_one_call(s: KernelSync, a: Cpu, b: Cpu) -> Bool:
    """Two calls never work on one range."""
    small = ~vmap_range.idle(s, a) & ~vmap_range.idle(s, b)
    large = ~(ioremap_large.idle(s, a) & iounmap_large.idle(s, a)) & ~(
        ioremap_large.idle(s, b) & iounmap_large.idle(s, b)
    )
    slot = s.call.slot[a] == s.call.slot[b]
    page = s.call.page[a] == s.call.page[b]
    return ((small & slot & page) | (large & slot)).implies(a == b)


@always
def one_cpu_walks_the_list(s: KernelSync, a: Cpu, b: Cpu) -> Bool:
    """A CPU that walks pgd_list holds pgd_lock, alone."""
    return _walks(s, a).implies(s.pgd_lock.now) & (_walks(s, a) & _walks(s, b)).implies(a == b)


@always
def what_was_visited_is_synced(s: KernelSync, cpu: Cpu, m: Mm) -> Bool:
    """A process that a walk has visited has the entry of the call if init_mm has; at the end of the walk
    everybody does, those that were forked later, too."""
    i = s.call.slot[cpu]
    done = (_walks(s, cpu) & s.walk.visited[cpu, m]) | _has_pushed(s, cpu)
    return (s.on_list[m] & done).implies(s.copy[m, i].is_some == s.reference[i].is_some)


@always
def faults_write_what_init_mm_has(s: KernelSync, cpu: Cpu) -> Bool:
    """What a fault has read is a PTE page, in init_mm until it is written, and its process is there."""
    entry = s.fault.entry[cpu]
    same = entry.is_some & (entry == s.reference[s.fault.slot[cpu]]) & ~s.is_large[entry.value]
    read = same & s.on_list[s.fault.mm[cpu]]
    return (~vmalloc_fault.idle(s, cpu)).implies(read)


@sometimes
def a_mapped_range_is_missing(s: KernelSync, m: Mm, i: PmdSlot, j: PteSlot) -> Bool:
    """A range was returned before whoever linked its PTE page has pushed it: a fault is needed."""
    missing = s.on_list[m] & s.copy[m, i].is_none
    return missing & (s.small[i, j] == Range.MAPPED)


@sometimes
def everybody_has_a_large_page(s: KernelSync, m: Mm, n: Mm, i: PmdSlot) -> Bool:
    """Two processes have the entry of a large page."""
    both = (m != n) & s.on_list[m] & s.on_list[n]
    return both & (s.large[i] == Range.MAPPED) & s.copy[m, i].is_some & s.copy[n, i].is_some


@sometimes
def an_entry_is_used_again(s: KernelSync, m: Mm, i: PmdSlot, j: PteSlot) -> Bool:
    """Everything is free again, but the PTE page stays, in a process, too."""
    free = (s.small[i, j] == Range.FREE) & (s.large[i] == Range.FREE)
    return free & s.on_list[m] & s.copy[m, i].is_some & ~s.pgd_lock.now


@sometimes
def a_large_range_is_free_again(s: KernelSync, m: Mm, n: Mm, i: PmdSlot, j: PteSlot) -> Bool:
    """A large page has been unmapped, and other processes live than had it."""
    had = ~s.on_list[m] & s.copy[m, i].is_some & s.is_large[s.copy[m, i].value]
    free = (s.large[i] == Range.FREE) & (s.small[i, j] == Range.FREE)
    return had & free & s.on_list[n] & ~s.pgd_lock.now


@sometimes
def a_pte_page_was_pushed(s: KernelSync, cpu: Cpu, m: Mm) -> Bool:
    """A call that maps small pages has been to a process."""
    return vmap_range.at(s, cpu, _step(vmap_range, "succeed")) & s.walk.visited[cpu, m]


@sometimes
def a_large_page_was_pushed(s: KernelSync, cpu: Cpu, m: Mm) -> Bool:
    """A call that maps a large page has been to a process."""
    return ioremap_large.at(s, cpu, _step(ioremap_large, "succeed")) & s.walk.visited[cpu, m]


@sometimes
def an_absence_was_pushed(s: KernelSync, cpu: Cpu, m: Mm) -> Bool:
    """A call that unmaps a large page has been to a process."""
    return iounmap_large.at(s, cpu, _step(iounmap_large, "free_vmap_area")) & s.walk.visited[cpu, m]
