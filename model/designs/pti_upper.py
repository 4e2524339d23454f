"""Kernel entries of user tables on x86-64, with 4 and with 5 levels."""

from __future__ import annotations

from ..language import Design
from ..machine.sorts import Mm, P4dSlot, Pud
from ..operations import pti_upper as op
from ..operations.pti_upper import Upper

pti_upper = Design(
    name="pti-upper",
    state=Upper,
    init=op.boot,
    operations=[
        op.clone_user_shared,
        op.setup_espfix64,
        op.clone_tss,
        op.clone_entry_text,
        op.pti_init,
        op.pgd_alloc,
        op.pgd_free,
        op.map_ldt,
    ],
    assumptions=[
        op.one_entry_of_a_kind,
        op.user_tables_have_their_own,
        op.boot_links_what_is_no_memory,
    ],
    scope={Mm: 2, P4dSlot: 7, Pud: lambda n: 2},
    doc="""Kernel entries of user tables on x86-64 with page table isolation, as merged: P4D entries of
cpu_entry_area and espfix are copied at boot, and whole sets of them when a process is made.""",
    source="arch/x86/mm/pti.c and pgtable.c of Linux 6.1",
)
