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
    Enumeration,
    Fun,
    Map,
    Opt,
    State,
    Step,
    assumption,
    given,
    ite,
    operation,
    some,
)
from ..machine.sorts import Mm, PmdSlot, Pte


class Region(Enumeration):
    """What lies under a kernel PMD entry, in the order of addresses."""

    LOWMEM: Region
    TEXT: Region
    VMALLOC: Region
    LDT: Region
    CPU_ENTRY_AREA: Region


class PaeHalves(State):
    """kernel, user: the entries of a process's two kernel PMD pages; init_kernel, init_user: those of
    init_mm.  on_list: the process is on pgd_list.  ldt: the PTE page of its LDT, history of what
    write_ldt() linked.  table, text_table: the PTE pages that boot links, and the user tables' own of
    the entry text."""

    kernel: Map[tuple[Mm, PmdSlot], Opt[Pte]]
    user: Map[tuple[Mm, PmdSlot], Opt[Pte]]
    init_kernel: Map[PmdSlot, Opt[Pte]]
    init_user: Map[PmdSlot, Opt[Pte]]
    on_list: Map[Mm, Bool]
    ldt: Map[Mm, Opt[Pte]]
    region: Fun[PmdSlot, Region] = given(lambda scope, i: i % 5)
    table: Fun[PmdSlot, Pte] = given(lambda scope, i: i % scope[Pte])
    text_table: Fun[PmdSlot, Pte] = given(lambda scope, i: scope[Pte] - 1)

    def is_in(self, i: PmdSlot, *regions: Region) -> Bool:
        """The entry is of one of these regions."""
        found = FALSE
        for region in regions:
            found = found | (self.region[i] == region)
        return found


@assumption
def one_entry_for_the_ldt(s: PaeHalves, i: PmdSlot, j: PmdSlot) -> Bool:
    """The LDT's addresses are one PMD entry (LDT_BASE_ADDR, pgtable_32_areas.h)."""
    return (s.is_in(i, Region.LDT) & s.is_in(j, Region.LDT)).implies(i == j)


@operation(kernel="arch/x86/mm/pti.c: pti_init(), pti_clone_user_shared() on 32-bit")
def boot(s: PaeHalves) -> Step:
    """Low memory, text and cpu_entry_area are linked; the user tables have copies of the entries of
    cpu_entry_area, and a PTE page of their own for the entry text."""

    def cloned(i: PmdSlot) -> Opt[Pte]:
        text: Opt[Pte] = ite(s.is_in(i, Region.TEXT), some(s.text_table[i]), NONE)
        return ite(s.is_in(i, Region.CPU_ENTRY_AREA), some(s.table[i]), text)

    return Step(
        when=TRUE,
        then=[
            s.init_kernel.fill(
                lambda i: ite(s.is_in(i, Region.VMALLOC, Region.LDT), NONE, some(s.table[i]))
            ),
            s.init_user.fill(cloned),
            s.on_list.fill(lambda m: FALSE),
            s.ldt.fill(lambda m: NONE),
            s.kernel.fill(lambda m, i: NONE),
            s.user.fill(lambda m, i: NONE),
        ],
    )


@operation(kernel="arch/x86/mm/pgtable.c: pgd_alloc(), pgd_prepopulate_user_pmd()")
def pgd_alloc(s: PaeHalves, m: Mm) -> Step:
    """Under pgd_lock, both PMD pages are copied, and the process joins pgd_list."""
    return Step(
        when=~s.on_list[m],
        then=[
            s.kernel.fill(lambda n, i: s.init_kernel[i], lambda n, i: n == m),
            s.user.fill(lambda n, i: s.init_user[i], lambda n, i: n == m),
            s.on_list.set(m, TRUE),
        ],
    )


@operation(kernel="arch/x86/mm/pgtable.c: pgd_free(), pgd_mop_up_pmds()")
def pgd_free(s: PaeHalves, m: Mm) -> Step:
    """The process leaves pgd_list, with its LDT."""
    return Step(when=s.on_list[m], then=[s.on_list.set(m, FALSE), s.ldt.set(m, NONE)])


@operation(kernel="arch/x86/kernel/ldt.c: map_ldt_struct(), map_ldt_struct_to_user() on PAE")
def map_ldt(s: PaeHalves, m: Mm, i: PmdSlot, t: Pte) -> Step:
    """A process's first LDT: its PTE page is linked, and the entry copied to the user tables."""
    return Step(
        when=s.on_list[m] & s.ldt[m].is_none & s.is_in(i, Region.LDT),
        then=[
            s.kernel.set((m, i), some(t)),
            s.user.set((m, i), some(t)),
            s.ldt.set(m, some(t)),
        ],
    )


@operation(kernel="mm/vmalloc.c: vmap_page_range(), pmd_populate_kernel()")
def vmap(s: PaeHalves, i: PmdSlot, t: Pte) -> Step:
    """A PTE page is linked in init_mm."""
    empty = s.init_kernel[i].is_none & s.is_in(i, Region.VMALLOC)
    return Step(when=empty, then=[s.init_kernel.set(i, some(t))])


@operation(kernel="mm/vmalloc.c: vunmap_page_range()")
def vunmap(s: PaeHalves, i: PmdSlot) -> Step:
    """And unlinked."""
    present = s.init_kernel[i].is_some & s.is_in(i, Region.VMALLOC)
    return Step(when=present, then=[s.init_kernel.set(i, NONE)])


def _sync(s: PaeHalves, m: Mm, i: PmdSlot, within: Bool) -> Step:
    """A copy gets init_mm's entry where only one of them is present."""
    differs = s.kernel[m, i].is_some != s.init_kernel[i].is_some
    return Step(
        when=s.on_list[m] & within & differs,
        then=[s.kernel.set((m, i), s.init_kernel[i])],
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
