"""Who holds a page of the direct map, where everybody keeps the rules of direct-map-architected.

What it checks: a CPU that need not answer has what the leaf is; CPUs are asked only while a call is
under way, and a call is the owner's; who the owner is says what the leaf is; what is in an area is the
allocator's, a driver's or a process's.
Why it matters: these are the rules as a patch would have to keep them; whatever system edits a leaf,
others can count on them.
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
    (Owner.KERNEL, (Call.SET_MEMORY, Call.DECRYPT, Call.ENCRYPT)),
    (Owner.ISOLATED, (Call.HOT_ADD, Call.HOT_REMOVE)),
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
    """Who is in the middle of something with a page is its recorded owner; an error is of a page that
    nobody else may edit."""
    his = [_in(s, f, *calls).implies(s.owner[f] == owner) for owner, calls in CALLS]
    taken = _is(s, f, Owner.FREE, Owner.USER, Owner.DEVICE)
    error = _in(s, f, Call.POISON).implies(taken & s.poisoned[f])
    return reduce(and_, his, error)


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
    removed = _in(s, f, Call.DEV_REMOVE)
    plain = _is(s, f, Owner.FREE, Owner.USER, Owner.IMAGE).implies(s.is_plain(f))
    mapped = _is(s, f, Owner.FREE, Owner.USER, Owner.KERNEL, Owner.IMAGE, Owner.DEVICE)
    shown = (mapped & ~removed).implies((s.leaf.present[f] | s.poisoned[f]) & s.leaf.writable[f])
    return plain & shown & (s.leaf.keyed[f] == _is(s, f, Owner.DEVICE))


@always
def the_call_says_what_the_leaf_is(s: Architected, f: Frame) -> Bool:
    """Whoever takes a page out of the direct map has it out until he puts it back, and nobody else
    does."""
    away = _in(
        s,
        f,
        Call.SECRET_FLUSH,
        Call.TEXT_RESET,
        Call.XPFO_ALLOC,
        Call.XPFO_KUNMAP,
        Call.HOT_REMOVE,
        Call.DEV_REMOVE,
    )
    secret = _is(s, f, Owner.SECRET)
    back = (secret & _in(s, f, Call.SECRET_FAULT, Call.SECRET_ZERO)) | _in(s, f, Call.HOT_ADD)
    kmapped = _is(s, f, Owner.XPFO) & s.kmapped[f]
    out = away | _is(s, f, Owner.ABSENT) | (secret & s.idle(f))
    out = out | (_is(s, f, Owner.XPFO) & s.idle(f) & ~s.kmapped[f])
    shown = s.leaf.present[f] & s.leaf.writable[f]
    return (
        s.kmapped[f].implies(_is(s, f, Owner.XPFO) & ~_in(s, f, Call.XPFO_ALLOC))
        & out.implies(~s.leaf.present[f])
        & (back | (kmapped & s.idle(f))).implies(shown)
        & _is(s, f, Owner.TEXT).implies(~s.leaf.writable[f])
    )


@always
def leaves_of_their_own_are_small(s: Architected, cpu: Cpu, f: Frame) -> Bool:
    """A page whose owner edits its leaf has a small one, and no CPU has still to flush the large one."""
    own = _is(s, f, Owner.XPFO, Owner.TEXT, Owner.DEVICE, Owner.ABSENT) | s.poisoned[f]
    region = s.region[f]
    return own.implies(s.split[region] & ~s.split_asked[region, cpu])


@always
def errors_are_hidden_by_one(s: Architected, f: Frame) -> Bool:
    """A page with an error is out of the direct map, and no owner brings it back."""
    taken = _is(s, f, Owner.FREE, Owner.USER, Owner.DEVICE) | _in(s, f, Call.HOT_REMOVE)
    return s.poisoned[f].implies(~s.leaf.present[f] & taken)


@always
def pages_come_and_go_plain(s: Architected, f: Frame) -> Bool:
    """What is not plugged in, or comes or goes, is cached, private and nobody's to share."""
    moving = _is(s, f, Owner.ABSENT, Owner.ISOLATED)
    return moving.implies(~s.leaf.uncached[f] & ~s.leaf.shared[f] & ~s.host[f])


@always
def image_aliases_are_flushed(s: Architected, cpu: Cpu, f: Frame) -> Bool:
    """A CPU that need not flush the image's address of a page has what is there, and a page that is
    being freed has none."""
    entry = s.high_tlb[cpu, f] & ~s.asked[Request.ALIAS, f, cpu]
    gone = _in(s, f, Call.FREE_IMAGE).implies(~s.high[f] & ~s.user_text[f])
    return entry.implies(s.high[f]) & gone


@always
def references_are_by_consent(s: Architected, f: Frame) -> Bool:
    """Whose page GUP has a reference to shares it with the kernel."""
    return s.pinned[f].implies(_is(s, f, Owner.USER))


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
