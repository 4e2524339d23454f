"""Page table isolation on 32-bit PAE: what the kernel halves of processes share and what they do not.

There is one top-level entry for all kernel addresses, so sharing stops at the PMD page.  Every process
has a kernel PMD page of its own, copied from init_mm's, and another one for its user tables, copied
from init_mm's user tables.  The entry of the LDT is the process's; those of the vmalloc area follow
init_mm's when the purge or a fault synchronises them.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Fun,
    Map,
    Opt,
    Step,
    assumption,
    given,
    ite,
    operation,
    some,
)
from ..machine.entries import EMPTY
from ..machine.sorts import Frame, Mm, Pmd, PmdSlot, Pte
from .pae_tables import PaeTables, Region
from .vmalloc import KERNEL_PAGE, KERNEL_TABLE


class PaeHalves(PaeTables):
    """user, init_user: the entries of the user tables' kernel PMD page, of a process and of init_mm.
    ldt: the PTE page of a process's LDT, history of what write_ldt() linked.  table, text_table: the
    PTE pages that boot links, and the user tables' own of the entry text; at_boot: a page is one."""

    user: Map[tuple[Mm, PmdSlot], Opt[Pte]]
    init_user: Map[PmdSlot, Opt[Pte]]
    ldt: Map[Mm, Opt[Pte]]
    table: Fun[PmdSlot, Pte] = given(lambda scope, i: 0)
    text_table: Fun[PmdSlot, Pte] = given(lambda scope, i: min(1, scope[Pte] - 1))
    at_boot: Fun[Pte, Bool] = given(lambda scope, t: t < 2)


@assumption
def one_entry_for_the_ldt(s: PaeHalves, i: PmdSlot, j: PmdSlot) -> Bool:
    """The LDT's addresses are one PMD entry (LDT_BASE_ADDR, pgtable_32_areas.h)."""
    return (s.is_in(i, Region.LDT) & s.is_in(j, Region.LDT)).implies(i == j)


@assumption
def tables_of_boot_are_known(s: PaeHalves, i: PmdSlot) -> Bool:
    """What boot links is allocated."""
    return s.at_boot[s.table[i]] & s.at_boot[s.text_table[i]]


@operation(kernel="arch/x86/mm/pti.c: pti_init(), pti_clone_user_shared() on 32-bit")
def boot(s: PaeHalves) -> Step:
    """Low memory, text and cpu_entry_area are linked; the user tables have copies of the entries of
    cpu_entry_area, and a PTE page of their own for the entry text.  One process has copies of both."""

    def linked(p: Pmd, i: PmdSlot) -> Bool:
        first = (p == s.init_pmd[()]) | (p == s.pmd_of[s.boot_mm[()]])
        return first & ~s.is_in(i, Region.VMALLOC, Region.LDT)

    def cloned(i: PmdSlot) -> Opt[Pte]:
        text: Opt[Pte] = ite(s.is_in(i, Region.TEXT), some(s.text_table[i]), NONE)
        return ite(s.is_in(i, Region.CPU_ENTRY_AREA), some(s.table[i]), text)

    return Step(
        when=TRUE,
        then=[
            *s.pmd.fill_entries(lambda p, i: EMPTY),
            *s.pmd.fill_entries(lambda p, i: KERNEL_TABLE.but(table=some(s.table[i])), linked),
            s.in_use.fill(lambda t: s.at_boot[t]),
            s.init_user.fill(cloned),
            s.on_list.fill(lambda m: m == s.boot_mm[()]),
            s.ldt.fill(lambda m: NONE),
            s.user.fill(lambda m, i: cloned(i)),
        ],
    )


@operation(kernel="arch/x86/mm/pgtable.c: pgd_alloc(), pgd_prepopulate_user_pmd()")
def pgd_alloc(s: PaeHalves, m: Mm) -> Step:
    """Under pgd_lock, both PMD pages are copied, and the process joins pgd_list."""
    return Step(
        when=~s.on_list[m],
        then=[
            *s.pmd.fill_entries(lambda p, i: s.reference(i), lambda p, i: p == s.pmd_of[m]),
            s.user.fill(lambda n, i: s.init_user[i], lambda n, i: n == m),
            s.on_list.set(m, TRUE),
        ],
    )


