"""Large pages of the PUD level over old tables on x86-64: pud_free_pmd_page().

Below the PUD entry is a PMD page, below that are PTE pages; all of them are to be freed.  A CPU may
have cached the way to each, and goes on from what it has cached of the PUD entry to PMD entries.
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
    forall,
    operation,
    some,
)
from ..machine.sorts import Cpu, Pmd, PmdSlot, Pte, PudSlot
from .lazy import Use


class Call(Locals):
    """The locals of pud_free_pmd_page(): the PUD entry, its PMD page, pmd_sv with the PMD entries that
    have been cleared, and the CPUs that have not answered."""

    slot: Map[Cpu, PudSlot]
    page: Map[Cpu, Pmd]
    saved: Map[tuple[Cpu, PmdSlot], Opt[Pte]]
    visited: Map[tuple[Cpu, PmdSlot], Bool]
    waits_for: Map[tuple[Cpu, Cpu], Bool]


class HugePud(State):
    """pud, pmd: what the entries lead to; pud_cache, pmd_cache: what CPUs have cached of them;
    pmd_use, pte_use: what a page is; large: the PUD entry maps a large page; busy: the owner of
    the range is about to do so."""

    pud: Map[PudSlot, Opt[Pmd]]
    pmd: Map[tuple[Pmd, PmdSlot], Opt[Pte]]
    large: Map[PudSlot, Bool]
    busy: Map[PudSlot, Bool]
    pmd_use: Map[Pmd, Use]
    pte_use: Map[Pte, Use]
    pud_cache: Map[tuple[Cpu, PudSlot], Opt[Pmd]]
    pmd_cache: Map[tuple[Cpu, PudSlot, PmdSlot], Opt[Pte]]
    call: Call


@operation(kernel="mm/vmalloc.c: vmalloc_init()")
def boot(s: HugePud) -> Step:
    """Nothing is mapped, no page is in use."""
    return Step(
        when=TRUE,
        then=[
            s.pud.fill(lambda i: NONE),
            s.pmd.fill(lambda p, k: NONE),
            s.large.fill(lambda i: FALSE),
            s.busy.fill(lambda i: FALSE),
            s.pmd_use.fill(lambda p: Use.FREE),
            s.pte_use.fill(lambda t: Use.FREE),
            s.pud_cache.fill(lambda cpu, i: NONE),
            s.pmd_cache.fill(lambda cpu, i, k: NONE),
        ],
    )


@operation(kernel="mm/page_alloc.c: __get_free_page()")
def allocate(s: HugePud, p: Pmd) -> Step:
    """Somebody takes the page of a former PMD page for data."""
    return Step(when=s.pmd_use[p] == Use.FREE, then=[s.pmd_use.set(p, Use.DATA)])


@operation(kernel="mm/page_alloc.c: __get_free_page()")
def allocate_other(s: HugePud, t: Pte) -> Step:
    """Somebody takes the page of a former PTE page for data."""
    return Step(when=s.pte_use[t] == Use.FREE, then=[s.pte_use.set(t, Use.DATA)])


@operation(kernel="mm/vmalloc.c: pmd_alloc_track()")
def pmd_alloc(s: HugePud, i: PudSlot, p: Pmd) -> Step:
    """Link a PMD page, which is empty."""
    empty = s.pud[i].is_none & ~s.large[i] & ~s.busy[i]
    return Step(
        when=empty & (s.pmd_use[p] == Use.FREE),
        then=[
            s.pud.set(i, some(p)),
            s.pmd_use.set(p, Use.TABLE),
            s.pmd.fill(lambda q, k: NONE, lambda q, k: q == p),
        ],
    )


@operation(kernel="mm/vmalloc.c: pte_alloc_kernel_track()")
def pte_alloc(s: HugePud, i: PudSlot, k: PmdSlot, t: Pte) -> Step:
    """Link a PTE page."""
    p = s.pud[i].value
    empty = s.pud[i].is_some & s.pmd[p, k].is_none & ~s.busy[i]
    return Step(
        when=empty & (s.pte_use[t] == Use.FREE),
        then=[s.pmd.set((p, k), some(t)), s.pte_use.set(t, Use.TABLE)],
    )


@operation(kernel="mm/vmalloc.c: vunmap_pud_range(), pud_clear_huge()")
def vunmap(s: HugePud, i: PudSlot) -> Step:
    """A large page is unmapped, and flushed before its range is used again."""
    return Step(when=s.large[i] & ~s.busy[i], then=[s.large.set(i, FALSE)])


@operation(kernel="Intel SDM vol. 3, section 4.10.3: caches for paging structures")
def fill_pud_cache(s: HugePud, cpu: Cpu, i: PudSlot) -> Step:
    """A CPU remembers where a PUD entry leads."""
    return Step(when=s.pud[i].is_some, then=[s.pud_cache.set((cpu, i), s.pud[i])])


@operation(kernel="Intel SDM vol. 3, section 4.10.3: caches for paging structures")
def fill_pmd_cache(s: HugePud, cpu: Cpu, i: PudSlot, k: PmdSlot) -> Step:
    """A CPU goes on from what it remembers of a PUD entry, and remembers where the PMD entry leads."""
    entry = s.pmd[s.pud_cache[cpu, i].value, k]
    found = s.pud_cache[cpu, i].is_some & entry.is_some
    return Step(when=found, then=[s.pmd_cache.set((cpu, i, k), entry)])


def _pud_free_pmd_page(*, flushes: bool) -> Procedure:
    procedure = Procedure(
        "pud_free_pmd_page",
        kernel="mm/vmalloc.c: vmap_try_huge_pud(); arch/x86/mm/pgtable.c: pud_free_pmd_page(), "
        "pud_set_huge()",
        doc="Free all tables below a PUD entry, and map a large page there.",
    )

    def begin(s: HugePud, cpu: Cpu, i: PudSlot) -> Step:
        """The range has been unmapped and purged; its tables are still there."""
        nothing = s.call.visited.fill(lambda c, k: FALSE, lambda c, k: c == cpu)
        return Step(
            when=s.pud[i].is_some & ~s.busy[i],
            then=[
                s.busy.set(i, TRUE),
                s.call.slot.set(cpu, i),
                s.call.page.set(cpu, s.pud[i].value),
                nothing,
            ],
        )

    def pmd_clear(s: HugePud, cpu: Cpu, k: PmdSlot) -> Step:
        """Save a PMD entry, and clear it."""
        entry = s.call.page[cpu], k
        return Step(
            when=~s.call.visited[cpu, k],
            then=[
                s.call.saved.set((cpu, k), s.pmd[entry]),
                s.pmd.set(entry, NONE),
                s.call.visited.set((cpu, k), TRUE),
            ],
        )

    def pud_clear(s: HugePud, cpu: Cpu) -> Step:
        """When all are clear, clear the PUD entry."""
        all_clear = forall(PmdSlot, lambda k: s.call.visited[cpu, k])
        return Step(when=all_clear, then=[s.pud.set(s.call.slot[cpu], NONE)])

    def flush(s: HugePud, cpu: Cpu) -> Step:
        """flush_tlb_kernel_range(): ask every CPU, this one as well."""
        asked = s.call.waits_for.fill(lambda by, c: TRUE, lambda by, c: by == cpu)
        return Step(when=TRUE, then=[asked])

    def free_ptes(s: HugePud, cpu: Cpu) -> Step:
        """When all have answered, the PTE pages that were saved are free."""
        answered = forall(Cpu, lambda c: ~s.call.waits_for[cpu, c]) if flushes else TRUE

        def saved(t: Pte) -> Bool:
            return ~forall(PmdSlot, lambda k: s.call.saved[cpu, k] != t)

        return Step(when=answered, then=[s.pte_use.fill(lambda t: Use.FREE, saved)])

    def free_pmd(s: HugePud, cpu: Cpu) -> Step:
        """The PMD page is free, and the entry maps a large page."""
        return Step(
            when=TRUE,
            then=[
                s.pmd_use.set(s.call.page[cpu], Use.FREE),
                s.large.set(s.call.slot[cpu], TRUE),
                s.busy.set(s.call.slot[cpu], FALSE),
            ],
        )

    procedure.step(to="clear")(begin)
    procedure.step(at="clear", to="clear")(pmd_clear)
    procedure.step(at="clear", to="flush" if flushes else "free_ptes")(pud_clear)
    procedure.step(at="flush", to="free_ptes")(flush)
    procedure.step(at="free_ptes", to="free_pmd")(free_ptes)
    procedure.step(at="free_pmd", to=Procedure.DONE)(free_pmd)
    return procedure


pud_free_pmd_page = _pud_free_pmd_page(flushes=True)
# V-08, at this level.
pud_free_pmd_page_unflushed = _pud_free_pmd_page(flushes=False)


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush()")
def do_kernel_range_flush(s: HugePud, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: INVLPG of an address in the range, which forgets all ways there."""
    asked = pud_free_pmd_page.at(s, by, pud_free_pmd_page.steps[4]) & s.call.waits_for[by, cpu]
    here = s.call.slot[by]
    return Step(
        when=asked,
        then=[
            s.pud_cache.set((cpu, here), NONE),
            s.pmd_cache.fill(lambda c, i, k: NONE, lambda c, i, k: (c == cpu) & (i == here)),
            s.call.waits_for.set((by, cpu), FALSE),
        ],
    )
