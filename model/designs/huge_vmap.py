"""Large pages over old PTE pages on x86-64."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Cpu, PmdSlot, Pte
from ..operations import huge_vmap as op
from ..operations.huge_vmap import HugeVmap

huge_vmap = Design(
    name="huge-vmap",
    state=HugeVmap,
    init=op.boot,
    operations=[
        op.allocate,
        op.alloc_vmap_area,
        op.pte_alloc,
        op.vmap_pte_range,
        op.vunmap,
        op.purge,
        op.fill_pmd_cache,
        op.do_kernel_range_flush,
    ],
    procedures=[op.vmap_try_huge_pmd, op.ptdump],
    scope={Cpu: 2, PmdSlot: 2, Pte: 2},
    doc="""Large pages in the vmalloc area of x86-64, as merged: an old PTE page is unlinked under
init_mm's lock, every CPU forgets the way to it, and it is freed.""",
    source="vmap_try_huge_pmd(), pmd_free_pte_page() of Linux 6.1.192",
)

huge_vmap_no_flush = huge_vmap.replacing(
    op.vmap_try_huge_pmd,
    op.vmap_try_huge_pmd_unflushed,
    name="huge-vmap-no-flush",
    doc="huge-vmap, but the PTE page is freed while CPUs may know the way to it (defect V-08).",
)

huge_vmap_leak = huge_vmap.replacing(
    op.vmap_try_huge_pmd,
    op.vmap_try_huge_pmd_leaking,
    name="huge-vmap-leak",
    doc="huge-vmap, but nobody frees the PTE page that a large page replaces (defect V-10).",
)

huge_vmap_no_lock = huge_vmap.replacing(
    op.vmap_try_huge_pmd,
    op.vmap_try_huge_pmd_unlocked,
    name="huge-vmap-no-lock",
    doc="huge-vmap, but ptdump may be walking the PTE page that is freed (defect V-13).",
)
