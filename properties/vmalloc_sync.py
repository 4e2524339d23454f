"""Copies of the kernel's tables in every process.

What it checks: where a process has a present entry for the vmalloc area, it is the reference's; when a
range becomes free again no process has an entry that the reference lacks; on x86-64, top-level entries
never change.  Ranges, entries and pgd_list change only as their locks and states allow.
Why it matters: a stale present entry never faults, so the kernel silently reads and writes the memory
that the range used to map.
Kernel precedent: "mm/vmalloc: Sync unmappings in vunmap_page_range()", J. Roedel, July 2019
(8e998fc24de4, 3f8fd02b1bf1).
Smallest counterexample: map a large page, fault it in, unmap, purge (vmalloc-pae-additions-only).
Not covered: the TLB, and the time between the unmapping of a range and its purge.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, Mm, PgdSlot, Pmd, PmdSlot, Pte, PteSlot
from mapproof.model.operations.vmalloc import Area, Kernel
from mapproof.model.operations.vmalloc_pae import Pae, SharedPae, VmallocPae
from mapproof.model.operations.vmalloc_x86_64 import X8664


@always
def copies_agree_or_fault(s: VmallocPae, m: Mm, i: PmdSlot) -> Bool:
    """In a range in use, the entry of a process is the reference's or is missing and will fault."""
    copy = s.copy(m, i)
    used = s.on_list[m] & (s.area[i] == Area.BUSY)
    return (used & copy.present).implies(s.pmd.same(copy, s.reference(i)))


@always
def no_stale_copy_on_reuse(s: VmallocPae, m: Mm, i: PmdSlot) -> Bool:
    """When a range is free for reuse, no process has an entry that the reference lacks."""
    stale = s.copy(m, i).present & ~s.reference(i).present
    free = s.is_vmalloc(i) & (s.area[i] == Area.FREE)
    return (s.on_list[m] & free).implies(~stale)


@always
def copies_are_the_reference(s: SharedPae, m: Mm, i: PmdSlot) -> Bool:
    """With one kernel PMD page each process has at any time what init_mm has."""
    return s.pmd.same(s.copy(m, i), s.reference(i))


@always
def copies_equal_the_reference(s: X8664, m: Mm, i: PgdSlot) -> Bool:
    """Every process has the reference's top-level entry, present, without a fault."""
    copy = s.copy(m, i)
    return s.on_list[m].implies(copy.present & s.pgd.same(copy, s.reference(i)))


@step
def top_level_entries_never_change(old: X8664, new: X8664, i: PgdSlot) -> Bool:
    """A top-level vmalloc entry of init_mm stays what boot made it."""
    return old.pgd.same(old.reference(i), new.reference(i))


# Ranges: what may be mapped in which state.


def _goes_round(a: Area, b: Area) -> Bool:
    taken = (a == Area.FREE) & (b == Area.BUSY)
    queued = (a == Area.BUSY) & (b == Area.LAZY)
    purged = (a == Area.LAZY) & (b == Area.FREE)
    return (a == b) | taken | queued | purged


@always
def ranges_are_of_the_vmalloc_area(s: VmallocPae, i: PmdSlot) -> Bool:
    """What is handed out lies in the vmalloc area."""
    return s.is_vmalloc(i) | (s.area[i] == Area.FREE)


@step
def ranges_go_round(old: VmallocPae, new: VmallocPae, i: PmdSlot) -> Bool:
    """A range is taken when it is free, unmapped when it is in use, freed when it was unmapped."""
    return _goes_round(old.area[i], new.area[i])


@step
def ranges_go_round_64(old: X8664, new: X8664, i: PgdSlot, k: PmdSlot) -> Bool:
    """A range is taken when it is free, unmapped when it is in use, freed when it was unmapped."""
    return _goes_round(old.small_area[i, k], new.small_area[i, k])


@always
def only_ranges_in_use_are_mapped(s: VmallocPae, i: PmdSlot, j: PteSlot) -> Bool:
    """init_mm maps pages, small or large, in ranges in use only."""
    entry = s.reference(i)
    small = entry.table.is_some & s.pte.present[entry.table.value, j]
    used = (s.area[i] == Area.BUSY) | ~s.is_vmalloc(i)
    return small.implies(used) & entry.leaf.is_some.implies(used)


@always
def only_ranges_in_use_are_mapped_64(s: X8664, i: PgdSlot, k: PmdSlot, j: PteSlot) -> Bool:
    """init_mm maps pages, small or large, in ranges in use only."""
    entry = s.pmd.entry(s.reference(i).table.value, k)
    small = entry.table.is_some & s.pte.present[entry.table.value, j]
    used = s.small_area[i, k] == Area.BUSY
    return small.implies(used) & entry.leaf.is_some.implies(used)


@step
def entries_change_in_use(old: VmallocPae, new: VmallocPae, i: PmdSlot) -> Bool:
    """init_mm's entry changes only while its range is in use, and is cleared before it is reused."""
    a, b = old.reference(i), new.reference(i)
    same = old.pmd.same(a, b)
    return same | ((old.area[i] == Area.BUSY) & ~(a.present & b.present))


@step
def entries_change_in_use_64(old: X8664, new: X8664, i: PgdSlot, k: PmdSlot) -> Bool:
    """The entry of a range changes only while it is in use, and is cleared before it is reused."""
    page: Pmd = old.reference(i).table.value
    a, b = old.pmd.entry(page, k), new.pmd.entry(page, k)
    same = old.pmd.same(a, b)
    return same | ((old.small_area[i, k] == Area.BUSY) & ~(a.present & b.present))


