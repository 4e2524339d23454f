"""The vmalloc area of x86-64, whose top-level entries are preallocated."""

from __future__ import annotations

from ..language import Bool, Design, always
from ..machine.sorts import Cpu, Frame, Mm, Pgd, PgdSlot, Pmd, PmdSlot, Pte, PteSlot
from ..operations import vmalloc as kernel
from ..operations import vmalloc_x86_64 as op
from ..operations.vmalloc_x86_64 import X8664, X8664Huge


@always
def top_level_is_linked(s: X8664, m: Mm, i: PgdSlot) -> Bool:
    """Top-level vmalloc entries lead to the preallocated tables, in init_mm and in every process."""
    reference, copy = s.reference(i), s.copy(m, i)
    table = s.preallocated[i]
    return (reference.present & (reference.table == table)) & (
        s.on_list[m].implies(s.pgd.same(copy, reference))
    )


@always
def linked_tables_are_in_use_64(s: X8664, p: Pmd, k: PmdSlot) -> Bool:
    """A PTE page that an entry leads to is allocated."""
    entry = s.pmd.entry(p, k)
    return (entry.present & entry.table.is_some).implies(s.in_use[entry.table.value])


@always
def tables_are_linked_once(s: X8664, p: Pmd, k: PmdSlot, q: Pmd, n: PmdSlot) -> Bool:
    """No two entries lead to one PTE page."""
    a, b = s.pmd.entry(p, k), s.pmd.entry(q, n)
    small = a.present & b.present & a.table.is_some & b.table.is_some
    same: Bool = a.table.value == b.table.value
    return (small & same).implies((p == q) & (k == n))


@always
def pages_to_free_are_unlinked(s: X8664Huge, cpu: Cpu, p: Pmd, k: PmdSlot) -> Bool:
    """The PTE page that a CPU is about to free is allocated and linked nowhere."""
    freeing = ~op.ioremap_huge_64.idle(s, cpu)
    entry, t = s.pmd.entry(p, k), s.free_pte.table[cpu]
    linked = entry.present & entry.table.is_some & (entry.table.value == t)
    return freeing.implies(~linked & s.in_use[t])


@always
def pages_are_freed_once(s: X8664Huge, a: Cpu, b: Cpu) -> Bool:
    """Two CPUs never free one PTE page."""
    both = ~op.ioremap_huge_64.idle(s, a) & ~op.ioremap_huge_64.idle(s, b)
    return (both & (s.free_pte.table[a] == s.free_pte.table[b])).implies(a == b)


@always
def pages_to_free_are_empty(s: X8664Huge, cpu: Cpu, j: PteSlot) -> Bool:
    """The PTE page that a CPU is about to free has no entry."""
    return (~op.ioremap_huge_64.idle(s, cpu)).implies(s.pte.none(s.free_pte.table[cpu], j))


@always
def pgd_lock_is_free(s: X8664) -> Bool:
    """Nobody walks pgd_list."""
    return ~s.pgd_lock.now


vmalloc_x86_64 = Design(
    name="vmalloc-x86-64",
    state=X8664Huge,
    init=op.boot_64,
    operations=[
        op.fork_64,
        kernel.exit_mm,
        kernel.switch_mm,
        op.alloc_vmap_area_64,
        op.pmd_populate_64,
        op.vmap_pte_64,
        op.pmd_set_huge_64,
        op.vunmap_64,
        op.purge_64,
    ],
    procedures=[op.ioremap_huge_64],
    lemmas=[
        top_level_is_linked,
        linked_tables_are_in_use_64,
        tables_are_linked_once,
        pages_to_free_are_unlinked,
        pages_are_freed_once,
        pages_to_free_are_empty,
        pgd_lock_is_free,
    ],
    assumptions=[op.top_level_tables_are_private],
    scope={
        Mm: 2,
        Cpu: 1,
        PgdSlot: 1,
        PmdSlot: 2,
        Pte: 2,
        PteSlot: 1,
        Frame: 1,
        Pgd: lambda sizes: sizes[Mm] + 1,
        Pmd: lambda sizes: sizes[PgdSlot],
    },
    doc="""x86-64: top-level vmalloc entries are preallocated at boot and never deleted, so every
process shares what lies below and there is nothing to synchronise.""",
    source="J. Roedel, 19 July 2019, on 'mm/vmalloc: Sync unmappings in vunmap_page_range()'",
)
