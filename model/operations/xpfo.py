"""XPFO as posted in 2016 and 2017: user pages are in the direct map only while the kernel kmaps them.

The allocator marks a page that is for a user.  kmap() puts it into the direct map if it is out of it;
the kunmap() that nobody's kmap() is left after takes it out and flushes.  Both count under the lock of
the page.  As posted, the allocator takes nothing out, and kunmap() flushes the CPU that it runs on.
A flush of all CPUs cannot be waited for with interrupts off, so the repaired kunmap() asks for it with
the lock, and waits without.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Enumeration,
    Locals,
    Map,
    Procedure,
    State,
    Step,
    Update,
    forall,
    operation,
)
from ..machine.sorts import Cpu, Frame, Task


class Use(Enumeration):
    """Whose a page is: the allocator's, the kernel's, a user's; the last is PAGE_EXT_XPFO_USER."""

    FREE: Use
    KERNEL: Use
    USER: Use


class Xpfo(Locals):
    """The locals of a task: the page that it allocates, kmaps or kunmaps; whether this kunmap is last;
    CPUs that have not flushed."""

    page: Map[Task, Frame]
    last: Map[Task, Bool]
    waits_for: Map[tuple[Task, Cpu], Bool]


class UserPages(State):
    """present: the leaf in the direct map; tlb: a CPU has it cached.  unmapped: PAGE_EXT_XPFO_UNMAPPED.
    held: a task has the page kmapped; their number is xpfo->mapcount.  lock: xpfo->maplock."""

    use: Map[Frame, Use]
    present: Map[Frame, Bool]
    tlb: Map[tuple[Cpu, Frame], Bool]
    unmapped: Map[Frame, Bool]
    held: Map[tuple[Task, Frame], Bool]
    lock: Map[Frame, Bool]
    xpfo: Xpfo

    def not_held(self, f: Frame) -> Bool:
        """mapcount is 0."""
        return forall(Task, lambda t: ~self.held[t, f])

    def answered(self, t: Task) -> Bool:
        """Every CPU has flushed for that task."""
        return forall(Cpu, lambda cpu: ~self.xpfo.waits_for[t, cpu])


@operation(kernel="mm/xpfo.c: init_xpfo()")
def boot(s: UserPages) -> Step:
    """All pages are free and mapped."""
    return Step(
        when=TRUE,
        then=[
            s.use.fill(lambda f: Use.FREE),
            s.present.fill(lambda f: TRUE),
            s.tlb.fill(lambda cpu, f: FALSE),
            s.unmapped.fill(lambda f: FALSE),
            s.held.fill(lambda t, f: FALSE),
            s.lock.fill(lambda f: FALSE),
            s.xpfo.waits_for.fill(lambda t, cpu: FALSE),
        ],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: UserPages, cpu: Cpu, f: Frame) -> Step:
    """A CPU caches a page of the direct map, needed or not."""
    return Step(when=s.present[f], then=[s.tlb.set((cpu, f), TRUE)])


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush()")
def do_kernel_range_flush(s: UserPages, cpu: Cpu, t: Task) -> Step:
    """The IPI arrives: the CPU drops what it has of that page."""
    return Step(
        when=s.xpfo.waits_for[t, cpu],
        then=[s.tlb.set((cpu, s.xpfo.page[t]), FALSE), s.xpfo.waits_for.set((t, cpu), FALSE)],
    )


@operation(kernel="mm/page_alloc.c: __alloc_pages(); mm/xpfo.c: xpfo_alloc_page()")
def alloc_kernel_page(s: UserPages, f: Frame) -> Step:
    """The kernel takes a page for itself."""
    return Step(when=s.use[f] == Use.FREE, then=[s.use.set(f, Use.KERNEL)])


