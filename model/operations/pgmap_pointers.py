"""Pointers to protected pages: a check where one is made, or a fault where it is used.

kmap() and page_address() hand out the direct-map address of a page.  If the page is protected, an
access through it faults unless the thread is in a bracket, at any later time, and perhaps in another
thread that was given the pointer.  A check in the function that hands it out reports the caller at
once.  Two reports can be told apart if they name different callers; which are reported is all that is
modelled here, what the key lets through is in ``pks``.
"""

from __future__ import annotations

from ..language import FALSE, TRUE, Bool, Enumeration, Fun, Map, State, Step, Update, operation
from ..machine.sorts import Frame, Task


class Origin(Enumeration):
    """Where a thread has a pointer from: nowhere, kmap(), page_address(), another thread."""

    NONE: Origin
    KMAP: Origin
    PAGE_ADDRESS: Origin
    PASSED: Origin


class PgmapPointers(State):
    """bracket: the thread has mapped the page with kmap_local_page().  pointer: where it has another
    pointer to the page from.  unguarded: it got that outside of every bracket.  asked: it has called
    one of the two functions for the page.  warned, faulted: a check has reported the thread with this
    page, a fault has.

    protected: ``devmap_protected(page)``."""

    bracket: Map[Task, Bool]
    pointer: Map[tuple[Task, Frame], Origin]
    unguarded: Map[tuple[Task, Frame], Bool]
    asked: Map[tuple[Task, Frame], Bool]
    warned: Map[tuple[Task, Frame], Bool]
    faulted: Map[tuple[Task, Frame], Bool]

    protected: Fun[Frame, Bool]


class PgmapChecks(PgmapPointers):
    """The same, for claims about checks where a pointer is made."""


class PgmapFaults(PgmapPointers):
    """The same, for claims about faults where it is used, and nothing before."""


@operation(kernel="mm/memremap.c: memremap_pages() of the PKS series")
def boot(s: PgmapPointers) -> Step:
    """Nobody has a pointer, nothing has been reported."""
    return Step(
        when=TRUE,
        then=[
            s.bracket.fill(lambda t: FALSE),
            s.pointer.fill(lambda t, f: Origin.NONE),
            s.unguarded.fill(lambda t, f: FALSE),
            s.asked.fill(lambda t, f: FALSE),
            s.warned.fill(lambda t, f: FALSE),
            s.faulted.fill(lambda t, f: FALSE),
        ],
    )


@operation(kernel="include/linux/highmem-internal.h: kmap_local_page() of the PKS series")
def kmap_local_page(s: PgmapPointers, t: Task) -> Step:
    """A thread opens a bracket."""
    return Step(when=~s.bracket[t], then=[s.bracket.set(t, TRUE)])


@operation(kernel="include/linux/highmem-internal.h: kunmap_local() of the PKS series")
def kunmap_local(s: PgmapPointers, t: Task) -> Step:
    """A thread closes its bracket, and forgets the pointers that it got in there."""

    def guarded(u: Task, f: Frame) -> Bool:
        return (u == t) & s.protected[f] & ~s.unguarded[u, f]

    return Step(
        when=s.bracket[t],
        then=[s.bracket.set(t, FALSE), s.pointer.fill(lambda u, f: Origin.NONE, guarded)],
    )


def _hand_out(s: PgmapPointers, t: Task, f: Frame, origin: Origin, check: Bool) -> list[Update]:
    return [
        s.pointer.set((t, f), origin),
        s.unguarded.set((t, f), ~s.bracket[t]),
        s.asked.set((t, f), TRUE),
        s.warned.set((t, f), s.warned[t, f] | (s.protected[f] & check)),
    ]


@operation(
    kernel="include/linux/highmem-internal.h: kmap(), with V8's check, which here asks for brackets"
)
def kmap(s: PgmapPointers, t: Task, f: Frame) -> Step:
    """kmap() warns of a protected page, unless the thread is in a bracket."""
    return Step(
        when=TRUE,
        then=_hand_out(s, t, f, Origin.KMAP, ~s.bracket[t]),
    )


@operation(kernel="include/linux/mm.h: page_address(), with the check that the review mentions")
def page_address(s: PgmapPointers, t: Task, f: Frame) -> Step:
    """page_address() does the same."""
    return Step(
        when=TRUE,
        then=_hand_out(s, t, f, Origin.PAGE_ADDRESS, ~s.bracket[t]),
    )


@operation(kernel="include/linux/highmem-internal.h: kmap()", name="kmap")
def kmap_unchecked(s: PgmapPointers, t: Task, f: Frame) -> Step:
    """kmap() returns page_address(), as since V9."""
    return Step(when=TRUE, then=_hand_out(s, t, f, Origin.KMAP, FALSE))


# M-03: page_address() has no early failure path.
@operation(kernel="include/linux/mm.h: page_address()", name="page_address")
def page_address_unchecked(s: PgmapPointers, t: Task, f: Frame) -> Step:
    """page_address() computes the address, and that is all."""
    return Step(
        when=TRUE,
        then=_hand_out(s, t, f, Origin.PAGE_ADDRESS, FALSE),
    )


# The check as posted does not ask for brackets.
@operation(
    kernel="include/linux/mm.h: page_address(), with the check of V8's kmap()", name="page_address"
)
def page_address_always_checked(s: PgmapPointers, t: Task, f: Frame) -> Step:
    """page_address() warns of every protected page, within a bracket as well."""
    return Step(
        when=TRUE,
        then=_hand_out(s, t, f, Origin.PAGE_ADDRESS, TRUE),
    )


@operation(kernel="a driver")
def forget(s: PgmapPointers, t: Task, f: Frame) -> Step:
    """A thread is done with a pointer."""
    return Step(
        when=TRUE,
        then=[s.pointer.set((t, f), Origin.NONE), s.unguarded.set((t, f), FALSE)],
    )


@operation(kernel="a driver: a pointer in a shared structure")
def pass_pointer(s: PgmapPointers, t: Task, u: Task, f: Frame) -> Step:
    """A thread gets the pointer of another one; no function is called that could check it."""
    has = (s.pointer[t, f] != Origin.NONE) & (s.pointer[u, f] == Origin.NONE)
    return Step(
        when=has,
        then=[s.pointer.set((u, f), Origin.PASSED), s.unguarded.set((u, f), TRUE)],
    )


@operation(kernel="arch/x86/mm/fault.c: pks_handle_key_fault() of the PKS series")
def use(s: PgmapPointers, t: Task, f: Frame) -> Step:
    """A thread uses its pointer; outside of every bracket a protected page faults."""
    faults = s.protected[f] & ~s.bracket[t]
    return Step(
        when=s.pointer[t, f] != Origin.NONE,
        then=[s.faulted.set((t, f), s.faulted[t, f] | faults)],
    )
