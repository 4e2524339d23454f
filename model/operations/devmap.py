"""memremap_pages() and memunmap_pages(): memory of a device that gets struct pages and a linear mapping.

The range is reserved by track_pfn_remap() without a VMA; what may fail after that has to give it back.
"""

from __future__ import annotations

from ..language import FALSE, NONE, TRUE, Bool, Map, Opt, Procedure, Step, forall, operation, some
from ..machine.entries import CacheType
from .memtype import Mapper, Memtypes, Range


class Devmap(Memtypes):
    """stored: the ``dev_pagemap`` is in pgmap_array, which has one for a range.  linear: the type of its
    linear mapping.  by_user: this one is no ``dev_pagemap``, but a process's mapping of /dev/mem."""

    stored: Map[Mapper, Bool]
    by_user: Map[Mapper, Bool]
    linear: Map[Mapper, Opt[CacheType]]


@operation(kernel="arch/x86/mm/pat/memtype.c: pat_bp_init()")
def boot(s: Devmap) -> Step:
    """No range is reserved, none is mapped."""
    return Step(
        when=TRUE,
        then=[
            s.reserved.fill(lambda m: FALSE),
            s.stored.fill(lambda m: FALSE),
            s.by_user.fill(lambda m: FALSE),
            s.linear.fill(lambda m: NONE),
        ],
    )


@operation(kernel="drivers/char/mem.c: mmap_mem()")
def mmap_mem(s: Devmap, m: Mapper, r: Range, want: CacheType, pcm: CacheType) -> Step:
    """A process maps the range, with the type that it gets."""
    known = (want == CacheType.WB) | (want == CacheType.UC_MINUS)
    return Step(
        when=~s.stored[m] & ~s.by_user[m] & known & s.reservable(r, want, pcm),
        then=[*s.reserve(m, r, pcm), s.by_user.set(m, TRUE)],
    )


@operation(kernel="mm/memory.c: unmap_single_vma()")
def munmap(s: Devmap, m: Mapper) -> Step:
    """The process unmaps it."""
    return Step(
        when=s.by_user[m],
        then=[s.reserved.set(m, FALSE), s.by_user.set(m, FALSE)],
    )


def _memremap_pages(*, untracks: bool) -> Procedure:
    """Map the memory of a device.  untracks: a failure gives back the reservation."""
    procedure = Procedure(
        "memremap_pages",
        kernel="mm/memremap.c: pagemap_range()",
        doc="Store a dev_pagemap, reserve its range, add the memory.",
    )

    @procedure.step
    def xa_store_range(s: Devmap, m: Mapper, r: Range) -> Step:
        """The range is nobody's."""

        def other(n: Mapper) -> Bool:
            return ~(s.stored[n] & s.overlaps[s.range[n], r])

        return Step(
            when=~s.stored[m] & ~s.by_user[m] & forall(Mapper, other),
            then=[s.stored.set(m, TRUE), s.range.set(m, r)],
        )

    @procedure.step(to="arch_add_memory")
    def track_pfn_remap(s: Devmap, m: Mapper, want: CacheType, pcm: CacheType) -> Step:
        """Reserve it, as PAGE_KERNEL or write-combining."""
        r = s.range[m]
        known = (want == CacheType.WB) | (want == CacheType.WC)
        return Step(when=known & s.reservable(r, want, pcm), then=s.reserve(m, r, pcm))

    @procedure.step(at="track_pfn_remap", to=Procedure.DONE)
    def err_pfn_remap(s: Devmap, m: Mapper) -> Step:
        """Somebody has it with a type that does not fit: pgmap_array_delete()."""
        return Step(when=TRUE, then=[s.stored.set(m, FALSE)])

    @procedure.step(at="arch_add_memory", to=Procedure.DONE)
    def arch_add_memory(s: Devmap, m: Mapper) -> Step:
        """The linear mapping is made, with that type."""
        return Step(when=TRUE, then=[s.linear.set(m, some(s.type[m]))])

    @procedure.step(at="arch_add_memory", to=Procedure.DONE)
    def mhp_range_not_allowed(s: Devmap, m: Mapper) -> Step:
        """The range lies beyond what can be mapped: err_kasan."""
        untrack = [s.reserved.set(m, FALSE)] if untracks else []
        return Step(when=TRUE, then=[*untrack, s.stored.set(m, FALSE)])

    return procedure


memremap_pages = _memremap_pages(untracks=True)
STORE, TRACK, FAIL, ADD, REFUSE = memremap_pages.steps

memunmap_pages = Procedure(
    "memunmap_pages",
    kernel="mm/memremap.c: pageunmap_range()",
    doc="Remove the memory, give back its range.",
)


@memunmap_pages.step
def arch_remove_memory(s: Devmap, m: Mapper) -> Step:
    """The linear mapping goes, and is flushed."""
    return Step(when=s.linear[m].is_some, then=[s.linear.set(m, NONE)])


@memunmap_pages.step
def untrack_pfn(s: Devmap, m: Mapper) -> Step:
    """The reservation goes."""
    return Step(when=TRUE, then=[s.reserved.set(m, FALSE)])


@memunmap_pages.step
def pgmap_array_delete(s: Devmap, m: Mapper) -> Step:
    """The range is nobody's."""
    return Step(when=TRUE, then=[s.stored.set(m, FALSE)])


# C-06: a failure after track_pfn_remap() did not give the range back.
memremap_pages_without_untrack = _memremap_pages(untracks=False)
