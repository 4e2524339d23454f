"""Entries that are preallocated.

What it checks: once a process exists, no entry of init_mm's vmalloc area at the copied level changes, so
that every process has the same, and reaches what is mapped without a fault and without any
synchronisation (invariants 1, 2, 3 and 5 of the vmalloc area; 4, since no table page is freed).
Why it matters: a process that lacks an entry faults where nobody repairs it; x86-64 has no
vmalloc_fault() since 5.8.
Kernel precedent: the comment in preallocate_vmalloc_pages(), arch/x86/mm/init_64.c; J. Roedel, 19 July
2019, on top-level entries that are never deleted.
Smallest counterexample: boot, fork, and a mapping below an entry that had no page
(vmalloc-no-preallocation).
Not covered: the TLB; what an allocation that fails at boot does, which is a panic.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Mm
from mapproof.model.operations.preallocated import Entry, Preallocated, Slot, Table


@always
def processes_have_every_entry(s: Preallocated, m: Mm, i: Slot) -> Bool:
    """The entries of a process are init_mm's."""
    return s.on_list[m].implies(s.copy[m, i] == s.reference[i])


@always
def everything_is_reached_without_a_fault(s: Preallocated, m: Mm, i: Slot, e: Entry) -> Bool:
    """What is mapped below an entry is mapped for every process."""
    t = s.page_of[i]
    mapped = s.on_list[m] & s.below[t, e].is_some
    return mapped.implies((s.copy[m, i] == t) & (s.reference[i] == t))


@always
def nothing_is_left_to_allocate(s: Preallocated, i: Slot) -> Bool:
    """After the boot every entry has its page."""
    return s.booted.now.implies(s.reference[i] == s.page_of[i])


@always
def ranges_in_use_are_mapped_below(s: Preallocated, i: Slot, e: Entry) -> Bool:
    """A range is mapped if it is in use, and not otherwise."""
    return s.taken[i, e] == s.below[s.page_of[i], e].is_some


@always
def tables_are_empty_until_they_are_used(s: Preallocated, t: Table, e: Entry) -> Bool:
    """Nothing is mapped, and there is no process, before the boot is over."""
    return (~s.booted.now).implies(s.below[t, e].is_none)


@always
def processes_come_after_boot(s: Preallocated, m: Mm) -> Bool:
    """No process has copied entries before all of them were there."""
    return s.on_list[m].implies(s.booted.now)


@step
def linked_entries_stay(old: Preallocated, new: Preallocated, i: Slot) -> Bool:
    """An entry that is linked stays as it is, and none is linked after the boot."""
    same = old.reference[i] == new.reference[i]
    linked = old.reference[i].is_none & ~old.booted.now & (new.reference[i] == old.page_of[i])
    return same | linked


@step
def mapped_pages_are_not_replaced(old: Preallocated, new: Preallocated, t: Table, e: Entry) -> Bool:
    """What is mapped is unmapped before something else takes its place."""
    both = old.below[t, e].is_some & new.below[t, e].is_some
    return both.implies(old.below[t, e] == new.below[t, e])


@step
def the_boot_is_over_once(old: Preallocated, new: Preallocated, m: Mm, i: Slot) -> Bool:
    """What is booted stays so, and entries of processes are written when they are forked only."""
    still = old.booted.now.implies(new.booted.now)
    running = old.on_list[m] & new.on_list[m]
    gone = ~old.on_list[m] & ~new.on_list[m]
    return still & (running | gone).implies(old.copy[m, i] == new.copy[m, i])


@sometimes
def two_processes_reach_a_page(s: Preallocated, m: Mm, n: Mm, i: Slot, e: Entry) -> Bool:
    """Two processes have the page that maps something."""
    both = (m != n) & s.on_list[m] & s.on_list[n] & (s.copy[m, i] == s.page_of[i])
    return both & (s.copy[n, i] == s.page_of[i]) & s.below[s.page_of[i], e].is_some


@sometimes
def a_process_is_older_than_a_mapping(s: Preallocated, m: Mm, i: Slot, e: Entry) -> Bool:
    """A process has exited, and had a page in which nothing is mapped any more."""
    return ~s.on_list[m] & (s.copy[m, i] == s.page_of[i]) & s.below[s.page_of[i], e].is_none
