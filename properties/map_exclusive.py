"""Pages of areas with MAP_EXCLUSIVE.

What it checks: a page that a process has mapped in such an area is flagged, not in the direct map and in
no TLB, from before it is mapped; what is neither mapped nor prepared is in the direct map; nobody else
gets a page with a secret in it.  Invariants 1, 2 and 3 of direct-map removal.
Why it matters: who asks for the area relies on all of it, however a page got there.
Kernel precedent: "[PATCH RFC] mm: add MAP_EXCLUSIVE to create exclusive user mappings", not merged.
Smallest counterexample: a fault after the populate (map-exclusive-posted).
Not covered: GUP (see secretmem_gup), faults of the kernel at a flagged page, entries of users in TLBs.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, forall, some, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame, Mm, Task, Va
from mapproof.model.operations.map_exclusive import (
    CLEAR,
    FINISH,
    FREE,
    MARK,
    Exclusive,
    is_preparing,
    populate,
    zap,
)
from mapproof.model.operations.secretmem import Contents, Owner


@always
def exclusive_pages_have_no_alias(s: Exclusive, m: Mm, va: Va, cpu: Cpu) -> Bool:
    """What a process has mapped is neither in the direct map nor in a TLB."""
    entry = s.pte[m, va]
    f = entry.value
    return entry.is_some.implies(~s.present[f] & ~s.tlb[cpu, f])


@always
def settled_pages_have_no_alias(s: Exclusive, m: Mm, va: Va, cpu: Cpu) -> Bool:
    """Nor is, at least, what is mapped and not about to be taken out of the direct map."""
    entry = s.pte[m, va]
    f = entry.value
    settled = entry.is_some & forall(Task, lambda t: ~is_preparing(s, t, f))
    return settled.implies(~s.present[f] & ~s.tlb[cpu, f])


@always
def exclusive_pages_are_flagged(s: Exclusive, m: Mm, va: Va) -> Bool:
    """What a process has mapped has the flag, and is the area's."""
    entry = s.pte[m, va]
    f = entry.value
    return entry.is_some.implies(s.flag[f] & (s.owner[f] == Owner.SECRET))


@always
def exclusive_pages_have_one_entry(s: Exclusive, m: Mm, n: Mm, va: Va, wa: Va) -> Bool:
    """A page is mapped once: whoever unmaps it may put it back into the direct map."""
    same = s.pte[m, va].is_some & (s.pte[m, va] == s.pte[n, wa])
    return same.implies((m == n) & (va == wa))


@always
def the_flag_tells_of_the_leaf(s: Exclusive, f: Frame) -> Bool:
    """A page is flagged if it is not in the direct map; a flagged one is an area's."""
    return (s.flag[f] == ~s.present[f]) & s.flag[f].implies(s.owner[f] == Owner.SECRET)


@always
def prepared_pages_are_private(s: Exclusive, t: Task, m: Mm, va: Va) -> Bool:
    """A page that a fault prepares is the area's, zeroed, mapped nowhere, and out of the direct map once
    it is marked."""
    f = s.populate.page[t]
    new = (s.owner[f] == Owner.SECRET) & (s.contents[f] == Contents.ZERO)
    out = s.flag[f] == ~populate.at(s, t, MARK)
    return populate.idle(s, t) | (new & out & (s.pte[m, va] != some(f)))


@always
def pages_are_at_one_task(s: Exclusive, a: Task, b: Task) -> Bool:
    """No two tasks prepare or free one page, and nobody prepares what another frees."""
    f = s.populate.page[a]
    prepares = ~populate.idle(s, a) & is_preparing(s, b, f)
    frees = ~zap.idle(s, a) & ~zap.idle(s, b) & (s.zap.page[a] == s.zap.page[b])
    both = ~populate.idle(s, a) & ~zap.idle(s, b) & (s.zap.page[b] == f)
    return (prepares | frees).implies(a == b) & ~both


@always
def who_has_answered_has_no_entry_of_it(s: Exclusive, t: Task, cpu: Cpu) -> Bool:
    """A CPU that need not flush for a fault has no entry of its page; others are waited for."""
    waits = s.populate.waits_for[t, cpu]
    finishing = populate.at(s, t, FINISH)
    gone = (finishing & ~waits).implies(~s.tlb[cpu, s.populate.page[t]])
    return gone & waits.implies(finishing)


@always
def freed_pages_come_back(s: Exclusive, t: Task, m: Mm, va: Va) -> Bool:
    """A page that is unmapped is the area's, in the direct map, mapped nowhere, and zeroed when it is
    freed."""
    f = s.zap.page[t]
    back = s.present[f] & (s.owner[f] == Owner.SECRET) & (s.pte[m, va] != some(f))
    clean = zap.at(s, t, FREE).implies(s.contents[f] == Contents.ZERO)
    return zap.idle(s, t) | (back & clean)


@step
def pages_leave_before_they_are_mapped(s: Exclusive, new: Exclusive, m: Mm, va: Va) -> Bool:
    """A page that gets an entry was not in the direct map before."""
    entry = new.pte[m, va]
    mapped = entry.is_some & (s.pte[m, va] != entry)
    return mapped.implies(~s.present[entry.value])


@sometimes
def an_exclusive_page_is_used(s: Exclusive, m: Mm, va: Va) -> Bool:
    """A user has written to a page."""
    entry = s.pte[m, va]
    return entry.is_some & (s.contents[entry.value] == Contents.SECRET)


@sometimes
def two_faults_race(s: Exclusive, t: Task) -> Bool:
    """A fault has prepared a page for an address that has one now."""
    entry = s.pte[s.populate.mm[t], s.populate.va[t]]
    return populate.at(s, t, FINISH) & s.answered(t) & entry.is_some


@sometimes
def a_page_is_unmapped_with_a_secret(s: Exclusive, t: Task, f: Frame) -> Bool:
    """A page is back in the direct map, to be zeroed."""
    return zap.at(s, t, CLEAR) & (s.zap.page[t] == f) & (s.contents[f] == Contents.SECRET)


@sometimes
def an_entry_is_waited_for(s: Exclusive, t: Task, cpu: Cpu) -> Bool:
    """A CPU still has a page that has left the direct map."""
    return s.populate.waits_for[t, cpu] & s.tlb[cpu, s.populate.page[t]]