@operation(kernel="mm/page_alloc.c: __free_pages(); mm/xpfo.c: xpfo_free_page()")
def xpfo_free_page(s: UserPages, f: Frame) -> Step:
    """A page that nobody is at is freed, and is back in the direct map if it was out of it."""
    return Step(
        when=(s.use[f] != Use.FREE) & s.not_held(f) & is_quiet(s, f),
        then=[
            s.use.set(f, Use.FREE),
            s.present.set(f, s.present[f] | s.unmapped[f]),
            s.unmapped.set(f, FALSE),
        ],
    )


def _ask_all(s: UserPages, t: Task, whether: Bool = TRUE) -> Update:
    return s.xpfo.waits_for.fill(lambda by, cpu: whether, lambda by, cpu: by == t)


def _xpfo_alloc_page(*, unmaps: bool) -> Procedure:
    """unmaps: a page for a user leaves the direct map at once."""
    procedure = Procedure(
        "xpfo_alloc_page",
        kernel="mm/xpfo.c: xpfo_alloc_page()",
        doc="Mark a page that is for a user, and have it flushed if it was the kernel's.",
    )

    @procedure.step
    def set_user(s: UserPages, t: Task, f: Frame) -> Step:
        """The allocator has a page for a user."""
        out = [s.unmapped.set(f, TRUE), s.present.set(f, FALSE)] if unmaps else []
        return Step(
            when=s.use[f] == Use.FREE,
            then=[s.use.set(f, Use.USER), s.xpfo.page.set(t, f), *out],
        )

    @procedure.step
    def flush_tlb_kernel_range(s: UserPages, t: Task) -> Step:
        """Every CPU is asked to flush it."""
        return Step(when=TRUE, then=[_ask_all(s, t)])

    @procedure.step
    def return_page(s: UserPages, t: Task) -> Step:
        """When all have answered, the user gets the page."""
        return Step(when=s.answered(t))

    return procedure


xpfo_alloc_page = _xpfo_alloc_page(unmaps=True)
# D-08: a page that nobody ever kmaps stays where it is.
xpfo_alloc_page_posted = _xpfo_alloc_page(unmaps=False)

ALLOC_USER, ALLOC_FLUSH, ALLOC_RETURN = xpfo_alloc_page.steps

xpfo_kmap = Procedure(
    "xpfo_kmap",
    kernel="mm/xpfo.c: xpfo_kmap()",
    doc="Count a mapping of a user's page, and put the page into the direct map if it is the first.",
)


@xpfo_kmap.step
def lock_to_kmap(s: UserPages, t: Task, f: Frame) -> Step:
    """Somebody in the kernel needs a page of a user's: take its lock."""
    return Step(
        when=(s.use[f] == Use.USER) & is_allocated(s, f) & ~s.lock[f] & ~s.held[t, f],
        then=[s.lock.set(f, TRUE), s.xpfo.page.set(t, f)],
    )


@xpfo_kmap.step
def inc_mapcount(s: UserPages, t: Task) -> Step:
    """Count; the first sets the leaf, for which nothing needs to be flushed."""
    f = s.xpfo.page[t]
    first = s.not_held(f) & s.unmapped[f]
    return Step(
        when=TRUE,
        then=[
            s.held.set((t, f), TRUE),
            s.unmapped.set(f, s.unmapped[f] & ~first),
            s.present.set(f, s.present[f] | first),
        ],
    )


@xpfo_kmap.step
def unlock_kmapped(s: UserPages, t: Task) -> Step:
    """Give the lock back."""
    return Step(when=TRUE, then=[s.lock.set(s.xpfo.page[t], FALSE)])


KMAP_LOCK, KMAP_COUNT, KMAP_UNLOCK = xpfo_kmap.steps


