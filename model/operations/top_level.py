"""Everybody who builds top-level tables while page table isolation is on.

set_pgd() writes a user-half entry twice: at its place, and 4 KiB further on, where the user table of
an 8 KiB pair lies.  It cannot know whether there is one.  Processes have pairs; kexec, EFI, tboot and
the real-mode trampoline build tables of their own, some of which firmware or a boot stub executes
through, where the NX that poisons user entries is in the way.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Fun,
    Map,
    Step,
    Update,
    assumption,
    given,
    ite,
    operation,
    some,
)
from ..machine.entries import EMPTY, Entry
from ..machine.halves import TopLevelTables, Use
from ..machine.sorts import Pgd, PgdSlot, Pud


class TopLevel(TopLevelTables):
    """mirrored: history, the page was handed to set_pgd() with a user-half slot.  executing: firmware
    or a boot stub runs on the table."""

    mirrored: Map[Pgd, Bool]
    executing: Map[Pgd, Bool]
    user_half: Fun[PgdSlot, Bool] = given(lambda scope, i: i % 2 == 0)
    beside: Fun[tuple[Pgd, Pgd], Bool] = given(lambda scope, p, q: q == p | 1)


@assumption
def pages_lie_side_by_side(s: TopLevel, p: Pgd, q: Pgd, r: Pgd) -> Bool:
    """A page lies beside one page at most, and is beside an aligned one only."""
    return (s.beside[p, q] & s.beside[p, r]).implies(q == r) & (
        s.beside[p, q] & s.beside[r, q] & (p != q) & (r != q)
    ).implies(p == r)


@assumption
def aligned_pages_have_another_beside(s: TopLevel, p: Pgd, q: Pgd) -> Bool:
    """What lies beside a page has itself beside it (bit 12 is set already)."""
    return s.beside[p, q].implies(s.beside[q, q])


# Flags as in pgtable_types.h: _PAGE_TABLE and _KERNPG_TABLE.
PAGE_TABLE = Entry(present=TRUE, writable=TRUE, user=TRUE)
KERNPG_TABLE = Entry(present=TRUE, writable=TRUE)


@operation(kernel="arch/x86/kernel/head_64.S")
def boot(s: TopLevel) -> Step:
    """No table is built yet; some pages are the kernel image's."""
    return Step(
        when=TRUE,
        then=[
            *s.pgd.fill_entries(lambda p, i: EMPTY),
            s.use.fill(lambda p: ite(s.use[p] == Use.IMAGE, Use.IMAGE, Use.FREE)),
            s.mirrored.fill(lambda p: FALSE),
            s.executing.fill(lambda p: FALSE),
        ],
    )


def set_pgd(s: TopLevel, p: Pgd, i: PgdSlot, entry: Entry) -> list[Update]:
    """``pti_set_user_pgtbl()``: of a user-half slot the user table gets the entry as it is, first;
    the kernel's gets NX if user code could use it."""
    poisoned = entry.but(nx=entry.nx | (s.user_half[i] & entry.present & entry.user))
    return [
        *s.pgd.fill_entries(
            lambda q, j: entry, lambda q, j: s.user_half[i] & s.beside[p, q] & (j == i)
        ),
        *s.pgd.set_entry(p, i, poisoned),
        s.mirrored.set(p, s.mirrored[p] | s.user_half[i]),
    ]


def _take_pair(s: TopLevel, p: Pgd, q: Pgd, use: Use) -> Step:
    """An order-1 allocation: two pages, aligned, zeroed."""
    free = (s.use[p] == Use.FREE) & (s.use[q] == Use.FREE)
    return Step(
        when=free & s.beside[p, q] & (p != q),
        then=[s.use.set(p, use), s.use.set(q, Use.USER_COPY)],
    )


def _fill_slot(s: TopLevel, p: Pgd, i: PgdSlot, use: Use, then: list[Update]) -> Step:
    """An empty user-half slot of a table of that kind is set."""
    return Step(when=(s.use[p] == use) & s.user_half[i] & s.pgd.none(p, i), then=then)


@operation(kernel="mm/page_alloc.c: __get_free_page()")
def allocate(s: TopLevel, p: Pgd) -> Step:
    """Somebody takes a single page for data."""
    return Step(when=s.use[p] == Use.FREE, then=[s.use.set(p, Use.DATA)])


@operation(kernel="arch/x86/mm/pgtable.c: pgd_alloc(), PGD_ALLOCATION_ORDER")
def pgd_alloc(s: TopLevel, p: Pgd, q: Pgd) -> Step:
    """A process gets a pair."""
    return _take_pair(s, p, q, Use.PROCESS)


@operation(kernel="arch/x86/include/asm/pgtable_64.h: native_set_p4d(), pti_set_user_pgtbl()")
def pgd_populate(s: TopLevel, p: Pgd, i: PgdSlot, t: Pud) -> Step:
    """A process gets a user table."""
    return _fill_slot(s, p, i, Use.PROCESS, set_pgd(s, p, i, PAGE_TABLE.but(table=some(t))))


@operation(kernel="arch/x86/include/asm/pgtable_64.h: native_p4d_clear()")
def pgd_clear(s: TopLevel, p: Pgd, i: PgdSlot) -> Step:
    """And loses it: zero is mirrored, too."""
    linked = (s.use[p] == Use.PROCESS) & s.user_half[i] & s.pgd.present[p, i]
    return Step(when=linked, then=set_pgd(s, p, i, EMPTY))


# kexec.


@operation(kernel="arch/x86/kernel/machine_kexec_32.c: machine_kexec_alloc_page_tables()")
def kexec_alloc(s: TopLevel, p: Pgd, q: Pgd) -> Step:
    """A pair for the table that the new kernel is started on (PGD_ALLOCATION_ORDER)."""
    return _take_pair(s, p, q, Use.KEXEC)


