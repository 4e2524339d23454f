"""Pages of users under XPFO.

What it checks: a page of a user that nobody has kmapped is in the direct map, and in a TLB, only while
somebody allocates, kmaps or kunmaps it; pages of the kernel and free ones are mapped, and so is what is
kmapped; counts and leaves change under the lock of the page; the last kunmap() costs a flush of all
CPUs, the others none.  Invariants 1 and 2 of direct-map removal.
Why it matters: ret2dir attacks have the kernel use what a user wrote by its address in the direct map.
Kernel precedent: mm/xpfo.c as posted; no version was merged.
Smallest counterexample: a page that the kernel never had kmapped (xpfo-posted).
Not covered: pages that are split, kmap_atomic(), DMA, pages of several frames.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame, Task
from mapproof.model.operations.xpfo import (
    ALLOC_FLUSH,
    ALLOC_RETURN,
    KMAP_COUNT,
    KMAP_UNLOCK,
    KUNMAP_CLEAR,
    KUNMAP_COUNT,
    KUNMAP_FLUSH,
    KUNMAP_RETURN,
    KUNMAP_UNLOCK,
    Use,
    UserPages,
    is_at,
    is_locking,
    is_quiet,
    xpfo_alloc_page,
    xpfo_kmap,
    xpfo_kunmap,
)


def _is_the_users(s: UserPages, f: Frame) -> Bool:
    return (s.use[f] == Use.USER) & s.not_held(f) & is_quiet(s, f)


@always
def user_pages_are_unmapped(s: UserPages, f: Frame) -> Bool:
    """A page of a user's that nobody in the kernel is at is not in the direct map."""
    return _is_the_users(s, f).implies(~s.present[f])


@always
def unmapped_pages_are_in_no_tlb(s: UserPages, cpu: Cpu, f: Frame) -> Bool:
    """A page that was taken out of the direct map, and that nobody is at, is in no TLB."""
    return (s.unmapped[f] & is_quiet(s, f)).implies(~s.tlb[cpu, f])


@always
def other_pages_stay_mapped(s: UserPages, f: Frame) -> Bool:
    """A page that is free or the kernel's is in the direct map, and not marked."""
    return (s.use[f] != Use.USER).implies(s.present[f] & ~s.unmapped[f])


@always
def kmapped_pages_are_mapped(s: UserPages, t: Task, f: Frame) -> Bool:
    """What a task has kmapped is a user's, and in the direct map."""
    return s.held[t, f].implies((s.use[f] == Use.USER) & s.present[f] & ~s.unmapped[f])


@always
def the_mark_follows_the_count(s: UserPages, f: Frame) -> Bool:
    """A page of a user's is marked if nobody has it kmapped."""
    return (s.use[f] == Use.USER).implies(s.unmapped[f] == s.not_held(f))


@always
def marked_pages_are_cleared(s: UserPages, f: Frame) -> Bool:
    """A marked page is in the direct map only until the last kunmap() has cleared its leaf."""
    clearing = exists(
        Task, lambda t: xpfo_kunmap.at(s, t, KUNMAP_CLEAR) & (s.xpfo.page[t] == f) & s.xpfo.last[t]
    )
    return (s.unmapped[f] & s.present[f]).implies(clearing)


@always
def pages_are_locked_by_one_task(s: UserPages, a: Task, b: Task) -> Bool:
    """Who is at the count or the leaf of a user's page has it locked, and nobody else has."""
    same = s.xpfo.page[a] == s.xpfo.page[b]
    one = (is_locking(s, a) & is_locking(s, b) & same).implies(a == b)
    return one & is_locking(s, a).implies(s.lock[s.xpfo.page[a]])


@always
def tasks_do_one_thing(s: UserPages, t: Task) -> Bool:
    """Nobody is in two of these functions at once."""
    alloc, kmaps = xpfo_alloc_page.idle(s, t), xpfo_kmap.idle(s, t)
    return (alloc & kmaps) | (alloc & xpfo_kunmap.idle(s, t)) | (kmaps & xpfo_kunmap.idle(s, t))


@always
def pages_are_at_users(s: UserPages, t: Task, f: Frame) -> Bool:
    """What a task allocates, kmaps or kunmaps is a page of a user's; it kmaps and kunmaps what it has
    kmapped."""
    counted = xpfo_kmap.at(s, t, KMAP_UNLOCK) | xpfo_kunmap.at(s, t, KUNMAP_COUNT)
    held = counted.implies(s.held[t, s.xpfo.page[t]])
    return is_at(s, t, f).implies(s.use[f] == Use.USER) & held


@always
def allocated_pages_are_nobody_elses(s: UserPages, t: Task, u: Task, f: Frame) -> Bool:
    """While a page is allocated nobody else is at it, or has it kmapped."""
    allocating = ~xpfo_alloc_page.idle(s, t) & (s.xpfo.page[t] == f)
    return allocating.implies(~s.held[u, f] & (is_at(s, u, f)).implies(t == u))


