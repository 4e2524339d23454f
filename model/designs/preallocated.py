"""Preallocated entries of the vmalloc area: what x86-64 has, and what 32-bit could have."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Frame, Mm
from ..operations import preallocated as op
from ..operations.preallocated import (
    Entry,
    FiveLevels,
    PmdEntries,
    Preallocated,
    SharedPmd,
    Slot,
    Table,
)

vmalloc_4_level = Design(
    name="vmalloc-4-level",
    state=Preallocated,
    init=op.boot,
    operations=[op.preallocate, op.mem_init, op.fork, op.exit_mm, op.vmap, op.vunmap],
    assumptions=[op.pages_have_one_slot],
    scope={Mm: 2, Slot: 2, Table: lambda sizes: sizes[Slot], Entry: 1, Frame: 2},
    doc="""x86-64 with 4 levels: the PUD page of every top-level entry of the vmalloc area is allocated
before the first process, so that there is nothing to push or to pull.""",
    source="preallocate_vmalloc_pages(), arch/x86/mm/init_64.c of Linux 6.1",
)

vmalloc_5_level = vmalloc_4_level.but(
    name="vmalloc-5-level",
    state=FiveLevels,
    geometry="x86-64-la57",
    doc="""x86-64 with 5 levels: the same, with P4D pages.""",
)

vmalloc_pae_shared = vmalloc_4_level.but(
    name="vmalloc-pae-shared",
    state=SharedPmd,
    scope={**vmalloc_4_level.scope, Slot: 1},
    geometry="i386-pae",
    doc="""32-bit PAE without page table isolation: the top-level entry of every process leads to the
kernel's one PMD page, which is there from the start; ARCH_PAGE_TABLE_SYNC_MASK is 0.""",
    source="SHARED_KERNEL_PMD, arch/x86/include/asm/pgtable-3level_types.h of Linux 6.1",
)

vmalloc_no_preallocation = vmalloc_4_level.replacing(
    op.mem_init,
    op.mem_init_at_once,
    name="vmalloc-no-preallocation",
    doc="""vmalloc-4-level with entries that are filled when they are needed and neither pushed nor
pulled: what preallocation is for.""",
)
vmalloc_no_preallocation = vmalloc_no_preallocation.but(
    name=vmalloc_no_preallocation.name,
    operations=[*vmalloc_no_preallocation.operations, op.alloc_track],
)

vmalloc_32_preallocated = vmalloc_4_level.but(
    name="vmalloc-32-preallocated",
    state=PmdEntries,
    geometry="i386-pae",
    doc="""The better fix that the review of July 2019 asks for, on 32-bit PAE: a PTE page below every
PMD entry of the area, from the boot on.  Nothing has to be synchronised, and nothing can be mapped by
large pages.""",
    source="A. Lutomirski, 18 July 2019, on 'mm/vmalloc: Sync unmappings in vunmap_page_range()'",
)

vmalloc_32_preallocated_large = vmalloc_32_preallocated.but(
    name="vmalloc-32-preallocated-large",
    operations=[*vmalloc_32_preallocated.operations, op.alloc_track, op.ioremap_large],
    doc="""vmalloc-32-preallocated, but a large page may take the place of a PTE page that is empty:
entries change again, and there is nobody to push that.""",
)
