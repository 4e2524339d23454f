"""Page table isolation on 32-bit PAE."""

from __future__ import annotations

from ..language import Bool, Design, always
from ..machine.sorts import Mm, PmdSlot, Pte
from ..operations import pti_pae as op
from ..operations.pti_pae import PaeHalves, Region


@always
def init_mm_keeps_what_boot_linked(s: PaeHalves, i: PmdSlot) -> Bool:
    """init_mm has no LDT, and the same cpu_entry_area in both halves."""
    ldt = s.is_in(i, Region.LDT)
    area = s.is_in(i, Region.CPU_ENTRY_AREA)
    text = s.is_in(i, Region.TEXT)
    return (
        ldt.implies(s.init_kernel[i].is_none)
        & area.implies(s.init_user[i] == s.init_kernel[i])
        & s.init_user[i].is_some.implies(area | (text & (s.init_user[i] == s.text_table[i])))
    )


@always
def only_listed_processes_have_an_ldt(s: PaeHalves, m: Mm) -> Bool:
    """A process that is not on pgd_list has no LDT."""
    return (~s.on_list[m]).implies(s.ldt[m].is_none)


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
    lemmas=[init_mm_keeps_what_boot_linked, only_listed_processes_have_an_ldt],
    assumptions=[op.one_entry_for_the_ldt],
    scope={Mm: 2, PmdSlot: 5, Pte: 2},
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
