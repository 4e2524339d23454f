"""MAP_EXCLUSIVE as posted in October 2019, and as its review would have had it.

An area of private anonymous memory whose pages leave the direct map and get a page flag.  As posted,
populating the area does that, by GUP, after the page is mapped; pages that a later fault brings in, or
migration, are mapped as any others, and a page is freed with what is in it.  Here faults do it as well,
before the page is mapped, and the page is zeroed when it comes back; migration is refused, fork()
skips the area in both.  Who loses a race of faults undoes in one step (secretmem has the order).
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
    Update,
    forall,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame, Mm, Task, Va
from .secretmem import Contents, DirectMap, Owner, boot_direct_map


class Populate(Locals):
    """The locals of a fault, or of a page of a populate: process, address, page, and CPUs that have not
    flushed."""

    mm: Map[Task, Mm]
    va: Map[Task, Va]
    page: Map[Task, Frame]
    waits_for: Map[tuple[Task, Cpu], Bool]


class Zap(Locals):
    """The local of an unmapping: its page."""

    page: Map[Task, Frame]


class Exclusive(DirectMap):
    """flag: PG_user_exclusive.  pte: entries of processes in areas with MAP_EXCLUSIVE."""

    flag: Map[Frame, Bool]
    pte: Map[tuple[Mm, Va], Opt[Frame]]
    populate: Populate
    zap: Zap

    def unmapped(self, f: Frame) -> Bool:
        """No process has the page."""
        return forall(Mm, Va, lambda m, va: self.pte[m, va] != some(f))

    def answered(self, t: Task) -> Bool:
        """Every CPU has flushed for that task."""
        return forall(Cpu, lambda cpu: ~self.populate.waits_for[t, cpu])


@operation(kernel="kernel/fork.c: mm_init()")
def boot(s: Exclusive) -> Step:
    """Nothing is mapped."""
    return Step(
        when=TRUE,
        then=[
            *boot_direct_map(s),
            s.flag.fill(lambda f: FALSE),
            s.pte.fill(lambda m, va: NONE),
            s.populate.waits_for.fill(lambda t, cpu: FALSE),
        ],
    )


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush()")
def do_kernel_range_flush(s: Exclusive, cpu: Cpu, t: Task) -> Step:
    """The IPI arrives: the CPU drops what it has of that page of the direct map."""
    return Step(
        when=s.populate.waits_for[t, cpu],
        then=[
            s.tlb.set((cpu, s.populate.page[t]), FALSE),
            s.populate.waits_for.set((t, cpu), FALSE),
        ],
    )


@operation(kernel="arch/x86/entry/entry_64.S: user code")
def user_write(s: Exclusive, m: Mm, va: Va) -> Step:
    """A user writes his secret."""
    entry = s.pte[m, va]
    return Step(when=entry.is_some, then=[s.contents.set(entry.value, Contents.SECRET)])


def _populate(*, maps_first: bool = False) -> Procedure:
    """maps_first: the page is mapped when it is allocated, as GUP finds it."""
    procedure = Procedure(
        "populate",
        kernel="mm/gup.c: populate_vma_page_range() with FOLL_EXCLUSIVE, __get_user_pages()",
        doc="Bring in a page of the area, flag it and take it out of the direct map.",
    )

    def entry(s: Exclusive, t: Task) -> Opt[Frame]:
        return s.pte[s.populate.mm[t], s.populate.va[t]]

    @procedure.step(to="mark")
    def fault_in(s: Exclusive, t: Task, m: Mm, va: Va, f: Frame) -> Step:
        """A zeroed page is allocated."""
        mapped = [s.pte.set((m, va), some(f))] if maps_first else []
        return Step(
            when=s.pte[m, va].is_none & (s.owner[f] == Owner.FREE),
            then=[
                s.populate.mm.set(t, m),
                s.populate.va.set(t, va),
                s.populate.page.set(t, f),
                s.owner.set(f, Owner.SECRET),
                s.contents.set(f, Contents.ZERO),
                *mapped,
            ],
        )

    @procedure.step(at="mark", to="flush")
    def set_page_user_exclusive(s: Exclusive, t: Task) -> Step:
        """Set the flag, clear the leaf: set_direct_map_invalid_noflush()."""
        f = s.populate.page[t]
        return Step(when=TRUE, then=[s.flag.set(f, TRUE), s.present.set(f, FALSE)])

    @procedure.step(at="flush", to="finish")
    def flush_tlb_kernel_range(s: Exclusive, t: Task) -> Step:
        """Ask every CPU to flush one page of the direct map."""
        asked = s.populate.waits_for.fill(lambda by, cpu: TRUE, lambda by, cpu: by == t)
        return Step(when=TRUE, then=[asked])

    @procedure.step(at="finish", to=Procedure.DONE)
    def finish(s: Exclusive, t: Task) -> Step:
        """When all have answered, the page is mapped, or was."""
        key = (s.populate.mm[t], s.populate.va[t])
        mapped: list[Update] = [] if maps_first else [s.pte.set(key, some(s.populate.page[t]))]
        absent = TRUE if maps_first else entry(s, t).is_none
        return Step(when=s.answered(t) & absent, then=mapped)

    @procedure.step(at="finish", to=Procedure.DONE)
    def lose_race(s: Exclusive, t: Task) -> Step:
        """Another fault was faster: undo."""
        f = s.populate.page[t]
        lost = FALSE if maps_first else entry(s, t).is_some
        return Step(
            when=s.answered(t) & lost,
            then=[s.flag.set(f, FALSE), s.present.set(f, TRUE), s.owner.set(f, Owner.FREE)],
        )

    return procedure


populate = _populate()
# D-09-window: GUP flags what is mapped already.
populate_mapped = _populate(maps_first=True)

FAULT_IN, MARK, FLUSH, FINISH, LOSE = populate.steps


def is_preparing(s: Exclusive, t: Task, f: Frame) -> Bool:
    """The task is at that page in a fault or a populate."""
    return ~populate.idle(s, t) & (s.populate.page[t] == f)


# D-09: a fault after the populate, of what MADV_DONTNEED has dropped or the populate not reached.
@operation(kernel="mm/memory.c: do_anonymous_page(), which the series leaves as it is")
def do_anonymous_page(s: Exclusive, m: Mm, va: Va, f: Frame) -> Step:
    """A fault maps a zeroed page as in any other area."""
    return Step(
        when=s.pte[m, va].is_none & (s.owner[f] == Owner.FREE),
        then=[
            s.pte.set((m, va), some(f)),
            s.owner.set(f, Owner.SECRET),
            s.contents.set(f, Contents.ZERO),
        ],
    )


# D-09-migrate: the new page is like any other.
@operation(kernel="mm/migrate.c: migrate_pages(), which the series leaves as it is")
def migrate_page(s: Exclusive, m: Mm, va: Va, new: Frame) -> Step:
    """The kernel copies a page of one entry to another one (by whatever mapping), and frees the old."""
    old = s.pte[m, va]
    only = forall(Mm, Va, lambda n, w: (s.pte[n, w] != old) | ((n == m) & (w == va))) & forall(
        Task, lambda t: ~is_preparing(s, t, old.value)
    )
    return Step(
        when=old.is_some & only & (s.owner[new] == Owner.FREE),
        then=[
            s.pte.set((m, va), some(new)),
            s.contents.set(new, s.contents[old.value]),
            s.owner.set(new, Owner.SECRET),
            s.owner.set(old.value, Owner.FREE),
            s.contents.set(old.value, Contents.ZERO),
            s.flag.set(old.value, FALSE),
            s.present.set(old.value, TRUE),
        ],
    )


# D-09-fork: what VM_DONTCOPY is there against.
@operation(kernel="mm/memory.c: copy_present_pte(), without VM_DONTCOPY")
def fork(s: Exclusive, m: Mm, child: Mm, va: Va) -> Step:
    """A child gets the page, to be copied on a write."""
    ready = forall(Task, lambda t: ~is_preparing(s, t, s.pte[m, va].value))
    return Step(
        when=s.pte[m, va].is_some & s.pte[child, va].is_none & ready,
        then=[s.pte.set((child, va), s.pte[m, va])],
    )


def _zap(*, zeroes: bool) -> Procedure:
    """zeroes: a page is zeroed when it is back in the direct map."""
    procedure = Procedure(
        "zap",
        kernel="mm/memory.c: zap_pte_range(); mm/mmu_gather.c: tlb_finish_mmu()",
        doc="Unmap a page, put it back into the direct map, free it.",
    )

    @procedure.step
    def zap_pte(s: Exclusive, t: Task, m: Mm, va: Va) -> Step:
        """The entry is cleared; a flagged page loses the flag and gets its leaf back."""
        entry = s.pte[m, va]
        f = entry.value
        ready = forall(Task, lambda u: ~is_preparing(s, u, f))
        return Step(
            when=entry.is_some & ready,
            then=[
                s.pte.set((m, va), NONE),
                s.zap.page.set(t, f),
                s.present.set(f, s.present[f] | s.flag[f]),
                s.flag.set(f, FALSE),
            ],
        )

    @procedure.step
    def clear_page(s: Exclusive, t: Task) -> Step:
        """Zero it, if this was the last entry."""
        f = s.zap.page[t]
        cleared = [s.contents.set(f, Contents.ZERO)] if zeroes else []
        return Step(when=s.unmapped(f), then=cleared)

    @procedure.step
    def free_page(s: Exclusive, t: Task) -> Step:
        """The allocator gets the page."""
        return Step(when=TRUE, then=[s.owner.set(s.zap.page[t], Owner.FREE)])

    return procedure


zap = _zap(zeroes=True)
# D-09-zero: as posted.
zap_without_zeroing = _zap(zeroes=False)

ZAP, CLEAR, FREE = zap.steps