def _xpfo_kunmap(*, everywhere: bool) -> Procedure:
    """everywhere: all CPUs flush, after the lock is given back."""
    procedure = Procedure(
        "xpfo_kunmap",
        kernel="mm/xpfo.c: xpfo_kunmap()",
        doc="Count a mapping less, and take the page out of the direct map if it was the last.",
    )

    @procedure.step
    def lock_to_kunmap(s: UserPages, t: Task, f: Frame) -> Step:
        """Who has kmapped a page is done with it."""
        return Step(
            when=s.held[t, f] & ~s.lock[f],
            then=[s.lock.set(f, TRUE), s.xpfo.page.set(t, f)],
        )

    @procedure.step
    def dec_mapcount(s: UserPages, t: Task) -> Step:
        """Count; if this was the last, mark the page."""
        f = s.xpfo.page[t]
        last = forall(Task, lambda u: ~s.held[u, f] | (u == t))
        return Step(
            when=TRUE,
            then=[
                s.held.set((t, f), FALSE),
                s.xpfo.last.set(t, last),
                s.unmapped.set(f, s.unmapped[f] | last),
            ],
        )

    @procedure.step
    def set_kpte(s: UserPages, t: Task) -> Step:
        """The last one clears the leaf."""
        f = s.xpfo.page[t]
        return Step(when=TRUE, then=[s.present.set(f, s.present[f] & ~s.xpfo.last[t])])

    def flush_tlb_one(s: UserPages, t: Task, cpu: Cpu) -> Step:
        """The last one flushes the CPU that it runs on."""
        key = (cpu, s.xpfo.page[t])
        return Step(when=TRUE, then=[s.tlb.set(key, s.tlb[key] & ~s.xpfo.last[t])])

    def flush_tlb_kernel_range(s: UserPages, t: Task) -> Step:
        """The last one asks every CPU to flush."""
        return Step(when=TRUE, then=[_ask_all(s, t, s.xpfo.last[t])])

    if everywhere:
        procedure.step(at="flush")(flush_tlb_kernel_range)
    else:
        procedure.step(at="flush")(flush_tlb_one)

    @procedure.step
    def unlock_kunmapped(s: UserPages, t: Task) -> Step:
        """Give the lock back, so that others can answer."""
        return Step(when=TRUE, then=[s.lock.set(s.xpfo.page[t], FALSE)])

    @procedure.step
    def return_from_kunmap(s: UserPages, t: Task) -> Step:
        """When all have answered that were asked."""
        return Step(when=s.answered(t))

    return procedure


xpfo_kunmap = _xpfo_kunmap(everywhere=True)
# D-07: another CPU keeps what it has cached.
xpfo_kunmap_posted = _xpfo_kunmap(everywhere=False)

KUNMAP_LOCK, KUNMAP_COUNT, KUNMAP_CLEAR, KUNMAP_FLUSH, KUNMAP_UNLOCK, KUNMAP_RETURN = (
    xpfo_kunmap.steps
)


def is_locking(s: UserPages, t: Task) -> Bool:
    """The task has the lock of the page that it kmaps or kunmaps."""
    kmaps = xpfo_kmap.at(s, t, KMAP_COUNT) | xpfo_kmap.at(s, t, KMAP_UNLOCK)
    counts = xpfo_kunmap.at(s, t, KUNMAP_COUNT) | xpfo_kunmap.at(s, t, KUNMAP_CLEAR)
    flushes = xpfo_kunmap.at(s, t, KUNMAP_FLUSH) | xpfo_kunmap.at(s, t, KUNMAP_UNLOCK)
    return kmaps | counts | flushes


def is_at(s: UserPages, t: Task, f: Frame) -> Bool:
    """The task allocates, kmaps or kunmaps that page."""
    idle = xpfo_alloc_page.idle(s, t) & xpfo_kmap.idle(s, t) & xpfo_kunmap.idle(s, t)
    return ~idle & (s.xpfo.page[t] == f)


def is_quiet(s: UserPages, f: Frame) -> Bool:
    """Nobody is at the page."""
    return forall(Task, lambda t: ~is_at(s, t, f))


def is_allocated(s: UserPages, f: Frame) -> Bool:
    """Nobody is about to get the page from the allocator."""
    return forall(Task, lambda t: xpfo_alloc_page.idle(s, t) | (s.xpfo.page[t] != f))
