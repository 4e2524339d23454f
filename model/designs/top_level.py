"""Builders of top-level tables under page table isolation, and with the slips they had."""

from __future__ import annotations

from ..language import Bool, Design, Size, always
from ..machine.halves import Use
from ..machine.sorts import Pgd, PgdSlot, Pud
from ..operations import top_level as op
from ..operations.top_level import TopLevel


@always
def tables_are_pairs(s: TopLevel, p: Pgd, q: Pgd) -> Bool:
    """Beside every table that lies on an even page is its user copy."""
    return (s.is_table(p) & s.beside[p, q]).implies(s.use[q] == Use.USER_COPY)


@always
def low_maps_are_executable(s: TopLevel, p: Pgd, i: PgdSlot) -> Bool:
    """Firmware and boot stubs run on tables of their own or on init_mm's, without NX below."""
    low = (s.use[p] == Use.INIT) | (s.use[p] == Use.TBOOT)
    return s.executing[p].implies(low) & (low & s.user_half[i]).implies(~s.pgd.nx[p, i])


SCOPE: dict[type, Size] = {Pgd: 4, PgdSlot: 2, Pud: 1}

top_level_pti = Design(
    name="top-level-pti",
    state=TopLevel,
    init=op.boot,
    operations=[
        op.allocate,
        op.pgd_alloc,
        op.pgd_populate,
        op.pgd_clear,
        op.kexec_alloc,
        op.kexec_set_one,
        op.init_top_pgt,
        op.efi_prolog,
        op.efi_call,
        op.efi_epilog,
        op.tboot_alloc,
        op.tboot_map,
        op.tboot_shutdown,
        op.init_trampoline,
    ],
    lemmas=[tables_are_pairs, low_maps_are_executable],
    assumptions=[op.pages_lie_side_by_side, op.aligned_pages_have_another_beside],
    scope=SCOPE,
    doc="""Top-level tables under page table isolation, as merged: whoever calls set_pgd() has a pair of
pages, and whoever executes at low addresses takes the NX poison out.""",
    source="arch/x86/mm/pti.c, kaslr.c and kernel/tboot.c of Linux 6.1; de53c3786a3c, d082d48737c7",
)

top_level_kexec_page = top_level_pti.replacing(
    op.kexec_alloc,
    op.kexec_alloc_page,
    name="top-level-kexec-page",
    doc="top-level-pti, but kexec's 32-bit table is a single page (defect P-05).",
)

top_level_efi_poisoned = top_level_pti.replacing(
    op.efi_prolog,
    op.efi_prolog_poisoned,
    name="top-level-efi-poisoned",
    doc="top-level-pti, but EFI's low mappings keep the NX poison (defect P-03).",
)

top_level_trampoline_set_pgd = top_level_pti.replacing(
    op.init_trampoline,
    op.init_trampoline_by_set_pgd,
    name="top-level-trampoline-set-pgd",
    doc="top-level-pti, but the trampoline's entry is stored by set_pgd() (defect P-06).",
)
