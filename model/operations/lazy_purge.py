"""Lazy unmapping: ranges whose TLB entries are flushed later, many at once, before they are used again.

vfree() clears PTEs, gives the pages back and queues the range; no CPU is told.  The purge takes the
queue, flushes a range that covers it on every CPU, and only then returns the addresses to the free tree.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Locals,
    Map,
    Procedure,
    Step,
    Var,
    forall,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame, Va
from .vmalloc import Area
from .vmap_areas import VmapAreas


class Purge(Locals):
    """local_purge_list, and the CPUs that have not answered the request to flush."""

    listed: Map[tuple[Cpu, Va], Bool]
    waits_for: Map[tuple[Cpu, Cpu], Bool]


class LazyPurge(VmapAreas):
    """vmap_purge_lock: the mutex that makes purges take turns."""

    vmap_purge_lock: Var[Bool]
    purge: Purge


@operation(kernel="mm/vmalloc.c: vmalloc_init()")
def boot(s: LazyPurge) -> Step:
    """Every range is free."""
    return Step(
        when=TRUE,
        then=[
            *s.boot_areas(),
            s.vmap_purge_lock.become(FALSE),
        ],
    )


@operation(kernel="mm/vmalloc.c: alloc_vmap_area(), vmap_pages_range_noflush()")
def vmap(s: LazyPurge, va: Va, f: Frame) -> Step:
    """Take a free range and map a page there; there is nothing to flush."""
    return Step(
        when=s.area[va] == Area.FREE,
        then=[s.area.set(va, Area.BUSY), s.page.set(va, some(f))],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_area_tlb(s: LazyPurge, cpu: Cpu, va: Va) -> Step:
    """A CPU caches what is mapped."""
    return Step(when=s.page[va].is_some, then=[s.area_tlb.set((cpu, va), s.page[va])])


@operation(kernel="mm/vmalloc.c: free_unmap_vmap_area(), free_vmap_area_noflush()")
def vunmap(s: LazyPurge, va: Va) -> Step:
    """Clear the PTE and queue the range; what CPUs have cached stays."""
    return Step(
        when=s.area[va] == Area.BUSY,
        then=[s.page.set(va, NONE), s.area.set(va, Area.LAZY)],
    )


def _purge(*, waits: bool = True) -> Procedure:
    """waits: ranges are free when all CPUs have answered."""
    procedure = Procedure(
        "purge_vmap_area_lazy",
        kernel="mm/vmalloc.c: __purge_vmap_area_lazy()",
        doc="Take the queue, flush on every CPU, and free the ranges.",
    )

    @procedure.step
    def take_list(s: LazyPurge, cpu: Cpu) -> Step:
        """Under vmap_purge_lock, take the queue: what is queued from now on waits for the next purge."""
        queued = s.purge.listed.fill(lambda c, va: s.area[va] == Area.LAZY, lambda c, va: c == cpu)
        return Step(when=~s.vmap_purge_lock.now, then=[s.vmap_purge_lock.become(TRUE), queued])

    @procedure.step
    def flush_tlb_kernel_range(s: LazyPurge, cpu: Cpu) -> Step:
        """Ask every CPU, this one as well."""
        asked = s.purge.waits_for.fill(lambda b, c: TRUE, lambda b, c: b == cpu)
        return Step(when=TRUE, then=[asked])

    @procedure.step
    def free(s: LazyPurge, cpu: Cpu) -> Step:
        """When all have answered, the ranges go to the free tree."""
        answered = forall(Cpu, lambda c: ~s.purge.waits_for[cpu, c])
        freed = s.area.fill(lambda va: Area.FREE, lambda va: s.purge.listed[cpu, va])
        return Step(
            when=answered if waits else TRUE,
            then=[freed, s.vmap_purge_lock.become(FALSE)],
        )

    return procedure


purge = _purge()
# What the wait in smp_call_function_many_cond() is there against.
purge_without_waiting = _purge(waits=False)


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush()")
def do_kernel_range_flush(s: LazyPurge, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: the CPU drops what it has cached of the listed ranges."""
    asked = purge.at(s, by, purge.steps[2]) & s.purge.waits_for[by, cpu]
    return Step(
        when=asked,
        then=[
            s.area_tlb.fill(lambda c, va: NONE, lambda c, va: (c == cpu) & s.purge.listed[by, va]),
            s.purge.waits_for.set((by, cpu), FALSE),
        ],
    )
