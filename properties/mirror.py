"""Where the mirror of a top-level write may land.

What it checks: a page that is no PGD is never written as one; a single-page PGD links kernel tables
to low slots, for the kernel alone.
Why it matters: set_pgd() finds the shadow by setting bit 12 of the pointer; if the PGD is a single
page, the mirror overwrites whatever lies beside it.
Kernel precedent: "kaiser: do not set _PAGE_NX on pgd_none", H. Dickins, 5 September 2017;
"x86/kexec: Allocate 8k PGDs for PTI", J. Roedel, 25 July 2018.
Smallest counterexample: a low entry of a single-page PGD, mirrored (kaiser-v2-mirror-beside-single).
Not covered: single pages at odd page numbers, whose mirror is the page itself.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes
from mapproof.model.machine.sorts import Pgd, PgdSlot
from mapproof.model.operations.kaiser import KERNPG_TABLE, Kaiser, PgdUse, Repaired, TableUse


@always
def mirror_safety(s: Kaiser, p: Pgd, i: PgdSlot) -> Bool:
    """A page that is no page table has nothing written into it by set_pgd()."""
    return (s.page_use[p] == PgdUse.OTHER).implies(s.pgd.none(p, i))


@always
def single_pages_link_kernel_tables(s: Repaired, p: Pgd, i: PgdSlot) -> Bool:
    """An entry of a single-page PGD is zero, or links a kernel's table to a low slot, without US."""
    entry = s.pgd.entry(p, i)
    linked = s.user_half[i] & s.pgd.same(entry, KERNPG_TABLE, except_for=("table",))
    kernel = entry.table.is_some & (s.table_use[entry.table.value] == TableUse.KERNEL)
    return (s.page_use[p] == PgdUse.SINGLE).implies(s.pgd.none(p, i) | (linked & kernel))


@sometimes
def single_page_pgd_in_use(s: Kaiser, p: Pgd, i: PgdSlot) -> Bool:
    """A single-page PGD has a low entry."""
    return (s.page_use[p] == PgdUse.SINGLE) & s.user_half[i] & s.pgd.present[p, i]