@always
def the_last_kunmap_knows_it(s: UserPages, t: Task) -> Bool:
    """Between the count and the unlock, a kunmap() is the last one if nobody has the page kmapped."""
    counted = xpfo_kunmap.at(s, t, KUNMAP_CLEAR) | xpfo_kunmap.at(s, t, KUNMAP_FLUSH)
    counted = counted | xpfo_kunmap.at(s, t, KUNMAP_UNLOCK)
    return counted.implies(s.xpfo.last[t] == s.not_held(s.xpfo.page[t]))


@always
def entries_of_unmapped_pages_are_waited_for(s: UserPages, cpu: Cpu, f: Frame) -> Bool:
    """A CPU that has an entry of a page that was taken out of the direct map is about to be asked to
    flush, or has been asked."""

    def asks(t: Task) -> Bool:
        before = xpfo_kunmap.at(s, t, KUNMAP_CLEAR) | xpfo_kunmap.at(s, t, KUNMAP_FLUSH)
        early = (before & s.xpfo.last[t]) | xpfo_alloc_page.at(s, t, ALLOC_FLUSH)
        return (s.xpfo.page[t] == f) & (early | s.xpfo.waits_for[t, cpu])

    return (s.unmapped[f] & s.tlb[cpu, f]).implies(exists(Task, asks))


@always
def flushes_are_waited_for(s: UserPages, t: Task, cpu: Cpu) -> Bool:
    """Who has asked CPUs to flush returns when they have answered."""
    leaving = xpfo_kunmap.at(s, t, KUNMAP_UNLOCK) | xpfo_kunmap.at(s, t, KUNMAP_RETURN)
    waiting = (leaving & s.xpfo.last[t]) | xpfo_alloc_page.at(s, t, ALLOC_RETURN)
    return s.xpfo.waits_for[t, cpu].implies(waiting)


@step
def only_the_last_kunmap_flushes(s: UserPages, new: UserPages, t: Task, u: Task, cpu: Cpu) -> Bool:
    """A kunmap() interrupts other CPUs only where nobody else has the page kmapped."""
    asked = ~s.xpfo.waits_for[t, cpu] & new.xpfo.waits_for[t, cpu]
    kunmaps = asked & xpfo_kunmap.at(s, t, KUNMAP_FLUSH)
    return kunmaps.implies(~s.held[u, s.xpfo.page[t]])


@step
def counts_change_under_the_lock(s: UserPages, new: UserPages, t: Task, f: Frame) -> Bool:
    """Who kmaps or kunmaps a page has its lock."""
    return (s.held[t, f] == new.held[t, f]) | (s.lock[f] & is_at(s, t, f))


@sometimes
def a_user_has_a_page(s: UserPages, f: Frame) -> Bool:
    """A user has a page that is nowhere else."""
    return _is_the_users(s, f) & s.unmapped[f]


@sometimes
def two_tasks_have_a_page_kmapped(s: UserPages, t: Task, u: Task, cpu: Cpu, f: Frame) -> Bool:
    """Two tasks have kmapped one page, and a CPU has it cached."""
    return (t != u) & s.held[t, f] & s.held[u, f] & s.tlb[cpu, f]


@sometimes
def a_kunmap_flushes_nothing(s: UserPages, t: Task, u: Task) -> Bool:
    """A kunmap() is over which has interrupted no CPU, since another task has the page kmapped."""
    done = xpfo_kunmap.at(s, t, KUNMAP_RETURN) & ~s.xpfo.last[t]
    return done & s.held[u, s.xpfo.page[t]] & s.answered(t)


@sometimes
def a_flush_was_for_nothing(s: UserPages, t: Task, u: Task, cpu: Cpu) -> Bool:
    """All CPUs are asked to flush a page that another task has kmapped again meanwhile."""
    return s.xpfo.waits_for[t, cpu] & s.held[u, s.xpfo.page[t]] & s.present[s.xpfo.page[t]]


@sometimes
def a_page_is_kmapped_again(s: UserPages, t: Task, f: Frame) -> Bool:
    """A page of a user's is about to come back into the direct map."""
    return xpfo_kmap.at(s, t, KMAP_COUNT) & (s.xpfo.page[t] == f) & s.unmapped[f]


@sometimes
def another_cpu_has_an_entry(s: UserPages, t: Task, a: Cpu, b: Cpu, f: Frame) -> Bool:
    """After the last kunmap(), one CPU has flushed, and another still has the page."""
    waits = (a != b) & s.xpfo.waits_for[t, a] & ~s.xpfo.waits_for[t, b]
    return waits & s.tlb[a, f] & s.unmapped[f] & xpfo_kunmap.at(s, t, KUNMAP_RETURN)


@sometimes
def the_kernel_has_a_page(s: UserPages, f: Frame) -> Bool:
    """The kernel has a page of its own."""
    return s.use[f] == Use.KERNEL