# P-05: the table was one page.
@operation(
    kernel="arch/x86/kernel/machine_kexec_32.c: machine_kexec_alloc_page_tables() before July 2018",
    name="kexec_alloc",
)
def kexec_alloc_page(s: TopLevel, p: Pgd) -> Step:
    """A single page for the table that the new kernel is started on."""
    return Step(when=s.use[p] == Use.FREE, then=[s.use.set(p, Use.KEXEC)])


@operation(kernel="arch/x86/kernel/machine_kexec_32.c: machine_kexec_page_table_set_one()")
def kexec_set_one(s: TopLevel, p: Pgd, i: PgdSlot, t: Pud) -> Step:
    """Map the control page at its physical address, without US."""
    return _fill_slot(s, p, i, Use.KEXEC, set_pgd(s, p, i, KERNPG_TABLE.but(table=some(t))))


# EFI.


@operation(kernel="arch/x86/kernel/head_64.S: SYM_DATA_START_PTI_ALIGNED(init_top_pgt)")
def init_top_pgt(s: TopLevel, p: Pgd, q: Pgd) -> Step:
    """init_mm's table is a pair, too; EFI's old memory map is entered there."""
    return _take_pair(s, p, q, Use.INIT)


def _low_map(s: TopLevel, p: Pgd, i: PgdSlot, t: Pud) -> list[Update]:
    """The direct map's entry, which has US, at its physical address."""
    return set_pgd(s, p, i, PAGE_TABLE.but(table=some(t)))


@operation(kernel="arch/x86/platform/efi/efi_64.c: efi_call_phys_prolog()")
def efi_prolog(s: TopLevel, p: Pgd, i: PgdSlot, t: Pud) -> Step:
    """Link a low slot, then take the poison out again: firmware executes there."""
    return _fill_slot(s, p, i, Use.INIT, [*_low_map(s, p, i, t), s.pgd.nx.set((p, i), FALSE)])


# P-03: the poison stayed.
@operation(
    kernel="arch/x86/platform/efi/efi_64.c: efi_call_phys_prolog() before de53c3786a3c",
    name="efi_prolog",
)
def efi_prolog_poisoned(s: TopLevel, p: Pgd, i: PgdSlot, t: Pud) -> Step:
    """Link a low slot by set_pgd() alone."""
    return _fill_slot(s, p, i, Use.INIT, _low_map(s, p, i, t))


@operation(kernel="arch/x86/platform/efi/efi_64.c: efi_call_phys()")
def efi_call(s: TopLevel, p: Pgd, i: PgdSlot) -> Step:
    """Firmware is called through a low slot."""
    linked = (s.use[p] == Use.INIT) & s.user_half[i] & s.pgd.present[p, i]
    return Step(when=linked, then=[s.executing.set(p, TRUE)])


@operation(kernel="arch/x86/platform/efi/efi_64.c: efi_call_phys_epilog()")
def efi_epilog(s: TopLevel, p: Pgd, i: PgdSlot) -> Step:
    """Firmware is done; the slot gets back what it had."""
    linked = (s.use[p] == Use.INIT) & s.user_half[i] & s.pgd.present[p, i]
    return Step(when=linked, then=[*set_pgd(s, p, i, EMPTY), s.executing.set(p, FALSE)])


# tboot.


@operation(kernel="arch/x86/kernel/tboot.c: map_tboot_pages(), pgd_alloc()")
def tboot_alloc(s: TopLevel, p: Pgd, q: Pgd) -> Step:
    """A pair for tboot_mm."""
    return _take_pair(s, p, q, Use.TBOOT)


@operation(kernel="arch/x86/kernel/tboot.c: map_tboot_page(), p4d_alloc()")
def tboot_map(s: TopLevel, p: Pgd, i: PgdSlot, t: Pud) -> Step:
    """Link a low slot as for a process, then take the poison out, after the last allocation."""
    return _fill_slot(s, p, i, Use.TBOOT, [*_low_map(s, p, i, t), s.pgd.nx.set((p, i), FALSE)])


@operation(kernel="arch/x86/kernel/tboot.c: tboot_shutdown(), switch_to_tboot_pt()")
def tboot_shutdown(s: TopLevel, p: Pgd, i: PgdSlot) -> Step:
    """The shutdown code runs at its low address."""
    linked = (s.use[p] == Use.TBOOT) & s.user_half[i] & s.pgd.present[p, i]
    return Step(when=linked, then=[s.executing.set(p, TRUE)])


# The real-mode trampoline.


@operation(kernel="arch/x86/mm/kaslr.c: init_trampoline_kaslr(), trampoline_pgd_entry")
def init_trampoline(s: TopLevel, p: Pgd, i: PgdSlot, t: Pud) -> Step:
    """Store the entry in a variable of the kernel image, as a plain value."""
    entry = KERNPG_TABLE.but(table=some(t))
    return _fill_slot(s, p, i, Use.IMAGE, s.pgd.set_entry(p, i, entry))


# P-06: the variable was written as if it lay in a PGD.
@operation(
    kernel="arch/x86/mm/kaslr.c: init_trampoline_kaslr() before d082d48737c7",
    name="init_trampoline",
)
def init_trampoline_by_set_pgd(s: TopLevel, p: Pgd, i: PgdSlot, t: Pud) -> Step:
    """Store the entry in a variable of the kernel image, by set_pgd()."""
    return _fill_slot(s, p, i, Use.IMAGE, set_pgd(s, p, i, KERNPG_TABLE.but(table=some(t))))
