"""Copies of the kernel's tables in every process.

What it checks: where a process has a present entry for the vmalloc area, it is the reference's; when a
range becomes free again no process has an entry that the reference lacks; on x86-64, top-level entries
never change.
Why it matters: a stale present entry never faults, so the kernel silently reads and writes the memory
that the range used to map.
Kernel precedent: "mm/vmalloc: Sync unmappings in vunmap_page_range()", J. Roedel, July 2019
(8e998fc24de4, 3f8fd02b1bf1).
Smallest counterexample: map a large page, fault it in, unmap, purge (vmalloc-pae-additions-only).
Not covered: the TLB, and the time between the unmapping of a range and its purge.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, Mm, PgdSlot, PmdSlot
from mapproof.model.operations.vmalloc import X8664, Area, Pae


@always
def copies_agree_or_fault(s: Pae, m: Mm, i: PmdSlot) -> Bool:
    """In a range in use, the entry of a process is the reference's or is missing and will fault."""
    copy = s.copy(m, i)
    used = s.on_list[m] & (s.area[i] == Area.BUSY)
    return (used & copy.present).implies(s.pmd.same(copy, s.reference(i)))


@always
def no_stale_copy_on_reuse(s: Pae, m: Mm, i: PmdSlot) -> Bool:
    """When a range is free for reuse, no process has an entry that the reference lacks."""
    stale = s.copy(m, i).present & ~s.reference(i).present
    return (s.on_list[m] & (s.area[i] == Area.FREE)).implies(~stale)


@always
def copies_equal_the_reference(s: X8664, m: Mm, i: PgdSlot) -> Bool:
    """Every process has the reference's top-level entry, present, without a fault."""
    copy = s.copy(m, i)
    return s.on_list[m].implies(copy.present & s.pgd.same(copy, s.reference(i)))


@step
def top_level_entries_never_change(old: X8664, new: X8664, i: PgdSlot) -> Bool:
    """A top-level vmalloc entry of init_mm stays what boot made it."""
    return old.pgd.same(old.reference(i), new.reference(i))


@sometimes
def a_fault_pulls_an_entry_in(s: Pae, m: Mm, i: PmdSlot) -> Bool:
    """A process other than the first has the entry of a range in use."""
    return s.on_list[m] & (s.area[i] == Area.BUSY) & s.copy(m, i).present


@sometimes
def a_small_page_is_mapped(s: Pae, i: PmdSlot) -> Bool:
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
