"""vmalloc and ioremap on x86-64.

The top-level entries of the vmalloc area are allocated at boot and never change, so that all processes
share what lies below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Fun,
    Locals,
    Map,
    Procedure,
    Step,
    assumption,
    forall,
    given,
    operation,
    some,
)
from ..machine.entries import EMPTY, Directory, Entry
from ..machine.geometry import X86_64_4L
from ..machine.sorts import Cpu, Frame, Mm, Pgd, PgdSlot, Pmd, PmdSlot, Pte, PteSlot
from .vmalloc import KERNEL_PAGE, KERNEL_TABLE, Area, Kernel, boot_kernel


class X8664(Kernel):
    """Top-level entries of the vmalloc area: init_pgd is the reference, pgd_of the table of each
    process, preallocated the table page below each slot (PUD and PMD level folded into one)."""

    pgd: Directory[Pgd, PgdSlot, Pmd]
    small_area: Map[tuple[PgdSlot, PmdSlot], Area]
    init_pgd: Fun[tuple[()], Pgd] = given(lambda scope: 0)
    pgd_of: Fun[Mm, Pgd] = given(lambda scope, m: m + 1)
    preallocated: Fun[PgdSlot, Pmd] = given(lambda scope, i: i)

    def reference(self, i: PgdSlot) -> Entry:
        """``init_mm``'s entry."""
        return self.pgd.entry(self.init_pgd[()], i)

    def copy(self, m: Mm, i: PgdSlot) -> Entry:
        """The entry of a process."""
        return self.pgd.entry(self.pgd_of[m], i)

    @classmethod
    def show_element(
        cls, sort: Any, index: int, look: Callable[..., int], scope: Mapping[Any, int]
    ) -> str | None:
        if sort is PgdSlot:
            return f"[{X86_64_4L.pgd_slots(X86_64_4L.region('vmalloc'))[index]}]"
        if sort is Pgd:
            if index == look("init_pgd"):
                return "init_mm's PGD"
            return next(
                (f"PGD of mm{m}" for m in range(scope[Mm]) if look("pgd_of", m) == index), None
            )
        return None


@assumption
def top_level_tables_are_private(s: X8664, m: Mm, n: Mm, i: PgdSlot, k: PgdSlot) -> Bool:
    """Every process has a PGD of its own and init_mm another; each vmalloc slot has a table page of
    its own (preallocate_vmalloc_pages(), arch/x86/mm/init_64.c)."""
    own = (s.pgd_of[m] == s.pgd_of[n]).implies(m == n) & (s.pgd_of[m] != s.init_pgd[()])
    return own & (s.preallocated[i] == s.preallocated[k]).implies(i == k)


@operation(kernel="arch/x86/mm/init_64.c: preallocate_vmalloc_pages()")
def boot_64(s: X8664) -> Step:
    """Every top-level vmalloc entry is linked, in init_mm and in the first process."""

    def linked(p: Pgd, i: PgdSlot) -> Bool:
        return (p == s.init_pgd[()]) | (p == s.pgd_of[s.boot_mm[()]])

    return Step(
        when=TRUE,
        then=[
            *boot_kernel(s),
            *s.pgd.fill_entries(lambda p, i: EMPTY),
            *s.pgd.fill_entries(
                lambda p, i: KERNEL_TABLE.but(table=some(s.preallocated[i])), linked
            ),
            s.small_area.fill(lambda i, k: Area.FREE),
        ],
    )


@operation(kernel="arch/x86/mm/pgtable.c: pgd_ctor(), clone_pgd_range()")
def fork_64(s: X8664, m: Mm) -> Step:
    """Under pgd_lock, copy the kernel half of the top level and join pgd_list."""
    return Step(
        when=~s.on_list[m] & ~s.pgd_lock.now,
        then=[
            *s.pgd.fill_entries(lambda p, i: s.reference(i), lambda p, i: p == s.pgd_of[m]),
            s.on_list.set(m, TRUE),
        ],
    )


@operation(kernel="mm/vmalloc.c: alloc_vmap_area()")
def alloc_vmap_area_64(s: X8664, i: PgdSlot, k: PmdSlot) -> Step:
    """Take a free range."""
    return Step(when=s.small_area[i, k] == Area.FREE, then=[s.small_area.set((i, k), Area.BUSY)])


