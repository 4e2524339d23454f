"""Lazy TLB mode: a CPU that runs a kernel thread stays on the tables of the process before.

It is not interrupted for pages that the process unmaps, since it touches none of them; it flushes when
it comes back.  But a CPU speculates through any table that it has cached the way to, so it must hear
of tables that are freed.  One process is modelled, with its PMD entries and its PTE pages; a large
page may take a table's place.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Locals,
    Map,
    Opt,
    Procedure,
    Step,
    forall,
    operation,
    some,
)
from ..machine.psc import PmdCache
from ..machine.sorts import Cpu, PmdSlot, Pte


class Use(Enumeration):
    """What a page is used for: free, a PTE page of the process, or anybody's data."""

    FREE: Use
    TABLE: Use
    DATA: Use


class Freeing(Locals):
    """The locals of whoever frees a table: the CPUs that get his request, and those of them that have
    not answered."""

    table: Map[Cpu, Pte]
    asked: Map[tuple[Cpu, Cpu], Bool]
    waits_for: Map[tuple[Cpu, Cpu], Bool]


class LazyTlb(PmdCache):
    """link: the PMD entries that lead to tables.  in_mask: the CPU is in mm_cpumask, with the
    process's tables loaded.  is_lazy: it runs a kernel thread.  behind: it has skipped a flush, and
    flushes when it leaves lazy mode."""

    link: Map[PmdSlot, Opt[Pte]]
    use: Map[Pte, Use]
    in_mask: Map[Cpu, Bool]
    is_lazy: Map[Cpu, Bool]
    behind: Map[Cpu, Bool]
    freeing: Freeing


@operation(kernel="arch/x86/mm/tlb.c")
def boot(s: LazyTlb) -> Step:
    """The process has no tables, and runs nowhere."""
    return Step(
        when=TRUE,
        then=[
            s.link.fill(lambda i: NONE),
            s.use.fill(lambda t: Use.FREE),
            s.in_mask.fill(lambda cpu: FALSE),
            s.is_lazy.fill(lambda cpu: FALSE),
            s.behind.fill(lambda cpu: FALSE),
            s.pmd_cache.fill(lambda cpu, i: NONE),
        ],
    )


@operation(kernel="mm/page_alloc.c: __get_free_page()")
def allocate(s: LazyTlb, t: Pte) -> Step:
    """Somebody takes a free page for data."""
    return Step(when=s.use[t] == Use.FREE, then=[s.use.set(t, Use.DATA)])


