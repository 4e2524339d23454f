"""A populate of a MAP_EXCLUSIVE area: one flush of all CPUs for each page, or one for all of them.

As posted, every page is flushed as it is taken out of the direct map.  A populate may as well take out
all of its pages, have them flushed together, and only then map them: nobody can write to a page before.
How a single page is taken out, undone and freed is map_exclusive's subject; here it is one step.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Locals,
    Map,
    Opt,
    Procedure,
    Step,
    exists,
    forall,
    ite,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame, Mm, Task, Va
from .secretmem import Contents, DirectMap, Flushes, Owner, boot_direct_map


class Batch(Locals):
    """The locals of a populate: the process, pages that are out of the direct map and not mapped yet,
    CPUs that have not flushed.  flushes: history, for claims about costs."""

    mm: Map[Task, Mm]
    page: Map[tuple[Task, Va], Opt[Frame]]
    waits_for: Map[tuple[Task, Cpu], Bool]
    flushes: Map[Task, Flushes]


class PopulatedArea(DirectMap):
    """pte: entries of processes in areas with MAP_EXCLUSIVE."""

    pte: Map[tuple[Mm, Va], Opt[Frame]]
    batch: Batch

    def is_empty(self, t: Task) -> Bool:
        """The populate has no page that is not mapped."""
        return forall(Va, lambda va: self.batch.page[t, va].is_none)


@operation(kernel="kernel/fork.c: mm_init()")
def boot(s: PopulatedArea) -> Step:
    """Nothing is mapped."""
    return Step(
        when=TRUE,
        then=[
            *boot_direct_map(s),
            s.pte.fill(lambda m, va: NONE),
            s.batch.page.fill(lambda t, va: NONE),
            s.batch.waits_for.fill(lambda t, cpu: FALSE),
        ],
    )


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush()")
def do_kernel_range_flush(s: PopulatedArea, cpu: Cpu, t: Task) -> Step:
    """The IPI arrives: the CPU drops what it has of the pages of that populate."""

    def is_batched(c: Cpu, f: Frame) -> Bool:
        return (c == cpu) & exists(Va, lambda va: s.batch.page[t, va] == some(f))

    return Step(
        when=s.batch.waits_for[t, cpu],
        then=[
            s.tlb.fill(lambda c, f: FALSE, is_batched),
            s.batch.waits_for.set((t, cpu), FALSE),
        ],
    )


@operation(kernel="arch/x86/entry/entry_64.S: user code")
def user_write(s: PopulatedArea, m: Mm, va: Va) -> Step:
    """A user writes his secret."""
    entry = s.pte[m, va]
    return Step(when=entry.is_some, then=[s.contents.set(entry.value, Contents.SECRET)])


@operation(kernel="mm/memory.c: zap_pte_range()")
def zap_pte(s: PopulatedArea, m: Mm, va: Va) -> Step:
    """A page is unmapped, zeroed and free."""
    entry = s.pte[m, va]
    f = entry.value
    return Step(
        when=entry.is_some,
        then=[
            s.pte.set((m, va), NONE),
            s.contents.set(f, Contents.ZERO),
            s.present.set(f, TRUE),
            s.owner.set(f, Owner.FREE),
        ],
    )


def _populate(*, together: bool) -> Procedure:
    """together: all pages are flushed at once."""
    procedure = Procedure(
        "populate",
        kernel="mm/gup.c: __mm_populate(), populate_vma_page_range() with FOLL_EXCLUSIVE",
        doc="Bring in the pages of an area, take them out of the direct map, and map them.",
    )

    @procedure.step(to="fault_in")
    def begin(s: PopulatedArea, t: Task, m: Mm) -> Step:
        """mmap() or mlock() of an area; one of a process at a time, by mmap_lock."""
        alone = forall(Task, lambda u: procedure.idle(s, u) | (s.batch.mm[u] != m))
        return Step(
            when=alone,
            then=[s.batch.mm.set(t, m), s.batch.flushes.set(t, Flushes.NEVER)],
        )

    @procedure.step(at="fault_in", to="fault_in")
    def fault_in(s: PopulatedArea, t: Task, va: Va, f: Frame) -> Step:
        """A zeroed page is allocated and taken out of the direct map."""
        absent = s.pte[s.batch.mm[t], va].is_none & s.batch.page[t, va].is_none
        return Step(
            when=absent & (s.owner[f] == Owner.FREE) & (TRUE if together else s.is_empty(t)),
            then=[
                s.batch.page.set((t, va), some(f)),
                s.owner.set(f, Owner.SECRET),
                s.contents.set(f, Contents.ZERO),
                s.present.set(f, FALSE),
            ],
        )

    @procedure.step(at="fault_in", to="map")
    def flush_tlb_kernel_range(s: PopulatedArea, t: Task) -> Step:
        """Every CPU is asked to flush what was taken out."""
        more = ite(s.batch.flushes[t] == Flushes.NEVER, Flushes.ONCE, Flushes.AGAIN)
        return Step(
            when=~s.is_empty(t),
            then=[
                s.batch.waits_for.fill(lambda by, cpu: TRUE, lambda by, cpu: by == t),
                s.batch.flushes.set(t, more),
            ],
        )

    @procedure.step(at="fault_in", to=Procedure.DONE)
    def nothing_to_do(s: PopulatedArea, t: Task) -> Step:
        """All pages are there, or there is no memory."""
        return Step(when=s.is_empty(t))

    @procedure.step(at="map", to="map")
    def set_pte(s: PopulatedArea, t: Task, va: Va) -> Step:
        """When all have answered, map a page."""
        answered = forall(Cpu, lambda cpu: ~s.batch.waits_for[t, cpu])
        entry = s.batch.page[t, va]
        return Step(
            when=answered & entry.is_some,
            then=[s.pte.set((s.batch.mm[t], va), entry), s.batch.page.set((t, va), NONE)],
        )

    @procedure.step(at="map", to=Procedure.DONE if together else "fault_in")
    def go_on(s: PopulatedArea, t: Task) -> Step:
        """All that was taken out is mapped: return, or go on with the next page."""
        return Step(when=s.is_empty(t))

    return procedure


populate_batched = _populate(together=True)

BEGIN, FAULT_IN, FLUSH, NOTHING, SET_PTE, GO_ON = populate_batched.steps

# D-10: as posted.
populate_each = _populate(together=False)
