"""set_memory_uc(), set_memory_wc(), set_memory_wb() of pages of RAM, and the CPA that they call.

A page of RAM is mapped by the direct map, and if it is of the kernel image, at its link address as well
(the high map); its owner may also have it in a vmap area, or let a process map it.  Whatever address
CPA is given, it changes the leaves of the direct map and of the high map too (its aliases), then has
TLBs flushed, then the caches.  Areas that are unmapped lazily it flushes before it begins.  Pages are
given one at a time.
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
    Operation,
    Opt,
    Procedure,
    Step,
    Update,
    forall,
    ite,
    operation,
    some,
)
from ..machine.entries import CacheType
from ..machine.sorts import Cpu, Frame, Va
from .vmalloc import Area
from .vmap_areas import VmapAreas


class View(Enumeration):
    """Where a page is mapped: the direct map, the image's own addresses, a process."""

    DIRECT: View
    HIGH: View
    USER: View


class Cpa(Locals):
    """The locals of a page's set_memory_*(): the address it was given by, the type of this pass and of
    the last, whether another mapping was changed too, CPUs that have not flushed yet."""

    view: Map[Frame, View]
    now: Map[Frame, CacheType]
    want: Map[Frame, CacheType]
    force_flush_all: Map[Frame, Bool]
    waits_for: Map[tuple[Frame, Cpu], Bool]


class PageAttr(VmapAreas):
    """in_image: the page is in the high map's range.  memtype: the page flags that track its type.
    leaf: the type of each leaf that maps it.  tlb: likewise, as CPUs have cached it.  area_type,
    area_tlb_type: of the leaf of a vmap area, and of what CPUs have of it.  line: some cache may hold
    data of the page."""

    in_image: Fun[Frame, Bool]
    memtype: Map[Frame, CacheType]
    leaf: Map[tuple[View, Frame], Opt[CacheType]]
    tlb: Map[tuple[Cpu, View, Frame], Opt[CacheType]]
    area_type: Map[Va, CacheType]
    area_tlb_type: Map[tuple[Cpu, Va], CacheType]
    line: Map[Frame, Bool]
    cpa: Cpa

    def is_in_no_area(self, f: Frame) -> Bool:
        """No vmap area maps the page."""
        return forall(Va, lambda va: self.page[va] != some(f))

    def flushed_by_all(self, f: Frame) -> Bool:
        """Every CPU has answered the last request to flush that is about this page."""
        return forall(Cpu, lambda cpu: ~self.cpa.waits_for[f, cpu])


@operation(kernel="arch/x86/mm/init.c: init_mem_mapping()")
def boot(s: PageAttr) -> Step:
    """Every page is mapped write-back, in the direct map and, if it is the image's, in the high map."""
    write_back = some(CacheType.WB)

    def mapped(view: View, f: Frame) -> Opt[CacheType]:
        high = ite(s.in_image[f], write_back, NONE)
        return ite(view == View.DIRECT, write_back, ite(view == View.HIGH, high, NONE))

    return Step(
        when=TRUE,
        then=[
            *s.boot_areas(),
            s.memtype.fill(lambda f: CacheType.WB),
            s.leaf.fill(mapped),
            s.tlb.fill(lambda cpu, view, f: NONE),
            s.line.fill(lambda f: FALSE),
        ],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: PageAttr, cpu: Cpu, view: View, f: Frame) -> Step:
    """A CPU caches a translation, with its memory type."""
    leaf = s.leaf[view, f]
    return Step(when=leaf.is_some, then=[s.tlb.set((cpu, view, f), leaf)])


@operation(kernel="Intel SDM vol. 3, section 12.3: methods of caching available")
def fill_cache(s: PageAttr, cpu: Cpu, view: View, f: Frame) -> Step:
    """An access, or a speculative one, through a write-back translation brings in a line."""
    return Step(when=s.tlb[cpu, view, f] == some(CacheType.WB), then=[s.line.set(f, TRUE)])


# The owner's vmap areas.


@operation(kernel="mm/vmalloc.c: vmap(), alloc_vmap_area(), vmap_pages_range_noflush()")
def vmap(s: PageAttr, va: Va, f: Frame) -> Step:
    """The owner maps the page in a free area, with the type that it has."""
    return Step(
        when=set_memory.idle(s, f) & (s.area[va] == Area.FREE),
        then=[
            s.area.set(va, Area.BUSY),
            s.page.set(va, some(f)),
            s.area_type.set(va, s.memtype[f]),
        ],
    )


@operation(kernel="mm/vmalloc.c: vunmap(), free_vmap_area_noflush()")
def vunmap(s: PageAttr, va: Va) -> Step:
    """The owner unmaps the area; what TLBs have of it goes with the next purge."""
    return Step(
        when=(s.area[va] == Area.BUSY) & set_memory.idle(s, s.page[va].value),
        then=[s.page.set(va, NONE), s.area.set(va, Area.LAZY)],
    )