@step
def pages_are_not_replaced(old: Kernel, new: Kernel, t: Pte, j: PteSlot) -> Bool:
    """A mapped page is unmapped before another one takes its place."""
    both = old.pte.present[t, j] & new.pte.present[t, j]
    return both.implies(old.pte.leaf[t, j] == new.pte.leaf[t, j])


# Processes: who may change what of them.


@always
def loaded_processes_are_on_the_list(s: Kernel, cpu: Cpu) -> Bool:
    """A CPU runs on the tables of a process that is on pgd_list."""
    return s.on_list[s.loaded_mm[cpu]]


@step
def pgd_list_changes_under_its_lock(old: Kernel, new: Kernel, m: Mm) -> Bool:
    """Nobody joins or leaves pgd_list while another walks it."""
    return (old.on_list[m] == new.on_list[m]) | ~old.pgd_lock.now


@step
def copies_are_removed_under_pgd_lock(old: Pae, new: Pae, m: Mm, i: PmdSlot) -> Bool:
    """What a process on pgd_list has of the vmalloc area is taken away by whoever walks the list, and
    by nobody else."""
    lost = (
        old.is_vmalloc(i) & old.copy(m, i).present & ~old.pmd.same(old.copy(m, i), new.copy(m, i))
    )
    return (old.on_list[m] & lost).implies(old.pgd_lock.now)


@step
def tables_off_the_list_rest(old: Pae, new: Pae, m: Mm, i: PmdSlot) -> Bool:
    """Nobody writes to the tables of a process that is not on pgd_list."""
    gone = ~old.on_list[m] & ~new.on_list[m]
    return gone.implies(old.pmd.same(old.copy(m, i), new.copy(m, i)))


@sometimes
def a_fault_pulls_an_entry_in(s: Pae, m: Mm, i: PmdSlot) -> Bool:
    """A process other than the first has the entry of a range in use."""
    return s.on_list[m] & (s.area[i] == Area.BUSY) & s.copy(m, i).present


@sometimes
def a_small_page_is_mapped(s: VmallocPae, i: PmdSlot) -> Bool:
    """A range in use has a PTE page."""
    entry = s.reference(i)
    return (s.area[i] == Area.BUSY) & entry.present & entry.table.is_some


@sometimes
def a_range_waits_for_the_purge(s: Pae, m: Mm, i: PmdSlot) -> Bool:
    """A range is unmapped while a process still has its entry."""
    stale = s.copy(m, i).present & ~s.reference(i).present
    return s.on_list[m] & (s.area[i] == Area.LAZY) & stale


@sometimes
def every_process_reaches_a_page(s: X8664, a: Mm, b: Mm, cpu: Cpu, i: PgdSlot, k: PmdSlot) -> Bool:
    """Two processes reach a page that is mapped below a shared top-level entry."""
    entry = s.pmd.entry(s.copy(b, i).table.value, k)
    return (a != b) & s.on_list[a] & s.on_list[b] & s.copy(b, i).present & entry.present


@sometimes
def a_range_is_free_again(s: X8664, i: PgdSlot, k: PmdSlot) -> Bool:
    """A range that was mapped by small pages is free: its PTE page is still there."""
    entry = s.pmd.entry(s.reference(i).table.value, k)
    return (s.small_area[i, k] == Area.FREE) & entry.present


@sometimes
def two_processes(s: Kernel, a: Mm, b: Mm) -> Bool:
    """Two processes are on pgd_list."""
    return (a != b) & s.on_list[a] & s.on_list[b]


@sometimes
def another_process_runs(s: Kernel, cpu: Cpu) -> Bool:
    """A CPU runs another process than the first one."""
    return s.loaded_mm[cpu] != s.boot_mm[()]


@sometimes
def a_process_has_exited(s: VmallocPae, m: Mm, i: PmdSlot) -> Bool:
    """A process has left pgd_list; its tables still have an entry."""
    return ~s.on_list[m] & s.is_vmalloc(i) & s.copy(m, i).present


@sometimes
def a_process_has_exited_64(s: X8664, m: Mm, i: PgdSlot) -> Bool:
    """A process has left pgd_list; its tables still have an entry."""
    return ~s.on_list[m] & s.copy(m, i).present


@sometimes
def a_page_is_mapped(s: Kernel, t: Pte, j: PteSlot) -> Bool:
    """A small page is mapped."""
    return s.pte.present[t, j]


@sometimes
def a_large_page_is_mapped(s: Kernel, p: Pmd, i: PmdSlot) -> Bool:
    """A large page is mapped."""
    return s.pmd.present[p, i] & s.pmd.leaf[p, i].is_some


@sometimes
def a_purge_is_over(s: VmallocPae, i: PmdSlot) -> Bool:
    """A range that was mapped by small pages is free, and every lock is free, too."""
    again = s.is_vmalloc(i) & (s.area[i] == Area.FREE) & s.reference(i).present
    return again & ~s.pgd_lock.now & ~s.vmap_purge_lock.now


@sometimes
def a_purge_finds_nothing_to_push(s: SharedPae, cpu: Cpu, m: Mm, i: PmdSlot) -> Bool:
    """A purge has been to a process, whose entry is gone since the range was unmapped."""
    visited = s.purge.visited[cpu, m] & (s.purge.slot[cpu] == i) & s.pgd_lock.now
    return s.on_list[m] & visited & (s.area[i] == Area.LAZY) & ~s.copy(m, i).present