@operation(
    kernel="arch/x86/kernel/ldt.c: free_ldt_pgtables(); arch/x86/mm/pgtable.c: pgd_free(), "
    "pgd_mop_up_pmds()"
)
def pgd_free(s: PaeHalves, m: Mm) -> Step:
    """The PTE page of the LDT is unlinked and freed, and the process leaves pgd_list."""
    t = s.ldt[m]

    def here(p: Pmd, i: PmdSlot) -> Bool:
        return (p == s.pmd_of[m]) & s.is_in(i, Region.LDT)

    return Step(
        when=s.on_list[m],
        then=[
            *s.pmd.fill_entries(lambda p, i: EMPTY, here),
            s.in_use.fill(lambda u: FALSE, lambda u: t == some(u)),
            s.ldt.set(m, NONE),
            s.on_list.set(m, FALSE),
        ],
    )


@operation(kernel="arch/x86/kernel/ldt.c: map_ldt_struct(), map_ldt_struct_to_user() on PAE")
def map_ldt(s: PaeHalves, m: Mm, i: PmdSlot, t: Pte) -> Step:
    """A process's first LDT: its PTE page is linked, and the entry copied to the user tables."""
    return Step(
        when=s.on_list[m] & s.ldt[m].is_none & s.is_in(i, Region.LDT) & ~s.in_use[t],
        then=[
            *s.pmd.set_entry(s.pmd_of[m], i, KERNEL_TABLE.but(table=some(t))),
            s.user.set((m, i), some(t)),
            s.ldt.set(m, some(t)),
            s.in_use.set(t, TRUE),
        ],
    )


# The vmalloc area in short: one large page for each entry (vmalloc_pae has it in full).


@operation(kernel="lib/ioremap.c: ioremap_page_range(), pmd_set_huge()")
def vmap(s: PaeHalves, i: PmdSlot, f: Frame) -> Step:
    """A large page is mapped in init_mm."""
    empty = s.pmd.none(s.init_pmd[()], i) & s.is_vmalloc(i)
    leaf = KERNEL_PAGE.but(leaf=some(f))
    return Step(when=empty, then=s.pmd.set_entry(s.init_pmd[()], i, leaf))


@operation(kernel="mm/vmalloc.c: vunmap_page_range()")
def vunmap(s: PaeHalves, i: PmdSlot) -> Step:
    """And unmapped."""
    present = s.reference(i).present & s.is_vmalloc(i)
    return Step(when=present, then=s.pmd.clear(s.init_pmd[()], i))


def _sync(s: PaeHalves, m: Mm, i: PmdSlot, within: Bool) -> Step:
    """A copy gets init_mm's entry where only one of them is present."""
    differs = s.copy(m, i).present != s.reference(i).present
    return Step(
        when=s.on_list[m] & within & differs,
        then=s.pmd.set_entry(s.pmd_of[m], i, s.reference(i)),
    )


@operation(kernel="arch/x86/mm/fault.c: vmalloc_sync_one(), up to VMALLOC_END")
def vmalloc_sync_one(s: PaeHalves, m: Mm, i: PmdSlot) -> Step:
    """The walk over pgd_list synchronises the vmalloc area."""
    return _sync(s, m, i, s.is_in(i, Region.VMALLOC))


# V-04: the loop went on to the end of the address space.
@operation(
    kernel="arch/x86/mm/fault.c: vmalloc_sync_all() before 9a62d20027da, up to FIXADDR_TOP",
    name="vmalloc_sync_one",
)
def vmalloc_sync_too_far(s: PaeHalves, m: Mm, i: PmdSlot) -> Step:
    """The walk over pgd_list synchronises everything from VMALLOC_START on."""
    return _sync(s, m, i, s.is_in(i, Region.VMALLOC, Region.LDT, Region.CPU_ENTRY_AREA))
