"""Page table isolation on 32-bit PAE."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Frame, Mm, Pmd, PmdSlot, Pte
from ..operations import pti_pae as op
from ..operations.pae_tables import pmd_pages_are_private
from ..operations.pti_pae import PaeHalves

pti_pae = Design(
    name="pti-pae",
    state=PaeHalves,
    init=op.boot,
    operations=[
        op.pgd_alloc,
        op.pgd_free,
        op.map_ldt,
        op.vmap,
        op.vunmap,
        op.vmalloc_sync_one,
    ],
    assumptions=[
        pmd_pages_are_private,
        op.one_entry_for_the_ldt,
        op.tables_of_boot_are_known,
    ],
    scope={Mm: 2, PmdSlot: 6, Pte: 4, Frame: 1, Pmd: lambda sizes: sizes[Mm] + 1},
    geometry="i386-pae",
    doc="""Kernel halves on 32-bit PAE with page table isolation, as merged: what is not shared is
copied, and only the vmalloc area is synchronised later.""",
    source="arch/x86/mm/pgtable.c, pti.c and fault.c; 9a62d20027da",
)

pti_pae_sync_too_far = pti_pae.replacing(
    op.vmalloc_sync_one,
    op.vmalloc_sync_too_far,
    name="pti-pae-sync-too-far",
    doc="pti-pae, but the synchronisation goes on behind the vmalloc area (defect V-04).",
)
