"""KAISER's shadow tables of kernel addresses: when their pages are allocated, linked and freed.

kaiser_add_mapping() allocates the tables that it needs.  kaiser_remove_mapping() clears entries; the
first version also freed a table that became empty.  One level of tables is enough for the argument:
PMD entries of the shadow, shared by all processes, and the PTE pages below.
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
    Step,
    forall,
    given,
    ite,
    operation,
    some,
)
from ..machine.psc import PmdCache
from ..machine.sorts import Cpu, PmdSlot, Pte, PteSlot, Va


class PageUse(Enumeration):
    """What a page is used for: free, a table of the shadow, or somebody else's data."""

    FREE: PageUse
    TABLE: PageUse
    DATA: PageUse


class ShadowTables(PmdCache):
    """link: the PMD entries; mapped: the present PTEs; of a page that is no table, the words of it
    that would be read as such."""

    link: Map[PmdSlot, Opt[Pte]]
    mapped: Map[tuple[Pte, PteSlot], Bool]
    use: Map[Pte, PageUse]
    pmd_index: Fun[Va, PmdSlot] = given(lambda scope, va: va % scope[PmdSlot])
    pte_index: Fun[Va, PteSlot] = given(lambda scope, va: va // scope[PmdSlot] % scope[PteSlot])


@operation(kernel="arch/x86/mm/kaiser.c: kaiser_init()")
def boot(s: ShadowTables) -> Step:
    """The shadow is empty."""
    return Step(
        when=TRUE,
        then=[
            s.link.fill(lambda i: NONE),
            s.mapped.fill(lambda t, j: FALSE),
            s.use.fill(lambda t: PageUse.FREE),
            s.pmd_cache.fill(lambda cpu, i: NONE),
        ],
    )


@operation(kernel="mm/page_alloc.c: __get_free_page()")
def allocate(s: ShadowTables, t: Pte) -> Step:
    """Somebody takes a free page for data."""
    return Step(when=s.use[t] == PageUse.FREE, then=[s.use.set(t, PageUse.DATA)])


@operation(kernel="any user of the page")
def write(s: ShadowTables, t: Pte, j: PteSlot) -> Step:
    """He writes his data."""
    return Step(when=s.use[t] == PageUse.DATA, then=[s.mapped.set((t, j), TRUE)])


@operation(kernel="mm/page_alloc.c: free_page()")
def free(s: ShadowTables, t: Pte) -> Step:
    """He gives the page back, as it is."""
    return Step(when=s.use[t] == PageUse.DATA, then=[s.use.set(t, PageUse.FREE)])


@operation(kernel="arch/x86/mm/kaiser.c: kaiser_pagetable_walk()")
def add_table(s: ShadowTables, va: Va, t: Pte) -> Step:
    """A zeroed page is linked, under shadow_table_allocation_lock."""
    i = s.pmd_index[va]
    return Step(
        when=s.link[i].is_none & (s.use[t] == PageUse.FREE),
        then=[
            s.link.set(i, some(t)),
            s.use.set(t, PageUse.TABLE),
            s.mapped.fill(lambda p, j: FALSE, lambda p, j: p == t),
        ],
    )


@operation(kernel="arch/x86/mm/kaiser.c: kaiser_add_user_map()")
def add_mapping(s: ShadowTables, va: Va) -> Step:
    """An empty PTE is set."""
    table, j = s.link[s.pmd_index[va]], s.pte_index[va]
    empty = table.is_some & ~s.mapped[table.value, j]
    return Step(when=empty, then=[s.mapped.set((table.value, j), TRUE)])


@operation(kernel="arch/x86/mm/kaiser.c: kaiser_remove_mapping(), unmap_pud_range_nofree()")
def remove_mapping(s: ShadowTables, va: Va) -> Step:
    """A PTE is cleared; its page stays linked for good."""
    table, j = s.link[s.pmd_index[va]], s.pte_index[va]
    present = table.is_some & s.mapped[table.value, j]
    return Step(when=present, then=[s.mapped.set((table.value, j), FALSE)])


# K-07: emptied pages were freed, and no CPU was told.
@operation(
    kernel="arch/x86/mm/kaiser.c: kaiser_remove_mapping(), unmap_pud_range()",
    name="remove_mapping",
)
def remove_mapping_and_table(s: ShadowTables, va: Va) -> Step:
    """A PTE is cleared; if its page is empty now, it is unlinked and freed."""
    i, j = s.pmd_index[va], s.pte_index[va]
    table = s.link[i]
    present = table.is_some & s.mapped[table.value, j]
    empty = forall(PteSlot, lambda k: (k == j) | ~s.mapped[table.value, k])
    return Step(
        when=present,
        then=[
            s.mapped.set((table.value, j), FALSE),
            s.link.set(i, ite(empty, NONE, table)),
            s.use.set(table.value, ite(empty, PageUse.FREE, PageUse.TABLE)),
        ],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.3: caches for paging structures")
def fill_pmd_cache(s: ShadowTables, cpu: Cpu, i: PmdSlot) -> Step:
    """The CPU remembers which page a PMD entry leads to."""
    return Step(when=s.link[i].is_some, then=[s.pmd_cache.set((cpu, i), some(s.link[i].value))])
