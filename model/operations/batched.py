"""Reclaim unmaps pages and puts off their flush; whoever needs the flush earlier does it himself.

try_to_unmap() clears an entry and notes that the process has a flush pending
(``mm->tlb_flush_batched``); the page is freed after try_to_unmap_flush().  munmap() and mprotect() find
the entry cleared already, and must not return to a user who believes that nobody can use the page any
more.  One page-table lock is modelled; who waits for a flush under it keeps it.
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
    State,
    Step,
    Var,
    operation,
    some,
)
from ..machine.flush import Flush
from ..machine.sorts import Cpu, Frame, Va
from ..machine.tlb import drop


class Unmapped(Locals):
    """The local of munmap() beside those of its flush: whether it has found a page."""

    found: Map[Cpu, Opt[Frame]]


class Batched(State):
    """maps: the tables of the process.  tlb: what a CPU has cached of them.  batched: a flush of it is
    pending, nobody knows of which pages.  ptl: the page-table lock is held for a flush."""

    maps: Map[Va, Opt[Frame]]
    tlb: Map[tuple[Cpu, Va], Opt[Frame]]
    free: Map[Frame, Bool]
    batched: Var[Bool]
    ptl: Var[Bool]
    reclaim: Flush
    zap: Flush
    unmapped: Unmapped


@operation(kernel="kernel/fork.c: mm_init()")
def boot(s: Batched) -> Step:
    """Nothing is mapped."""
    return Step(
        when=TRUE,
        then=[
            s.maps.fill(lambda va: NONE),
            s.tlb.fill(lambda cpu, va: NONE),
            s.free.fill(lambda f: TRUE),
            s.batched.become(FALSE),
            s.ptl.become(FALSE),
        ],
    )


@operation(kernel="mm/memory.c: do_anonymous_page(), set_pte_at()")
def map_page(s: Batched, va: Va, f: Frame) -> Step:
    """A fault maps a free page."""
    return Step(
        when=s.maps[va].is_none & s.free[f] & ~s.ptl.now,
        then=[s.maps.set(va, some(f)), s.free.set(f, FALSE)],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: Batched, cpu: Cpu, va: Va) -> Step:
    """A CPU caches a translation."""
    return Step(when=s.maps[va].is_some, then=[s.tlb.set((cpu, va), s.maps[va])])


@operation(kernel="arch/x86/mm/tlb.c: flush_tlb_func()")
def flush_for_reclaim(s: Batched, cpu: Cpu, by: Cpu) -> Step:
    """The IPI of a reclaim arrives: the CPU drops everything."""
    return Step(
        when=~shrink_folio_list.idle(s, by) & s.reclaim.waits_for[by, cpu],
        then=[drop(s.tlb, lambda c, va: c == cpu), s.reclaim.answer(by, cpu)],
    )


@operation(kernel="arch/x86/mm/tlb.c: flush_tlb_func()")
def flush_for_munmap(s: Batched, cpu: Cpu, by: Cpu) -> Step:
    """The IPI of a munmap() arrives: the CPU drops everything."""
    return Step(
        when=~munmap.idle(s, by) & s.zap.waits_for[by, cpu],
        then=[drop(s.tlb, lambda c, va: c == cpu), s.zap.answer(by, cpu)],
    )


def _shrink_folio_list(doc: str, *, flush_first: bool) -> Procedure:
    """Whether the page is freed after the flush that was put off, or before."""
    procedure = Procedure(
        "shrink_folio_list",
        kernel="mm/vmscan.c: shrink_folio_list(); mm/rmap.c: try_to_unmap_one()",
        doc=doc,
    )

    def try_to_unmap(s: Batched, cpu: Cpu, va: Va) -> Step:
        """Clear the entry under the lock; note that a flush is pending."""
        return Step(
            when=s.maps[va].is_some & ~s.ptl.now,
            then=[
                *s.reclaim.begin(cpu, va, s.maps[va].value, lambda c: FALSE),
                s.maps.set(va, NONE),
                s.batched.become(TRUE),
            ],
        )

    def try_to_unmap_flush(s: Batched, cpu: Cpu) -> Step:
        """Ask all CPUs; the process's mark stays."""
        asked = s.reclaim.waits_for.fill(lambda by, c: TRUE, lambda by, c: by == cpu)
        return Step(when=TRUE, then=[asked])

    def free_folio(s: Batched, cpu: Cpu) -> Step:
        """The page is free for anyone."""
        return Step(when=s.reclaim.answered(cpu), then=[s.free.set(s.reclaim.frame[cpu], TRUE)])

    procedure.step(to="try_to_unmap_flush")(try_to_unmap)
    if flush_first:
        procedure.step(try_to_unmap_flush)
        procedure.step(free_folio)
    else:
        procedure.step(at="try_to_unmap_flush", to="free_folio")(free_folio)
        procedure.step(at="free_folio", to=Procedure.DONE)(try_to_unmap_flush)
    return procedure


shrink_folio_list = _shrink_folio_list(
    "Unmap a page, flush with others, then free it.", flush_first=True
)
# T-14: large folios were freed one by one, before the batch was flushed.
shrink_freeing_first = _shrink_folio_list(
    "Unmap a page and free it; the flush comes with the end of the batch.", flush_first=False
)


def _munmap(doc: str, *, sees_batched: bool) -> Procedure:
    """Whether a pending flush of others makes it flush."""
    procedure = Procedure(
        "munmap",
        kernel="mm/memory.c: zap_pte_range(); mm/rmap.c: flush_tlb_batched_pending()",
        doc=doc,
    )

    def zap_pte_range(s: Batched, cpu: Cpu, va: Va) -> Step:
        """Clear the entry, if there is one; ask all CPUs if there was or a flush is pending."""
        found = s.maps[va]
        due = found.is_some | s.batched.now if sees_batched else found.is_some
        return Step(
            when=~s.ptl.now,
            then=[
                *s.zap.begin(cpu, va, found.value, lambda c: due),
                s.unmapped.found.set(cpu, found),
                s.maps.set(va, NONE),
                s.ptl.become(TRUE),
            ],
        )

    def tlb_finish_mmu(s: Batched, cpu: Cpu) -> Step:
        """When all have answered, free the page and return to the user; nothing is pending."""
        found = s.unmapped.found[cpu]
        return Step(
            when=s.zap.answered(cpu),
            then=[
                s.free.fill(lambda f: TRUE, lambda f: found == some(f)),
                s.batched.become(FALSE if sees_batched else s.batched.now),
                s.ptl.become(FALSE),
            ],
        )

    procedure.step(zap_pte_range)
    procedure.step(tlb_finish_mmu)
    return procedure


munmap = _munmap("Unmap an address for the user, with what reclaim has left.", sees_batched=True)
# T-11: an entry that was gone needed no flush.
munmap_of_present_only = _munmap(
    "Unmap an address for the user; what is gone already is not flushed.", sees_batched=False
)
