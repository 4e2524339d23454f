"""Generations: how each CPU knows which flushes of a process it has missed.

A process counts its flushes (``context.tlb_gen``), each identifier of a CPU remembers the process
and the count that its entries are good for (``ctxs[].tlb_gen``), and a request says to which count it
belongs (``new_tlb_gen``).  Counts are told here by what lies between them: ``due`` are the flushes under
way that are counted beyond the identifier's own count, each named by the page that waits for it, and
``behind`` says that one that is over is.  So "one behind, and the last" is "nothing else is due".
A CPU handles a request in one step: what others count in the middle of it is due after it.

PCIDs of the other half of a page-table pair, and flushes on the way out, are in ``pcid``.
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
    State,
    Step,
    Update,
    forall,
    given,
    ite,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame, Mm, Va
from ..machine.tlb import Asid


class Extent(Enumeration):
    """What a request covers: the page that was unmapped, or everything (``TLB_FLUSH_ALL``)."""

    PAGE: Extent
    ALL: Extent


class Switch(Locals):
    """The locals of switch_mm_irqs_off(): next process, identifier, whether to flush it."""

    next: Map[Cpu, Mm]
    asid: Map[Cpu, Asid]
    flush: Map[Cpu, Bool]


class Request(Locals):
    """The flush that a CPU asks for (``struct flush_tlb_info``), and the page that it frees after it."""

    mm: Map[Cpu, Mm]
    va: Map[Cpu, Va]
    frame: Map[Cpu, Frame]
    extent: Map[Cpu, Extent]


class TlbGen(State):
    """maps: the tables of each process.  cr3, asid: what CR3 has.  loaded_mm: the kernel's, none for
    LOADED_MM_SWITCHING.  current_mm: ``current->mm``, none of a kernel thread.  mask:
    mm_cpumask.  gathered: the page was mapped there, and waits for a flush before it is freed.  counted:
    the flush is.  sent: and asked for.  waits_for: the CPU has not answered."""

    maps: Map[tuple[Mm, Va], Opt[Frame]]
    free: Map[Frame, Bool]
    tlb: Map[tuple[Cpu, Asid, Va], Opt[Frame]]
    cr3: Map[Cpu, Mm]
    asid: Map[Cpu, Asid]
    loaded_mm: Map[Cpu, Opt[Mm]]
    current_mm: Map[Cpu, Opt[Mm]]
    is_lazy: Map[Cpu, Bool]
    mask: Map[tuple[Mm, Cpu], Bool]
    ctx: Map[tuple[Cpu, Asid], Opt[Mm]]
    due: Map[tuple[Cpu, Asid, Frame], Bool]
    behind: Map[tuple[Cpu, Asid], Bool]
    gathered: Map[tuple[Frame, Mm, Va], Bool]
    counted: Map[Frame, Bool]
    sent: Map[Frame, Bool]
    waits_for: Map[tuple[Frame, Cpu], Bool]
    switch: Switch
    request: Request
    init_mm: Fun[tuple[()], Mm] = given(lambda scope: 0)

    def is_current(self, cpu: Cpu, a: Asid) -> Bool:
        """The identifier's count is its process's."""
        return ~self.behind[cpu, a] & forall(Frame, lambda f: ~self.due[cpu, a, f])

    def catch_up(self, cpu: Cpu, a: Asid, where: Bool) -> list[Update]:
        """The identifier's count becomes its process's."""
        return [
            self.behind.set((cpu, a), self.behind[cpu, a] & ~where),
            self.due.fill(lambda c, b, f: FALSE, lambda c, b, f: (c == cpu) & (b == a) & where),
        ]

    def inc_mm_tlb_gen(self, cpu: Cpu) -> list[Update]:
        """Count the CPU's request: it is due under every identifier of the process."""
        m, f = self.request.mm[cpu], self.request.frame[cpu]
        return [
            self.due.fill(
                lambda c, a, g: TRUE, lambda c, a, g: (g == f) & (self.ctx[c, a] == some(m))
            ),
            self.counted.set(f, TRUE),
        ]


@operation(kernel="arch/x86/mm/tlb.c: initialize_tlbstate_and_flush()")
def boot(s: TlbGen) -> Step:
    """Nothing is mapped, nothing is cached; every CPU runs a task, or a kernel thread on init_mm."""
    init = s.init_mm[()]
    return Step(
        when=TRUE,
        then=[
            s.maps.fill(lambda m, va: NONE),
            s.free.fill(lambda f: TRUE),
            s.tlb.fill(lambda cpu, a, va: NONE),
            s.loaded_mm.fill(lambda cpu: some(s.cr3[cpu])),
            s.current_mm.fill(lambda cpu: ite(s.cr3[cpu] == init, NONE, some(s.cr3[cpu]))),
            s.is_lazy.fill(lambda cpu: FALSE),
            s.mask.fill(lambda m, cpu: (m != init) & (s.cr3[cpu] == m)),
            s.ctx.fill(lambda cpu, a: ite(s.asid[cpu] == a, some(s.cr3[cpu]), NONE)),
            s.due.fill(lambda cpu, a, f: FALSE),
            s.behind.fill(lambda cpu, a: FALSE),
            s.gathered.fill(lambda f, m, va: FALSE),
            s.counted.fill(lambda f: FALSE),
            s.sent.fill(lambda f: FALSE),
            s.waits_for.fill(lambda f, cpu: FALSE),
        ],
    )