@operation(kernel="mm/memory.c: __pte_alloc_kernel(), pmd_populate_kernel()")
def pmd_populate_64(s: X8664, i: PgdSlot, k: PmdSlot, t: Pte) -> Step:
    """Link a new PTE page below a preallocated entry: one store, seen by every process."""
    page = s.reference(i).table.value
    ready = (s.small_area[i, k] == Area.BUSY) & s.pmd.none(page, k) & ~s.in_use[t]
    return Step(
        when=ready,
        then=[
            *s.pmd.set_entry(page, k, KERNEL_TABLE.but(table=some(t))),
            *s.pte.fill_entries(lambda u, j: EMPTY, lambda u, j: u == t),
            s.in_use.set(t, TRUE),
        ],
    )


@operation(kernel="mm/vmalloc.c: vmap_pte_range()")
def vmap_pte_64(s: X8664, i: PgdSlot, k: PmdSlot, j: PteSlot, f: Frame) -> Step:
    """Map one page of a range in use."""
    entry = s.pmd.entry(s.reference(i).table.value, k)
    t = entry.table.value
    ready = entry.present & entry.table.is_some & s.pte.none(t, j)
    return Step(
        when=(s.small_area[i, k] == Area.BUSY) & ready,
        then=s.pte.set_entry(t, j, KERNEL_PAGE.but(leaf=some(f))),
    )


@operation(kernel="mm/vmalloc.c: vunmap_page_range(), free_vmap_area_noflush()")
def vunmap_64(s: X8664, i: PgdSlot, k: PmdSlot) -> Step:
    """Unmap a range (a large leaf, or the leaves of a PTE page, which stays) and queue it."""
    page: Pmd = s.reference(i).table.value
    entry = s.pmd.entry(page, k)
    large = entry.leaf.is_some

    def cleared(p: Pmd, slot: PmdSlot) -> Bool:
        return (p == page) & (slot == k) & large

    return Step(
        when=s.small_area[i, k] == Area.BUSY,
        then=[
            *s.pmd.fill_entries(lambda p, slot: EMPTY, cleared),
            *s.pte.fill_entries(
                lambda t, j: EMPTY, lambda t, j: entry.present & (entry.table == t)
            ),
            s.small_area.set((i, k), Area.LAZY),
        ],
    )


@operation(kernel="mm/vmalloc.c: __purge_vmap_area_lazy()")
def purge_64(s: X8664, i: PgdSlot, k: PmdSlot) -> Step:
    """flush_tlb_kernel_range(), and the range is free; there is nothing to synchronise."""
    return Step(when=s.small_area[i, k] == Area.LAZY, then=[s.small_area.set((i, k), Area.FREE)])


class FreePte(Locals):
    """The locals of pmd_free_pte_page() on a CPU."""

    page: Map[Cpu, Pmd]
    slot: Map[Cpu, PmdSlot]
    table: Map[Cpu, Pte]


class X8664Huge(X8664):
    """x86-64 with large leaves put over old PTE pages."""

    free_pte: FreePte


ioremap_huge_64 = Procedure(
    "ioremap_huge",
    kernel="lib/ioremap.c: ioremap_try_huge_pmd(), arch/x86/mm/pgtable.c: pmd_free_pte_page()",
    doc="Put a large leaf over a range whose old PTE page is empty: unlink it, flush, free it.",
)


@ioremap_huge_64.step(to="free_pte_page")
def clear_pmd(s: X8664Huge, cpu: Cpu, i: PgdSlot, k: PmdSlot) -> Step:
    """Unlink the old PTE page, whose leaves are clear."""
    page = s.reference(i).table.value
    entry = s.pmd.entry(page, k)
    t = entry.table.value
    empty = forall(PteSlot, lambda j: s.pte.none(t, j))
    linked = entry.present & entry.table.is_some & empty
    return Step(
        when=(s.small_area[i, k] == Area.BUSY) & linked,
        then=[
            *s.pmd.clear(page, k),
            s.free_pte.page.set(cpu, page),
            s.free_pte.slot.set(cpu, k),
            s.free_pte.table.set(cpu, t),
        ],
    )


@ioremap_huge_64.step
def free_pte_page(s: X8664Huge, cpu: Cpu) -> Step:
    """Flush the paging-structure caches, then free the page."""
    return Step(when=TRUE, then=[s.in_use.set(s.free_pte.table[cpu], FALSE)])


@operation(kernel="arch/x86/mm/pgtable.c: pmd_set_huge()")
def pmd_set_huge_64(s: X8664, i: PgdSlot, k: PmdSlot, f: Frame) -> Step:
    """Map a range in use by one large leaf, if nothing is there."""
    page = s.reference(i).table.value
    return Step(
        when=(s.small_area[i, k] == Area.BUSY) & s.pmd.none(page, k),
        then=s.pmd.set_entry(page, k, KERNEL_PAGE.but(leaf=some(f))),
    )
