"""Areas of vmap() and slots of kmap(): what CPUs have of them, and the purge that ends them.

``__purge_vmap_area_lazy()`` and ``flush_all_zero_pkmaps()`` do the same: clear entries, ask every CPU to
flush, then hand the address out again.
"""

from __future__ import annotations

from ...language import FALSE, NONE, TRUE, Operation, Step, forall, operation
from ...machine.sorts import Cpu, Frame, Va
from ..vmalloc import Area
from .frames import DirectMap


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_area_tlb(s: DirectMap, cpu: Cpu, va: Va) -> Step:
    """A CPU caches the entry of an area; a slot that nobody uses any more keeps its entry."""
    slot = s.pkmap[va] & (s.area[va] == Area.LAZY) & ~s.purging[va]
    return Step(when=(s.area[va] == Area.BUSY) | slot, then=[s.area_tlb.set((cpu, va), s.page[va])])


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_high_tlb(s: DirectMap, cpu: Cpu, f: Frame) -> Step:
    """A CPU caches the image's own address of a page."""
    return Step(when=s.high[f], then=[s.high_tlb.set((cpu, f), TRUE)])


@operation(kernel="mm/vmalloc.c: __purge_vmap_area_lazy(); mm/highmem.c: flush_all_zero_pkmaps()")
def purge(s: DirectMap, va: Va) -> Step:
    """The entry is gone, and every CPU is asked to flush."""
    return Step(
        when=(s.area[va] == Area.LAZY) & ~s.purging[va],
        then=[
            s.purging.set(va, TRUE),
            s.purge_asked.fill(lambda v, cpu: TRUE, lambda v, cpu: v == va),
        ],
    )


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush()")
def flush_area(s: DirectMap, cpu: Cpu, va: Va) -> Step:
    """The IPI of the purge arrives."""
    return Step(
        when=s.purge_asked[va, cpu],
        then=[s.purge_asked.set((va, cpu), FALSE), s.area_tlb.set((cpu, va), NONE)],
    )


@operation(kernel="mm/vmalloc.c: __purge_vmap_area_lazy(); mm/highmem.c: flush_all_zero_pkmaps()")
def purged(s: DirectMap, va: Va) -> Step:
    """Every CPU has flushed: the address can be used again."""
    return Step(
        when=s.purging[va] & forall(Cpu, lambda cpu: ~s.purge_asked[va, cpu]),
        then=[s.area.set(va, Area.FREE), s.page.set(va, NONE), s.purging.set(va, FALSE)],
    )


ALIASES: list[Operation[DirectMap, ...]] = [
    fill_area_tlb,
    fill_high_tlb,
    purge,
    flush_area,
    purged,
]