@operation(kernel="mm/memory.c: do_anonymous_page(), set_pte_at()")
def map_page(s: TlbGen, m: Mm, va: Va, f: Frame) -> Step:
    """Map a free page in a process; init_mm has no user addresses."""
    return Step(
        when=(m != s.init_mm[()]) & s.maps[m, va].is_none & s.free[f],
        then=[s.maps.set((m, va), some(f)), s.free.set(f, FALSE)],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: TlbGen, cpu: Cpu, va: Va) -> Step:
    """The CPU caches a translation under the PCID in CR3, needed or not."""
    found = s.maps[s.cr3[cpu], va]
    return Step(when=found.is_some, then=[s.tlb.set((cpu, s.asid[cpu], va), found)])


# Unmapping.


def _gather(s: TlbGen, cpu: Cpu, m: Mm, va: Va) -> list[Update]:
    """Clear the entry; the page is freed after a flush, which is not counted yet."""
    f = s.maps[m, va].value
    return [
        s.request.mm.set(cpu, m),
        s.request.va.set(cpu, va),
        s.request.frame.set(cpu, f),
        s.maps.set((m, va), NONE),
        s.gathered.set((f, m, va), TRUE),
        s.counted.set(f, FALSE),
        s.sent.set(f, FALSE),
        s.waits_for.fill(lambda g, c: FALSE, lambda g, c: g == f),
    ]


def free_page(s: TlbGen, cpu: Cpu) -> Step:
    """When all have answered, the page is free for anyone; who was not asked is behind."""
    f = s.request.frame[cpu]
    return Step(
        when=forall(Cpu, lambda c: ~s.waits_for[f, c]),
        then=[
            s.free.set(f, TRUE),
            s.gathered.fill(lambda g, m, va: FALSE, lambda g, m, va: g == f),
            s.behind.fill(lambda c, a: TRUE, lambda c, a: s.due[c, a, f]),
            s.due.fill(lambda c, a, g: FALSE, lambda c, a, g: g == f),
        ],
    )


def _munmap(doc: str, *, counts_first: bool = True) -> Procedure:
    """counts_first: the flush is counted before it is asked for."""
    procedure = Procedure(
        "munmap",
        kernel="mm/memory.c: zap_pte_range(); arch/x86/mm/tlb.c: flush_tlb_mm_range()",
        doc=doc,
    )

    def clear_pte(s: TlbGen, cpu: Cpu, va: Va, extent: Extent) -> Step:
        """A task clears an entry of its process; above the ceiling everything is to be flushed."""
        m = s.current_mm[cpu]
        return Step(
            when=m.is_some & s.maps[m.value, va].is_some,
            then=[*_gather(s, cpu, m.value, va), s.request.extent.set(cpu, extent)],
        )

    def inc_mm_tlb_gen(s: TlbGen, cpu: Cpu) -> Step:
        """Count the flush."""
        return Step(when=TRUE, then=s.inc_mm_tlb_gen(cpu))

    def flush_tlb_multi(s: TlbGen, cpu: Cpu) -> Step:
        """Ask the CPUs in the mask that have the process loaded, or may have, and are not lazy
        (should_flush_tlb())."""
        m, f = s.request.mm[cpu], s.request.frame[cpu]

        def asked(c: Cpu) -> Bool:
            loaded = s.loaded_mm[c].is_none | (s.loaded_mm[c] == some(m))
            return s.mask[m, c] & ~s.is_lazy[c] & loaded

        requests = s.waits_for.fill(lambda g, c: TRUE, lambda g, c: (g == f) & asked(c))
        return Step(when=TRUE, then=[requests, s.sent.set(f, TRUE)])

    count, ask, free = "inc_mm_tlb_gen", "flush_tlb_multi", "free_page"
    procedure.step(to=count if counts_first else ask)(clear_pte)
    procedure.step(to=ask if counts_first else free)(inc_mm_tlb_gen)
    procedure.step(to=free if counts_first else count)(flush_tlb_multi)
    procedure.step(free_page)
    return procedure


munmap = _munmap("Unmap a page: clear its entry, count, ask who runs the process, free the page.")
munmap_counting_last = _munmap(
    "Unmap a page: who runs the process is asked before the flush is counted.", counts_first=False
)

reclaim = Procedure(
    "reclaim",
    kernel="mm/rmap.c: try_to_unmap_one(); arch/x86/mm/tlb.c: arch_tlbbatch_flush()",
    doc="Take a page from a process; its flush is batched, and the request for it has no count.",
)


@reclaim.step
def clear_pte(s: TlbGen, cpu: Cpu, m: Mm, va: Va) -> Step:
    """Clear an entry of any process."""
    return Step(when=s.maps[m, va].is_some, then=_gather(s, cpu, m, va))


@reclaim.step
def inc_mm_tlb_gen(s: TlbGen, cpu: Cpu) -> Step:
    """Count, and note who is in the mask (arch_tlbbatch_add_mm())."""
    m, f = s.request.mm[cpu], s.request.frame[cpu]
    noted = s.waits_for.fill(lambda g, c: TRUE, lambda g, c: (g == f) & s.mask[m, c])
    return Step(when=TRUE, then=[*s.inc_mm_tlb_gen(cpu), noted])


@reclaim.step
def flush_tlb_multi(s: TlbGen, cpu: Cpu) -> Step:
    """Ask those who are not lazy."""
    f = s.request.frame[cpu]
    spared = s.waits_for.fill(lambda g, c: FALSE, lambda g, c: (g == f) & s.is_lazy[c])
    return Step(when=TRUE, then=[spared, s.sent.set(f, TRUE)])


reclaim.step(free_page)