@operation(kernel="mm/memory.c: __pte_alloc(), pmd_install()")
def populate(s: LazyTlb, i: PmdSlot, t: Pte) -> Step:
    """A PTE page is linked."""
    return Step(
        when=s.link[i].is_none & (s.use[t] == Use.FREE),
        then=[s.link.set(i, some(t)), s.use.set(t, Use.TABLE)],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.3: caches for paging structures")
def fill_pmd_cache(s: LazyTlb, cpu: Cpu, i: PmdSlot) -> Step:
    """A CPU with the process's tables remembers where a PMD entry leads, lazy or not."""
    return Step(
        when=s.in_mask[cpu] & s.link[i].is_some,
        then=[s.pmd_cache.set((cpu, i), some(s.link[i].value))],
    )


# CPUs.


@operation(kernel="arch/x86/mm/tlb.c: switch_mm_irqs_off(), to the process")
def load(s: LazyTlb, cpu: Cpu) -> Step:
    """The CPU runs the process, with nothing cached of it."""
    forget = s.pmd_cache.fill(lambda c, i: NONE, lambda c, i: c == cpu)
    return Step(when=~s.in_mask[cpu], then=[s.in_mask.set(cpu, TRUE), forget])


@operation(kernel="arch/x86/mm/tlb.c: switch_mm_irqs_off(), to another process")
def unload(s: LazyTlb, cpu: Cpu) -> Step:
    """The CPU runs another process; what it has cached here is flushed before it is used."""
    forget = s.pmd_cache.fill(lambda c, i: NONE, lambda c, i: c == cpu)
    return Step(
        when=s.in_mask[cpu],
        then=[
            s.in_mask.set(cpu, FALSE),
            s.is_lazy.set(cpu, FALSE),
            s.behind.set(cpu, FALSE),
            forget,
        ],
    )


@operation(kernel="arch/x86/mm/tlb.c: enter_lazy_tlb()")
def enter_lazy_tlb(s: LazyTlb, cpu: Cpu) -> Step:
    """The CPU runs a kernel thread, on the tables that it has."""
    return Step(when=s.in_mask[cpu], then=[s.is_lazy.set(cpu, TRUE)])


@operation(kernel="arch/x86/mm/tlb.c: switch_mm_irqs_off(), was_lazy")
def leave_lazy_tlb(s: LazyTlb, cpu: Cpu) -> Step:
    """The CPU runs the process again; it flushes what it has skipped."""
    due = s.behind[cpu]
    return Step(
        when=s.in_mask[cpu] & s.is_lazy[cpu],
        then=[
            s.is_lazy.set(cpu, FALSE),
            s.behind.set(cpu, FALSE),
            s.pmd_cache.fill(lambda c, i: NONE, lambda c, i: (c == cpu) & due),
        ],
    )


# Unmapping pages.


@operation(
    kernel="arch/x86/mm/tlb.c: flush_tlb_multi(), tlb_is_not_lazy(); mm/memory.c: zap_pte_range()"
)
def flush_pages(s: LazyTlb) -> Step:
    """Pages are unmapped: CPUs that are not lazy flush, others are behind the count from now on."""
    return Step(when=TRUE, then=[s.behind.fill(lambda c: TRUE, lambda c: s.is_lazy[c])])


# Freeing a table.


def _free(name: str, kernel: str, doc: str, *, freed_tables: bool) -> Procedure:
    """Unlink a table, flush, free it; freed_tables: what flush_tlb_mm_range() is told, and so
    whether lazy CPUs are asked."""
    procedure = Procedure(name, kernel=kernel, doc=doc)

    def unlink(s: LazyTlb, cpu: Cpu, i: PmdSlot) -> Step:
        """The PMD entry is cleared, or becomes a large page."""
        return Step(
            when=s.link[i].is_some,
            then=[
                s.freeing.table.set(cpu, s.link[i].value),
                s.freeing.waits_for.fill(lambda by, c: TRUE, lambda by, c: by == cpu),
                s.link.set(i, NONE),
            ],
        )

    def flush(s: LazyTlb, cpu: Cpu) -> Step:
        """The CPUs in the mask are asked; others, and lazy ones that are skipped, are behind."""

        def asked(c: Cpu) -> Bool:
            return s.in_mask[c] if freed_tables else s.in_mask[c] & ~s.is_lazy[c]

        return Step(
            when=TRUE,
            then=[
                s.freeing.asked.fill(lambda by, c: asked(c), lambda by, c: by == cpu),
                s.freeing.waits_for.fill(
                    lambda by, c: FALSE, lambda by, c: (by == cpu) & ~asked(c)
                ),
                s.behind.fill(lambda c: TRUE, lambda c: s.in_mask[c] & ~asked(c)),
            ],
        )

    def free_table(s: LazyTlb, cpu: Cpu) -> Step:
        """When all have answered, the page is free for anyone."""
        return Step(
            when=forall(Cpu, lambda c: ~s.freeing.waits_for[cpu, c]),
            then=[s.use.set(s.freeing.table[cpu], Use.FREE)],
        )

    procedure.step(unlink)
    procedure.step(flush)
    procedure.step(free_table)
    return procedure


_MUNMAP = "mm/memory.c: free_pgtables(); mm/mmu_gather.c: tlb_flush_mmu(), freed_tables"
_COLLAPSE = "mm/khugepaged.c: collapse_huge_page(), pmdp_collapse_flush(), flush_tlb_range()"

free_pgtables = _free("free_pgtables", _MUNMAP, "munmap() frees a table.", freed_tables=True)
collapse = _free("collapse", _COLLAPSE, "A large page takes a table's place.", freed_tables=True)
# T-01: lazy CPUs were not asked at all.
free_pgtables_not_lazy = _free(
    "free_pgtables",
    _MUNMAP,
    "munmap() frees a table; lazy CPUs do not hear of it.",
    freed_tables=False,
)
# T-07: flush_tlb_range() said that no table was freed.
collapse_not_lazy = _free(
    "collapse",
    _COLLAPSE,
    "A large page takes a table's place; lazy CPUs do not hear of it.",
    freed_tables=False,
)


@operation(kernel="arch/x86/mm/tlb.c: flush_tlb_func()")
def flush_tlb_func(s: LazyTlb, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: the CPU forgets the process's tables; if it is lazy, it leaves them."""
    lazy = s.is_lazy[cpu]
    sent = free_pgtables.at(s, by, free_pgtables.steps[2]) | collapse.at(s, by, collapse.steps[2])
    return Step(
        when=sent & s.freeing.waits_for[by, cpu],
        then=[
            s.pmd_cache.fill(lambda c, i: NONE, lambda c, i: c == cpu),
            s.in_mask.set(cpu, s.in_mask[cpu] & ~lazy),
            s.is_lazy.set(cpu, FALSE),
            s.behind.set(cpu, FALSE),
            s.freeing.waits_for.set((by, cpu), FALSE),
        ],
    )
