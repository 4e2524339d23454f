"""Who holds a page of the direct map, where everybody keeps the rules of direct-map-architected.

What it checks: a CPU that need not answer has what the leaf is; CPUs are asked only while a call is
under way, and a call is the owner's; who the owner is says what the leaf is; what is in an area is the
allocator's, a driver's or a process's.
Why it matters: these are the rules as a patch would have to keep them; whatever system edits a leaf, others
can count on them.
Kernel precedent: none; the review of July 2019 asked for a solution of this kind.
Smallest counterexample: each of the designs that leave out a rule, in docs/direct-map.md.
Not covered: how the owner is recorded, what waiting for a purge costs.
"""

from __future__ import annotations

from functools import reduce
from operator import and_, or_

from mapproof.model.language import FALSE, Bool, always, some
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.operations.direct_map.frames import Architected, Call, Owner, Request
from mapproof.model.operations.vmalloc import Area

CALLS = (
    (Owner.KERNEL, (Call.SET_MEMORY, Call.DECRYPT, Call.ENCRYPT, Call.HOT_ADD, Call.HOT_REMOVE)),
    (Owner.SECRET, (Call.SECRET_FAULT, Call.SECRET_FLUSH, Call.SECRET_ZERO)),
    (Owner.TEXT, (Call.TEXT_LOAD, Call.TEXT_RESET)),
    (Owner.XPFO, (Call.XPFO_ALLOC, Call.XPFO_KUNMAP)),
    (Owner.IMAGE, (Call.FREE_IMAGE,)),
    (Owner.DEVICE, (Call.DEV_ADD, Call.DEV_REMOVE)),
)
NOT_FLUSHING = (
    Call.IDLE,
    Call.POISON,
    Call.SECRET_FAULT,
    Call.SECRET_ZERO,
    Call.FREE_IMAGE,
    Call.HOT_ADD,
    Call.DEV_ADD,
)


def _in(s: Architected, f: Frame, *calls: Call) -> Bool:
    return reduce(or_, [s.call[f] == call for call in calls], FALSE)


def _is(s: Architected, f: Frame, *owners: Owner) -> Bool:
    return reduce(or_, [s.owner[f] == owner for owner in owners], FALSE)


@always
def entries_are_as_the_leaf(s: Architected, cpu: Cpu, f: Frame) -> Bool:
    """What a CPU has of a page that it need not flush is the page's leaf."""
    waits = s.asked[Request.CALL, f, cpu] | s.asked[Request.MCE, f, cpu]
    kind = (s.tlb.uncached[cpu, f] == s.leaf.uncached[f]) & (
        s.tlb.shared[cpu, f] == s.leaf.shared[f]
    )
    rights = (s.tlb.writable[cpu, f] == s.leaf.writable[f]) & (
        s.tlb.keyed[cpu, f] == s.leaf.keyed[f]
    )
    return (s.tlb.present[cpu, f] & ~waits).implies(s.leaf.present[f] & kind & rights)


@always
def requests_end_with_the_call(s: Architected, cpu: Cpu, f: Frame) -> Bool:
    """A CPU has not answered: the call that asked it is under way."""
    by_call = s.asked[Request.CALL, f, cpu].implies(~_in(s, f, *NOT_FLUSHING))
    by_mce = s.asked[Request.MCE, f, cpu].implies(_in(s, f, Call.POISON))
    return by_call & by_mce & s.asked[Request.ALIAS, f, cpu].implies(_in(s, f, Call.FREE_IMAGE))


@always
def calls_are_the_owners(s: Architected, f: Frame) -> Bool:
    """Who is in the middle of something with a page is its recorded owner."""
    his = [_in(s, f, *calls).implies(s.owner[f] == owner) for owner, calls in CALLS]
    return reduce(and_, his, _in(s, f, Call.POISON).implies(s.poisoned[f]))


@always
def large_entries_are_of_regions_that_wait(s: Architected, cpu: Cpu, f: Frame) -> Bool:
    """A CPU has a large entry of a region that is split: it has not answered yet."""
    region = s.region[f]
    return (s.large_tlb[cpu, region] & s.split[region]).implies(s.split_asked[region, cpu])


@always
def who_waits_for_a_split_edits_nothing(s: Architected, cpu: Cpu, f: Frame) -> Bool:
    """Until all CPUs have flushed a large leaf, the small ones are like it."""
    return s.split_asked[s.region[f], cpu].implies(s.leaf.present[f] & s.is_plain(f))


@always
def the_owner_says_what_the_leaf_is(s: Architected, f: Frame) -> Bool:
    """Pages of processes are as the allocator hands them out, but for memory errors; drivers change
    type and encryption; only persistent memory has a key."""
    plain = _is(s, f, Owner.FREE, Owner.USER).implies(s.is_plain(f))
    mapped = _is(s, f, Owner.FREE, Owner.USER, Owner.KERNEL, Owner.IMAGE)
    shown = mapped.implies(s.leaf.present[f] | s.poisoned[f] | _in(s, f, Call.HOT_REMOVE))
    return plain & shown & (s.leaf.keyed[f] == _is(s, f, Owner.DEVICE))


@always
def areas_are_of_ordinary_pages(s: Architected, va: Va, f: Frame) -> Bool:
    """What is in an area, or was and is not purged, is free, a driver's or a process's, and nobody is
    in the middle of changing its leaf; a fault for a secret file has it purged first."""
    ordinary = _is(s, f, Owner.FREE, Owner.KERNEL, Owner.USER)
    still = s.idle(f) | _in(s, f, Call.POISON)
    return (s.page[va] == some(f)).implies((ordinary & still) | _in(s, f, Call.SECRET_FAULT))


@always
def pages_in_use_are_not_free(s: Architected, va: Va, f: Frame) -> Bool:
    """A page that an area in use maps is not free."""
    used = (s.page[va] == some(f)) & (s.area[va] == Area.BUSY)
    return used.implies(~_is(s, f, Owner.FREE))
