"""XPFO: a page of a process is in the direct map between kmap() and kunmap() (xpfo has it in full)."""

from __future__ import annotations

from ...language import FALSE, TRUE, Bool, Operation, Step, Update, operation
from ...machine.sorts import Cpu, Frame
from .frames import Call, DirectMap, Owner, Request, Rules


def _is_idle(s: DirectMap, f: Frame, kmapped: Bool) -> Bool:
    return (s.owner[f] == Owner.XPFO) & s.idle(f) & (s.kmapped[f] == kmapped)


# As posted: the leaf goes with the first kunmap(), and one CPU flushes.


def _page_kernel(s: DirectMap, f: Frame) -> list[Update]:
    """set_kpte(PAGE_KERNEL): the whole leaf is written."""
    rest = (s.leaf.uncached, s.leaf.shared, s.leaf.keyed, s.leaf.legible)
    return [*s.show(f), *(bit.set(f, FALSE) for bit in rest), s.unmapped.set(f, FALSE)]


@operation(kernel="mm/xpfo.c of 2016: xpfo_kmap()")
def xpfo_kmap(s: DirectMap, f: Frame) -> Step:
    """The page comes back, if it was away."""
    return Step(
        when=_is_idle(s, f, FALSE) & s.unmapped[f],
        then=[*_page_kernel(s, f), s.kmapped.set(f, TRUE)],
    )


@operation(kernel="mm/xpfo.c of 2016: xpfo_kmap()")
def xpfo_kmap_mapped(s: DirectMap, f: Frame) -> Step:
    """The page is there."""
    return Step(when=_is_idle(s, f, FALSE) & ~s.unmapped[f], then=[s.kmapped.set(f, TRUE)])


@operation(kernel="mm/xpfo.c of 2016: xpfo_kunmap(), __flush_tlb_one()")
def xpfo_kunmap(s: DirectMap, cpu: Cpu, f: Frame) -> Step:
    """The leaf is cleared, its PFN left, and this CPU flushes."""
    return Step(
        when=_is_idle(s, f, TRUE) & s.is_split(f),
        then=[
            *s.hide(f),
            s.leaf.legible.set(f, TRUE),
            s.kmapped.set(f, FALSE),
            s.unmapped.set(f, TRUE),
            s.tlb.present.set((cpu, f), FALSE),
        ],
    )


@operation(kernel="mm/xpfo.c of 2016: xpfo_free_page()")
def xpfo_free_unmapped_page(s: DirectMap, f: Frame) -> Step:
    """The page is freed, and comes back."""
    return Step(
        when=_is_idle(s, f, FALSE) & s.unmapped[f] & s.is_unused(f),
        then=[*_page_kernel(s, f), s.owner.set(f, Owner.FREE)],
    )


@operation(kernel="mm/xpfo.c of 2016: xpfo_free_page()")
def xpfo_free_mapped_page(s: DirectMap, f: Frame) -> Step:
    """The page is freed, and was there."""
    return Step(
        when=_is_idle(s, f, FALSE) & ~s.unmapped[f] & s.is_unused(f),
        then=[s.owner.set(f, Owner.FREE)],
    )


# With edits that are over before the page is the process's.


@operation(kernel="mm/xpfo.c: xpfo_alloc_page(), flush_tlb_kernel_range()")
def xpfo_alloced(s: DirectMap, f: Frame) -> Step:
    """Every CPU has flushed: the process gets the page."""
    return Step(
        when=(s.call[f] == Call.XPFO_ALLOC) & s.answered(Request.CALL, f),
        then=[s.user.set(f, TRUE), s.call.set(f, Call.IDLE)],
    )


@operation(kernel="mm/xpfo.c: xpfo_kmap()", name="xpfo_kmap")
def xpfo_kmap_any(s: DirectMap, f: Frame) -> Step:
    """The page comes back."""
    return Step(when=_is_idle(s, f, FALSE), then=[*s.show(f), s.kmapped.set(f, TRUE)])


@operation(kernel="mm/xpfo.c: xpfo_kunmap(), flush_tlb_kernel_range()", name="xpfo_kunmap")
def xpfo_kunmap_all(s: DirectMap, f: Frame) -> Step:
    """The leaf is cleared, and every CPU is asked to flush."""
    return Step(
        when=_is_idle(s, f, TRUE),
        then=[*s.hide(f), s.ask(Request.CALL, f), s.call.set(f, Call.XPFO_KUNMAP)],
    )


@operation(kernel="mm/xpfo.c: xpfo_kunmap(), flush_tlb_kernel_range()")
def xpfo_kunmapped(s: DirectMap, f: Frame) -> Step:
    """Every CPU has flushed: the page is the process's alone again."""
    return Step(
        when=(s.call[f] == Call.XPFO_KUNMAP) & s.answered(Request.CALL, f),
        then=[s.kmapped.set(f, FALSE), s.call.set(f, Call.IDLE)],
    )


@operation(kernel="mm/xpfo.c: xpfo_free_page()")
def xpfo_free_page(s: DirectMap, f: Frame) -> Step:
    """The page comes back into the direct map, and is freed."""
    return Step(
        when=_is_idle(s, f, FALSE) & s.is_unused(f),
        then=[*s.show(f), s.owner.set(f, Owner.FREE)],
    )


def xpfo(rules: Rules) -> list[Operation[DirectMap, ...]]:
    """alias: areas that had the page are purged before a process gets it.  flush: every CPU flushes."""

    def may_take(s: DirectMap, f: Frame) -> Bool:
        return s.is_available(f) & (s.has_no_area(f) if rules.alias else TRUE)

    @operation(kernel="mm/xpfo.c of 2016: xpfo_alloc_page()")
    def xpfo_alloc_page(s: DirectMap, f: Frame) -> Step:
        """A process gets a page; it stays in the direct map until somebody has used kmap() for it."""
        return Step(when=may_take(s, f), then=[s.owner.set(f, Owner.XPFO), s.user.set(f, TRUE)])

    @operation(kernel="mm/xpfo.c: xpfo_alloc_page()", name="xpfo_alloc_page")
    def xpfo_alloc_page_hidden(s: DirectMap, f: Frame) -> Step:
        """The page leaves the direct map, and every CPU is asked to flush."""
        return Step(
            when=may_take(s, f) & s.is_split(f),
            then=[
                s.owner.set(f, Owner.XPFO),
                *s.hide(f),
                s.ask(Request.CALL, f),
                s.call.set(f, Call.XPFO_ALLOC),
            ],
        )

    if not rules.flush:
        return [
            xpfo_alloc_page,
            xpfo_kmap,
            xpfo_kmap_mapped,
            xpfo_kunmap,
            xpfo_free_unmapped_page,
            xpfo_free_mapped_page,
        ]
    return [
        xpfo_alloc_page_hidden,
        xpfo_alloced,
        xpfo_kmap_any,
        xpfo_kunmap_all,
        xpfo_kunmapped,
        xpfo_free_page,
    ]
