"""Lazy TLB mode, and what it must not skip."""

from __future__ import annotations

from ..language import Bool, Design, always
from ..machine.sorts import Cpu, PmdSlot, Pte
from ..operations import lazy as op
from ..operations.lazy import LazyTlb, Use, collapse, free_pgtables


def _idle(s: LazyTlb, by: Cpu) -> Bool:
    return free_pgtables.idle(s, by) & collapse.idle(s, by)


@always
def one_table_at_a_time(s: LazyTlb, by: Cpu) -> Bool:
    """A CPU frees one table at a time."""
    return free_pgtables.idle(s, by) | collapse.idle(s, by)


@always
def tables_are_linked_once_or_freed_once(s: LazyTlb, by: Cpu, other: Cpu, i: PmdSlot) -> Bool:
    """A table that is being freed is a table still, linked nowhere, and one CPU frees it."""
    t = s.freeing.table[by]
    linked = s.link[i].is_some & (s.link[i].value == t)
    alone = (~_idle(s, other) & (s.freeing.table[other] == t)).implies(by == other)
    return (~_idle(s, by)).implies((s.use[t] == Use.TABLE) & ~linked & alone)


@always
def one_entry_for_a_table(s: LazyTlb, i: PmdSlot, j: PmdSlot) -> Bool:
    """Two PMD entries never lead to one table."""
    a, b = s.link[i], s.link[j]
    return (a.is_some & b.is_some & (a.value == b.value)).implies(i == j)


@always
def who_knows_a_table_is_asked(s: LazyTlb, cpu: Cpu, i: PmdSlot, by: Cpu) -> Bool:
    """A CPU that has cached a table that is being freed has not answered yet; it is in the mask."""
    cached = s.pmd_cache[cpu, i]
    mine = ~_idle(s, by) & cached.is_some & (s.freeing.table[by] == cached.value)
    return mine.implies(s.freeing.waits_for[by, cpu]) & cached.is_some.implies(s.in_mask[cpu])


lazy_tlb = Design(
    name="lazy-tlb",
    state=LazyTlb,
    init=op.boot,
    operations=[
        op.allocate,
        op.populate,
        op.fill_pmd_cache,
        op.load,
        op.unload,
        op.enter_lazy_tlb,
        op.leave_lazy_tlb,
        op.flush_pages,
        op.flush_tlb_func,
    ],
    procedures=[op.free_pgtables, op.collapse],
    lemmas=[
        one_table_at_a_time,
        tables_are_linked_once_or_freed_once,
        one_entry_for_a_table,
        who_knows_a_table_is_asked,
    ],
    scope={Cpu: 2, PmdSlot: 1, Pte: 2},
    doc="""Lazy TLB mode, as merged: lazy CPUs may skip flushes of pages, but are asked when tables are
freed, and leave the process's tables then.""",
    source="arch/x86/mm/tlb.c and include/asm/tlbflush.h of Linux 6.1",
)

lazy_not_asked = lazy_tlb.replacing(
    op.free_pgtables,
    op.free_pgtables_not_lazy,
    name="lazy-not-asked",
    doc="lazy-tlb, but lazy CPUs do not hear of tables that munmap() frees (defect T-01).",
)

lazy_collapse_not_asked = lazy_tlb.replacing(
    op.collapse,
    op.collapse_not_lazy,
    name="lazy-collapse-not-asked",
    doc="lazy-tlb, but lazy CPUs do not hear of tables that a large page replaces (defect T-07).",
)
