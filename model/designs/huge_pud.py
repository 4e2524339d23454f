"""Large pages of the PUD level over old tables on x86-64."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, Pmd, PmdSlot, Pte, PudSlot
from ..operations import huge_pud as op
from ..operations.huge_pud import HugePud

huge_pud = Design(
    name="huge-pud",
    state=HugePud,
    init=op.boot,
    operations=[
        op.allocate,
        op.allocate_other,
        op.pmd_alloc,
        op.pte_alloc,
        op.vunmap,
        op.fill_pud_cache,
        op.fill_pmd_cache,
        op.do_kernel_range_flush,
    ],
    procedures=[op.pud_free_pmd_page],
    scope={Cpu: 2, PudSlot: 1, PmdSlot: 1, Pmd: 2, Pte: 1},
    doc="""pud_free_pmd_page() as merged: PMD entries are saved and cleared, then the PUD entry; every
CPU forgets the ways there; PTE pages and the PMD page are freed.""",
    source="5e0fb5df2ee8; arch/x86/mm/pgtable.c of Linux 6.1",
)

huge_pud_no_flush = huge_pud.replacing(
    op.pud_free_pmd_page,
    op.pud_free_pmd_page_unflushed,
    name="huge-pud-no-flush",
    doc="huge-pud, but tables are freed while CPUs may know the way to them (defect V-08).",
)
