"""Lazy TLB mode, and what it must not skip."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, PmdSlot, Pte
from ..operations import lazy as op
from ..operations.lazy import LazyTlb

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
