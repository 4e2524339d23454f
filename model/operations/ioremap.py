"""ioremap() and iounmap(): reserve a type for the range, map it; give both back.

Where the range has an alias in the direct map (reserved RAM, which page flags track and which has one
mapping at a time), that gets the same type first, by CPA, here in one step.  Addresses of an area that
is unmapped are used again only after a purge has flushed them.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Locals,
    Map,
    Opt,
    Procedure,
    Step,
    assumption,
    forall,
    ite,
    operation,
    some,
)
from ..machine.entries import CacheType
from ..machine.sorts import Cpu
from .memtype import Mapper, Memtypes, Range


class Area(Enumeration):
    """The addresses of an area: free, in use, or waiting for the purge."""

    FREE: Area
    BUSY: Area
    LAZY: Area


class Call(Locals):
    """The local of __ioremap_caller(): the type that was asked for."""

    pcm: Map[Mapper, CacheType]


class Ioremap(Memtypes):
    """is_ram: some of the range is RAM of the allocator.  up_to_the_bit: the other one is what lies
    between its start and its end with an encryption bit set, a very high address.  aliased: it is in
    the direct map; direct: with which type.  area, leaf: an area's addresses, and the type of its
    leaves; leaving: iounmap() is at it.  tlb: the type as CPUs have cached it."""

    is_ram: Fun[Range, Bool]
    up_to_the_bit: Fun[tuple[Range, Range], Bool]
    aliased: Fun[Range, Bool]
    direct: Map[Range, CacheType]
    area: Map[Mapper, Area]
    leaving: Map[Mapper, Bool]
    leaf: Map[Mapper, Opt[CacheType]]
    tlb: Map[tuple[Cpu, Mapper], Opt[CacheType]]
    call: Call


class IoremapInOrder(Ioremap):
    """The same, for claims about the order in which a range is unmapped and its type given back."""


@assumption
def reserved_ram_is_mapped_alone(s: Ioremap, r: Range, other: Range) -> Bool:
    """Of ranges in the direct map, one that overlaps another is that one."""
    return (s.overlaps[r, other] & s.aliased[r]).implies(r == other)


ASSUMPTIONS = [reserved_ram_is_mapped_alone]


@operation(kernel="arch/x86/mm/pat/memtype.c: pat_bp_init()")
def boot(s: Ioremap) -> Step:
    """No range is reserved, no area is mapped."""
    return Step(
        when=TRUE,
        then=[
            s.reserved.fill(lambda m: FALSE),
            s.direct.fill(lambda r: CacheType.WB),
            s.area.fill(lambda m: Area.FREE),
            s.leaving.fill(lambda m: FALSE),
            s.leaf.fill(lambda m: NONE),
            s.tlb.fill(lambda cpu, m: NONE),
        ],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: Ioremap, cpu: Cpu, m: Mapper) -> Step:
    """A CPU caches a translation, with its memory type."""
    return Step(when=s.leaf[m].is_some, then=[s.tlb.set((cpu, m), s.leaf[m])])


@operation(kernel="mm/vmalloc.c: __purge_vmap_area_lazy()")
def purge(s: Ioremap, m: Mapper) -> Step:
    """Every CPU flushes an area that was unmapped; then its addresses are free."""
    return Step(
        when=s.area[m] == Area.LAZY,
        then=[
            s.area.set(m, Area.FREE),
            s.tlb.fill(lambda cpu, n: NONE, lambda cpu, n: n == m),
        ],
    )


def _reserve(
    s: Ioremap, m: Mapper, r: Range, pcm: CacheType, new_pcm: CacheType, offered: Bool
) -> Step:
    """memtype_reserve() for a free area; reserved RAM has one mapping, and not write-back."""
    known = (pcm == CacheType.WB) | (pcm == CacheType.WC) | (pcm == CacheType.UC_MINUS)

    def alone(other: Mapper) -> Bool:
        return ~(s.reserved[other] & s.overlaps[s.range[other], r])

    flags = (pcm != CacheType.WB) & forall(Mapper, alone)
    return Step(
        when=(s.area[m] == Area.FREE) & known & offered & s.aliased[r].implies(flags),
        then=[*s.reserve(m, r, new_pcm), s.call.pcm.set(m, pcm)],
    )


def _ioremap(*, sizes: bool = True) -> Procedure:
    """Map a range.  sizes: the size is that of the range."""
    procedure = Procedure(
        "ioremap",
        kernel="arch/x86/mm/ioremap.c: __ioremap_caller()",
        doc="Reserve a type for a range, take an area, change the direct map, map the range.",
    )

    def memtype_reserve(
        s: Ioremap, m: Mapper, r: Range, pcm: CacheType, new_pcm: CacheType
    ) -> Step:
        """Refuse RAM; reserve the range."""
        offered = s.reservable(r, pcm, new_pcm)
        return _reserve(s, m, r, pcm, new_pcm, ~s.is_ram[r] & offered)

    def memtype_reserve_to_the_bit(
        s: Ioremap, m: Mapper, r: Range, pcm: CacheType, new_pcm: CacheType, huge: Range
    ) -> Step:
        """Refuse RAM; reserve what lies between the start and the end with the bit."""
        offered = s.reservable(huge, pcm, new_pcm) & s.up_to_the_bit[r, huge]
        return _reserve(s, m, huge, pcm, new_pcm, ~s.is_ram[r] & offered)

    if sizes:
        procedure.step(memtype_reserve)
    else:
        procedure.step(memtype_reserve_to_the_bit)

    @procedure.step
    def get_vm_area(s: Ioremap, m: Mapper) -> Step:
        """The area is taken."""
        return Step(when=TRUE, then=[s.area.set(m, Area.BUSY)])

    @procedure.step
    def memtype_kernel_map_sync(s: Ioremap, m: Mapper) -> Step:
        """Of a range in the direct map, change the type there, and flush."""
        r = s.range[m]
        synced = ite(s.aliased[r], s.type[m], s.direct[r])
        return Step(when=TRUE, then=[s.direct.set(r, synced)])

    @procedure.step(to=Procedure.DONE)
    def ioremap_page_range(s: Ioremap, m: Mapper) -> Step:
        """The leaves are written."""
        return Step(when=TRUE, then=[s.leaf.set(m, some(s.type[m]))])

    @procedure.step(at="ioremap_page_range", to=Procedure.DONE)
    def fail(s: Ioremap, m: Mapper) -> Step:
        """No memory for tables: the area and the reservation are given back, the direct map stays."""
        return Step(when=TRUE, then=[s.area.set(m, Area.LAZY), s.reserved.set(m, FALSE)])

    return procedure


ioremap = _ioremap()

iounmap = Procedure(
    "iounmap",
    kernel="arch/x86/mm/ioremap.c: iounmap()",
    doc="Give back the type of a range, then unmap it.",
)


@iounmap.step
def memtype_free(s: Ioremap, m: Mapper) -> Step:
    """The reservation goes."""
    return Step(
        when=s.leaf[m].is_some,
        then=[s.leaving.set(m, TRUE), s.reserved.set(m, FALSE)],
    )


@iounmap.step
def remove_vm_area(s: Ioremap, m: Mapper) -> Step:
    """The leaves go; TLBs are flushed by the next purge."""
    return Step(
        when=TRUE, then=[s.leaf.set(m, NONE), s.area.set(m, Area.LAZY), s.leaving.set(m, FALSE)]
    )


iounmap_in_order = Procedure(
    "iounmap",
    kernel="arch/x86/mm/ioremap.c: iounmap() in the other order",
    doc="Unmap a range, flush it, then give back its type.",
)


@iounmap_in_order.step
def unmap(s: Ioremap, m: Mapper) -> Step:
    """The leaves go."""
    return Step(
        when=s.leaf[m].is_some,
        then=[s.leaving.set(m, TRUE), s.leaf.set(m, NONE)],
    )


@iounmap_in_order.step
def flush_tlb_kernel_range(s: Ioremap, m: Mapper) -> Step:
    """Every CPU flushes the area."""
    return Step(when=TRUE, then=[s.tlb.fill(lambda cpu, n: NONE, lambda cpu, n: n == m)])


@iounmap_in_order.step
def free_flushed(s: Ioremap, m: Mapper) -> Step:
    """The reservation goes, and the addresses are free."""
    return Step(
        when=TRUE,
        then=[s.reserved.set(m, FALSE), s.area.set(m, Area.FREE), s.leaving.set(m, FALSE)],
    )


# C-07: the size was computed when the start had lost the encryption bit, and the end still had it.
ioremap_up_to_the_bit = _ioremap(sizes=False)
