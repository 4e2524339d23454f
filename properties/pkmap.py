"""The window of kmap().

What it checks: what a thread mapped is there, on every CPU, for as long as it holds it; a slot is used
again only after a flush of all CPUs; a page has one address; a count is what its users make it
(promises 4 and 7 of docs/keys.md).
Why it matters: an address that leads to another page lets the kernel read and write what is somebody
else's, and the count is all that keeps a slot.
Kernel precedent: the comments of mm/highmem.c ("A count must never go down to zero without a TLB
flush!"); "erofs: fix wrong kunmap when using LZMA on HIGHMEM platforms" (6.1.20).
Smallest counterexample: a page is mapped, another thread unmaps it (pkmap-another-page).
Not covered: several references of one thread to one page, colours of caches, kmap_high_get() of ARM,
and that a thread that sleeps is woken.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists, some, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame, Task
from mapproof.model.operations.pkmap import (
    Count,
    Pkmap,
    Pkmaps,
    flush_unused,
    flushed,
    kmap_high,
    wake_up,
)


@always
def held_slots_map_their_page(s: Pkmaps, t: Task, slot: Pkmap) -> Bool:
    """A slot that a thread holds is in use, and maps the page that the thread mapped."""
    held = s.pointer[t, slot].is_some
    return held.implies((s.pte[slot] == s.pointer[t, slot]) & (s.count[slot] == Count.USED))


@always
def held_slots_lead_to_their_page(s: Pkmaps, t: Task, slot: Pkmap, cpu: Cpu) -> Bool:
    """On every CPU, the address that a thread holds leads to its page."""
    used = s.pointer[t, slot].is_some & s.tlb[cpu, slot].is_some
    return used.implies(s.tlb[cpu, slot] == s.pointer[t, slot])


@always
def pointers_are_counted(s: Pkmaps, t: Task, slot: Pkmap) -> Bool:
    """Who may use an address is counted, and nobody else is."""
    return s.reference[t, slot] == s.pointer[t, slot].is_some


@always
def counts_are_of_references(s: Pkmaps, slot: Pkmap) -> Bool:
    """A slot is in use if, and only if, there is a reference to it."""
    return (s.count[slot] == Count.USED) == exists(Task, lambda t: s.reference[t, slot])


@always
def free_slots_are_in_no_tlb(s: Pkmaps, slot: Pkmap, cpu: Cpu) -> Bool:
    """A slot that is free is empty, and in no TLB but of a CPU whose flush is waited for."""
    free = s.count[slot] == Count.FREE
    return free.implies(s.pte[slot].is_none & (s.tlb[cpu, slot].is_none | s.waits_for[cpu]))


def _holds_the_lock(s: Pkmaps, t: Task) -> Bool:
    asleep = kmap_high.at(s, t, wake_up)
    return ~(kmap_high.idle(s, t) | asleep) | ~flush_unused.idle(s, t)


@always
def the_lock_is_held_by_who_works(s: Pkmaps, t: Task) -> Bool:
    """kmap_lock is held by who looks for a slot, fills it or gives slots up, not by who sleeps."""
    return (s.kmap_lock.now == t) == _holds_the_lock(s, t)


@always
def flushes_are_waited_for_under_the_lock(s: Pkmaps, cpu: Cpu) -> Bool:
    """While an answer is missing, kmap_lock is held."""
    return s.waits_for[cpu].implies(s.kmap_lock.now.is_some)


@always
def unused_slots_are_mapped(s: Pkmaps, slot: Pkmap) -> Bool:
    """A slot that is not free maps a page, used or not."""
    return (s.count[slot] != Count.FREE).implies(s.pte[slot].is_some)


@always
def who_maps_a_page_does_not_hold_it(s: Pkmaps, t: Task, slot: Pkmap) -> Bool:
    """A thread in kmap_high() gets its only reference to the page."""
    return (~kmap_high.idle(s, t)).implies(s.pointer[t, slot] != s.kmap.page[t])


@always
def pages_are_found_at_their_address(s: Pkmaps, f: Frame, slot: Pkmap) -> Bool:
    """page_address() is a slot that maps the page, and every slot that maps it."""
    return s.address[f, slot] == (s.pte[slot] == some(f))


@always
def pages_have_one_address(s: Pkmaps, f: Frame, a: Pkmap, b: Pkmap) -> Bool:
    """page_address() is one slot."""
    return (s.address[f, a] & s.address[f, b]).implies(a == b)


@step
def only_flushes_make_slots_free(s: Pkmaps, new: Pkmaps, slot: Pkmap, cpu: Cpu) -> Bool:
    """A slot becomes free only when it was unused, and every CPU is asked to flush."""
    freed = (s.count[slot] != Count.FREE) & (new.count[slot] == Count.FREE)
    return freed.implies((s.count[slot] == Count.UNUSED) & new.waits_for[cpu])


@step
def references_change_under_the_lock(s: Pkmaps, new: Pkmaps, t: Task, slot: Pkmap) -> Bool:
    """While somebody holds kmap_lock and keeps it, no reference comes or goes."""
    kept = s.kmap_lock.now.is_some & new.kmap_lock.now.is_some
    return kept.implies(s.reference[t, slot] == new.reference[t, slot])


@step
def threads_sleep_when_all_is_used(s: Pkmaps, new: Pkmaps, t: Task, slot: Pkmap) -> Bool:
    """A thread goes to sleep only when every slot is in use."""
    asleep = kmap_high.at(new, t, wake_up) & ~kmap_high.at(s, t, wake_up)
    return asleep.implies(s.count[slot] == Count.USED)


@step
def cpus_flush_when_asked(s: Pkmaps, new: Pkmaps, cpu: Cpu, slot: Pkmap) -> Bool:
    """The cost: no CPU flushes the window but for a request."""
    flushed = s.tlb[cpu, slot].is_some & new.tlb[cpu, slot].is_none
    return flushed.implies(s.waits_for[cpu])


@sometimes
def a_thread_holds_two_pages(s: Pkmaps, t: Task, a: Pkmap, b: Pkmap) -> Bool:
    """One thread has mapped two pages."""
    both = s.pointer[t, a].is_some & s.pointer[t, b].is_some
    return both & (s.pointer[t, a] != s.pointer[t, b])


@sometimes
def two_threads_hold_a_page(s: Pkmaps, a: Task, b: Task, slot: Pkmap) -> Bool:
    """Two threads have mapped one page."""
    return (a != b) & s.pointer[a, slot].is_some & (s.pointer[a, slot] == s.pointer[b, slot])


@sometimes
def an_unused_slot_is_in_a_tlb(s: Pkmaps, slot: Pkmap, cpu: Cpu) -> Bool:
    """Nobody holds a slot, and a CPU can still use it."""
    return (s.count[slot] == Count.UNUSED) & s.tlb[cpu, slot].is_some


@sometimes
def a_search_waits_for_a_flush(s: Pkmaps, t: Task, slot: Pkmap, cpu: Cpu, other: Cpu) -> Bool:
    """One CPU has flushed a free slot, another has not, and kmap_high() waits for that."""
    waits = kmap_high.at(s, t, flushed) & s.waits_for[cpu] & ~s.waits_for[other]
    return waits & s.tlb[cpu, slot].is_some & (s.count[slot] == Count.FREE)


@sometimes
def a_thread_sleeps(s: Pkmaps, t: Task) -> Bool:
    """Every slot is in use, and a thread waits for one."""
    return kmap_high.at(s, t, wake_up)
