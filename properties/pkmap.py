"""The window of kmap().

What it checks: what a thread mapped is there, on every CPU, for as long as it holds it; a slot is used
again only after a flush of all CPUs; a page has one address; a count is what its users make it
(corpus 04, d.4, and d.7 for counts).
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
from mapproof.model.operations.pkmap import Count, Pkmap, Pkmaps


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


@always
def flushes_are_waited_for_under_the_lock(s: Pkmaps, cpu: Cpu) -> Bool:
    """While an answer is missing, kmap_lock is held."""
    return s.waits_for[cpu].implies(s.kmap_lock.now)


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


@sometimes
def two_threads_hold_a_page(s: Pkmaps, a: Task, b: Task, slot: Pkmap) -> Bool:
    """Two threads have mapped one page."""
    return (a != b) & s.pointer[a, slot].is_some & (s.pointer[a, slot] == s.pointer[b, slot])


@sometimes
def an_unused_slot_is_in_a_tlb(s: Pkmaps, slot: Pkmap, cpu: Cpu) -> Bool:
    """Nobody holds a slot, and a CPU can still use it."""
    return (s.count[slot] == Count.UNUSED) & s.tlb[cpu, slot].is_some


@sometimes
def a_slot_is_used_again(s: Pkmaps, t: Task, slot: Pkmap, cpu: Cpu, other: Cpu) -> Bool:
    """A CPU has flushed a slot while another one has not, and somebody waits for that."""
    stale = s.tlb[cpu, slot].is_some & (s.count[slot] == Count.FREE)
    return stale & s.waits_for[cpu] & ~s.waits_for[other]
