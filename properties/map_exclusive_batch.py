"""Populating areas with MAP_EXCLUSIVE.

What it checks: a page that a process has mapped is neither in the direct map nor in a TLB, although
pages are flushed together; a populate asks all CPUs to flush once.  Invariant 1 of direct-map removal,
and its cost.
Why it matters: a flush of all CPUs for each page interrupts a large machine as often as any user likes.
Kernel precedent: "[PATCH RFC] mm: add MAP_EXCLUSIVE"; the review by D. Hansen, 28 October 2019.
Smallest counterexample: a populate of two pages (map-exclusive-each).
Not covered: faults outside of populates, the flag, races for one address (map_exclusive has these).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes
from mapproof.model.machine.sorts import Cpu, Frame, Mm, Task, Va
from mapproof.model.operations.map_exclusive_batch import (
    SET_PTE,
    PopulatedArea,
    populate_batched,
)
from mapproof.model.operations.secretmem import Contents, Flushes, Owner


@always
def populated_pages_have_no_alias(s: PopulatedArea, m: Mm, va: Va, cpu: Cpu) -> Bool:
    """What a process has mapped is neither in the direct map nor in a TLB."""
    entry = s.pte[m, va]
    f = entry.value
    gone = (s.owner[f] == Owner.SECRET) & ~s.present[f] & ~s.tlb[cpu, f]
    return entry.is_some.implies(gone)


@always
def a_populate_flushes_once(s: PopulatedArea, t: Task) -> Bool:
    """A populate asks all CPUs to flush once, however many pages it brings in."""
    flushes = s.batch.flushes[t]
    before = (flushes == Flushes.NEVER) | populate_batched.at(s, t, SET_PTE)
    return populate_batched.idle(s, t) | (before & (flushes != Flushes.AGAIN))


@always
def batched_pages_are_nobodys_yet(
    s: PopulatedArea, t: Task, va: Va, m: Mm, wa: Va, cpu: Cpu
) -> Bool:
    """A page that is not mapped yet is zeroed, out of the direct map and, when a CPU has flushed, out of
    its TLB."""
    entry = s.batch.page[t, va]
    f = entry.value
    new = (s.owner[f] == Owner.SECRET) & (s.contents[f] == Contents.ZERO) & ~s.present[f]
    flushed = populate_batched.at(s, t, SET_PTE) & ~s.batch.waits_for[t, cpu]
    hidden = new & (s.pte[m, wa] != entry) & flushed.implies(~s.tlb[cpu, f])
    return entry.is_some.implies(hidden & ~populate_batched.idle(s, t))


@always
def addresses_are_brought_in_once(s: PopulatedArea, t: Task, va: Va) -> Bool:
    """An address that a populate has a page for has no entry yet."""
    return s.batch.page[t, va].is_some.implies(s.pte[s.batch.mm[t], va].is_none)


@always
def populates_are_of_two_processes(s: PopulatedArea, t: Task, u: Task) -> Bool:
    """Two populates are of two processes."""
    both = ~populate_batched.idle(s, t) & ~populate_batched.idle(s, u)
    return (both & (s.batch.mm[t] == s.batch.mm[u])).implies(t == u)


@always
def batched_pages_are_for_one_address(s: PopulatedArea, t: Task, u: Task, va: Va, wa: Va) -> Bool:
    """A page that is not mapped yet is for one address of one populate."""
    same = s.batch.page[t, va].is_some & (s.batch.page[t, va] == s.batch.page[u, wa])
    return same.implies((t == u) & (va == wa))


@always
def pages_are_mapped_once(s: PopulatedArea, m: Mm, n: Mm, va: Va, wa: Va) -> Bool:
    """A page is mapped at one address of one process."""
    same = s.pte[m, va].is_some & (s.pte[m, va] == s.pte[n, wa])
    return same.implies((m == n) & (va == wa))


@always
def flushes_are_waited_for(s: PopulatedArea, t: Task, cpu: Cpu) -> Bool:
    """Who has asked CPUs to flush maps pages when they have answered."""
    return s.batch.waits_for[t, cpu].implies(populate_batched.at(s, t, SET_PTE))


@sometimes
def two_pages_cost_a_flush(s: PopulatedArea, t: Task, m: Mm, va: Va, wa: Va) -> Bool:
    """A populate has mapped two pages, and all CPUs were asked to flush once."""
    both = (va != wa) & s.pte[m, va].is_some & s.pte[m, wa].is_some & (s.batch.mm[t] == m)
    return both & populate_batched.at(s, t, SET_PTE) & (s.batch.flushes[t] == Flushes.ONCE)


@sometimes
def an_entry_is_waited_for(s: PopulatedArea, t: Task, va: Va, cpu: Cpu, f: Frame) -> Bool:
    """A CPU still has a page that has left the direct map."""
    return s.batch.waits_for[t, cpu] & (s.batch.page[t, va] == some(f)) & s.tlb[cpu, f]


@sometimes
def a_populated_page_has_a_secret(s: PopulatedArea, m: Mm, va: Va) -> Bool:
    """A user has written to a page."""
    entry = s.pte[m, va]
    return entry.is_some & (s.contents[entry.value] == Contents.SECRET)
