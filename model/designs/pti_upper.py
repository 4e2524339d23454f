"""Kernel entries of user tables on x86-64, with 4 and with 5 levels."""

from __future__ import annotations

from ..language import Bool, Design, always
from ..machine.sorts import Mm, P4dSlot, Pud
from ..operations import pti_upper as op
from ..operations.pti_upper import Region, Upper


@always
def kernel_entries_are_what_boot_linked(s: Upper, m: Mm, i: P4dSlot) -> Bool:
    """Outside the LDT's slot every process has the entries of boot; user tables have them or their
    own."""
    fixed = s.alive[m] & (s.region[i] != Region.LDT)
    user = s.user[m, i]
    image = (s.region[i] == Region.IMAGE) | (s.region[i] == Region.PER_CPU)
    own = (image & user.is_some).implies(user == s.own[i])
    return fixed.implies((s.kernel[m, i] == s.at[i]) & own)


@always
def init_mm_lives_without_ldt(s: Upper, m: Mm, i: P4dSlot) -> Bool:
    """init_mm is there and has no LDT; who is not there has none."""
    init = s.init_mm[()]
    empty = s.kernel[init, i].is_none & s.user[init, i].is_none
    return (
        s.alive[init]
        & s.ldt[init].is_none
        & (s.region[i] == Region.LDT).implies(empty)
        & (~s.alive[m]).implies(s.ldt[m].is_none)
        & (~s.ready.now & s.alive[m]).implies(m == init)
    )


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
    lemmas=[kernel_entries_are_what_boot_linked, init_mm_lives_without_ldt],
    assumptions=[op.one_entry_of_a_kind, op.user_tables_have_their_own],
    scope={Mm: 2, P4dSlot: 6, Pud: lambda n: 2},
    doc="""Kernel entries of user tables on x86-64 with page table isolation, as merged: P4D entries of
cpu_entry_area and espfix are copied at boot, and whole sets of them when a process is made.""",
    source="arch/x86/mm/pti.c and pgtable.c of Linux 6.1",
)