@operation(kernel="mm/vmalloc.c: __purge_vmap_area_lazy()")
def purge_at_once(s: PageAttr, va: Va) -> Step:
    """The purge in short: every CPU flushes an area, and it is free (lazy_purge has it in full)."""
    return Step(
        when=s.area[va] == Area.LAZY,
        then=[
            s.area.set(va, Area.FREE),
            s.area_tlb.fill(lambda cpu, v: NONE, lambda cpu, v: v == va),
        ],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_area_tlb(s: PageAttr, cpu: Cpu, va: Va) -> Step:
    """A CPU caches a translation of an area, with its memory type."""
    return Step(
        when=s.page[va].is_some,
        then=[
            s.area_tlb.set((cpu, va), s.page[va]),
            s.area_tlb_type.set((cpu, va), s.area_type[va]),
        ],
    )


@operation(kernel="Intel SDM vol. 3, section 12.3: methods of caching available")
def fill_cache_by_area(s: PageAttr, cpu: Cpu, va: Va) -> Step:
    """An access through a write-back translation of an area brings in a line."""
    entry = s.area_tlb[cpu, va]
    cached = entry.is_some & (s.area_tlb_type[cpu, va] == CacheType.WB)
    return Step(when=cached, then=[s.line.set(entry.value, TRUE)])


# A process's mapping of it.


@operation(kernel="mm/memory.c: remap_pfn_range(); arch/x86/mm/pat/memtype.c: reserve_pfn_range()")
def remap_pfn_range(s: PageAttr, f: Frame) -> Step:
    """A driver's mmap(): whatever type the driver wants, the process gets the one that is tracked."""
    return Step(
        when=set_memory.idle(s, f) & s.leaf[View.USER, f].is_none,
        then=[s.leaf.set((View.USER, f), some(s.memtype[f]))],
    )


@operation(kernel="mm/memory.c: unmap_single_vma(), tlb_finish_mmu()")
def munmap(s: PageAttr, f: Frame) -> Step:
    """The process unmaps it, and every CPU flushes."""
    return Step(
        when=TRUE,
        then=[
            s.leaf.set((View.USER, f), NONE),
            s.tlb.fill(lambda cpu, v, g: NONE, lambda cpu, v, g: (v == View.USER) & (g == f)),
        ],
    )


# set_memory_uc(), set_memory_wc(), set_memory_wb().


def _set_memory(*, purge: bool = True, caches_last: bool = True) -> Procedure:
    """One set_memory_*() of one page.  purge: lazily unmapped areas are flushed before.
    caches_last: the caches are flushed after the TLBs."""
    procedure = Procedure(
        "set_memory",
        kernel="arch/x86/mm/pat/set_memory.c: set_memory_uc(), set_memory_wc(), set_memory_wb()",
        doc="Track the new type of a page, change its leaves, flush the TLBs, then the caches.",
    )

    def ask_all(s: PageAttr, f: Frame, whether: Bool = TRUE) -> Update:
        return s.cpa.waits_for.fill(lambda g, cpu: whether, lambda g, cpu: g == f)

    def begin(s: PageAttr, f: Frame, view: View, want: CacheType) -> Step:
        """The owner may call this for an address of the kernel that is mapped; it keeps no area of the
        page, and no process has it."""
        given = (view == View.DIRECT) | ((view == View.HIGH) & s.in_image[f])
        unused = s.is_in_no_area(f) & s.leaf[View.USER, f].is_none
        return Step(
            when=given & unused,
            then=[
                s.cpa.view.set(f, view),
                s.cpa.want.set(f, want),
                ask_all(s, f, TRUE if purge else FALSE),
            ],
        )

    @procedure.step(to="change_primary")
    def memtype_reserve(s: PageAttr, f: Frame, view: View, want: CacheType) -> Step:
        """UC- or WC: mark the page, unless it is marked.  The first pass sets UC-."""
        step = begin(s, f, view, want)
        offered = (want == CacheType.UC_MINUS) | (want == CacheType.WC)
        return Step(
            when=step.when & offered & (s.memtype[f] == CacheType.WB),
            then=[*step.then, s.memtype.set(f, want), s.cpa.now.set(f, CacheType.UC_MINUS)],
        )

    @procedure.step(at=Procedure.IDLE, to="change_primary")
    def set_memory_wb(s: PageAttr, f: Frame, view: View) -> Step:
        """Back to write-back: the mark stays until the leaves are changed."""
        step = begin(s, f, view, CacheType.WB)
        return Step(
            when=step.when,
            then=[*step.then, s.cpa.now.set(f, CacheType.WB)],
        )

    @procedure.step
    def change_primary(s: PageAttr, f: Frame) -> Step:
        """When lazily unmapped areas are flushed: __change_page_attr() at the address given."""
        view = s.cpa.view[f]
        return Step(
            when=s.flushed_by_all(f),
            then=[s.leaf.set((view, f), some(s.cpa.now[f]))],
        )

    def change_alias(name: str, view: View, again: Bool) -> None:
        def change(s: PageAttr, f: Frame) -> Step:
            """cpa_process_alias(): the leaf there, if there is one, and it is not changed yet."""
            other = (s.cpa.view[f] != view) & s.leaf[view, f].is_some
            return Step(
                when=TRUE,
                then=[
                    s.leaf.set((view, f), ite(other, some(s.cpa.now[f]), s.leaf[view, f])),
                    s.cpa.force_flush_all.set(f, other | (s.cpa.force_flush_all[f] & again)),
                ],
            )

        change.__name__ = name
        procedure.step(change)

    change_alias("change_direct_map", View.DIRECT, FALSE)
    change_alias("change_high_map", View.HIGH, TRUE)

    def drop_lines(s: PageAttr, f: Frame) -> Update:
        dropped = s.cpa.now[f] != CacheType.WB
        return s.line.set(f, s.line[f] & ~dropped)

    @procedure.step(to="finish")
    def cpa_flush(s: PageAttr, f: Frame) -> Step:
        """Ask every CPU to flush what was changed."""
        early = [] if caches_last else [drop_lines(s, f)]
        return Step(when=TRUE, then=[ask_all(s, f), *early])

    def late(s: PageAttr, f: Frame) -> list[Update]:
        return [drop_lines(s, f)] if caches_last else []

    @procedure.step(at="finish", to="change_primary")
    def next_pass(s: PageAttr, f: Frame) -> Step:
        """clflush_cache_range_opt(); then once more, from UC- to WC, with no area left to flush."""
        more = s.cpa.now[f] != s.cpa.want[f]
        return Step(
            when=more & s.flushed_by_all(f),
            then=[*late(s, f), s.cpa.now.set(f, s.cpa.want[f])],
        )

    @procedure.step(at="finish", to=Procedure.DONE)
    def finish(s: PageAttr, f: Frame) -> Step:
        """clflush_cache_range_opt() if the type is not WB, otherwise memtype_free(); return."""
        now = s.cpa.now[f]
        return Step(
            when=(now == s.cpa.want[f]) & s.flushed_by_all(f),
            then=[
                *late(s, f),
                s.memtype.set(f, ite(now == CacheType.WB, CacheType.WB, s.memtype[f])),
            ],
        )

    return procedure


set_memory = _set_memory()

RESERVE, SET_WB, CHANGE_PRIMARY, CHANGE_DIRECT, CHANGE_HIGH, CPA_FLUSH, NEXT_PASS, FINISH = (
    set_memory.steps
)


def _flush(*, everything: bool) -> Operation[PageAttr, [Cpu, Frame]]:
    """The answer to a request; everything: all of the TLB goes if CPA has changed an alias."""

    @operation(
        kernel="arch/x86/mm/pat/set_memory.c: __cpa_flush_tlb(), flush_tlb_all(), vm_unmap_aliases()"
    )
    def flush(s: PageAttr, cpu: Cpu, frame: Frame) -> Step:
        """The IPI arrives: what is asked for is flushed, and the CPU that waits is told."""
        view = s.cpa.view[frame]
        before = set_memory.at(s, frame, CHANGE_PRIMARY)
        after = set_memory.at(s, frame, FINISH)
        whole = s.cpa.force_flush_all[frame] if everything else FALSE

        def asked(v: View, f: Frame) -> Bool:
            return after & (whole | ((v == view) & (f == frame)))

        def asked_of_area(va: Va) -> Bool:
            return (before & (s.area[va] == Area.LAZY)) | (after & whole)

        return Step(
            when=s.cpa.waits_for[frame, cpu] & (before | after),
            then=[
                s.tlb.fill(lambda c, v, f: NONE, lambda c, v, f: (c == cpu) & asked(v, f)),
                s.area_tlb.fill(lambda c, va: NONE, lambda c, va: (c == cpu) & asked_of_area(va)),
                s.cpa.waits_for.set((frame, cpu), FALSE),
            ],
        )

    return flush


flush = _flush(everything=True)
# C-01: for a few pages, only the addresses that CPA was given.
flush_primary_only = _flush(everything=False)


# The story's beginning: the type that the driver wants.
@operation(
    kernel="mm/memory.c: remap_pfn_range() before types were tracked", name="remap_pfn_range"
)
def remap_pfn_range_as_asked(s: PageAttr, f: Frame, prot: CacheType) -> Step:
    """A driver's mmap(), with pgprot_noncached() or without."""
    return Step(
        when=set_memory.idle(s, f) & s.leaf[View.USER, f].is_none,
        then=[s.leaf.set((View.USER, f), some(prot))],
    )


# What CPA's order and its purge are there against.
set_memory_without_purge = _set_memory(purge=False)
set_memory_caches_first = _set_memory(caches_last=False)
