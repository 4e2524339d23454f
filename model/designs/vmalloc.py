"""Synchronisation of the vmalloc area: 32-bit PAE before and after July 2019, and x86-64."""

from __future__ import annotations

from ..language import Bool, Design, always
from ..machine.sorts import Cpu, Frame, Mm, Pgd, PgdSlot, Pmd, PmdSlot, Pte, PteSlot
from ..operations import vmalloc as op
from ..operations.vmalloc import X8664, Area, Pae, X8664Huge

# Lemmas for PAE.


@always
def copies_of_used_areas_come_from_the_reference(s: Pae, m: Mm, i: PmdSlot) -> Bool:
    """While a range is in use or free, a present copy is the reference's entry."""
    copy = s.copy(m, i)
    settled = s.on_list[m] & (s.area[i] != Area.LAZY) & copy.present
    return settled.implies(s.pmd.same(copy, s.reference(i)))


@always
def only_small_pages_survive_unmapping(s: Pae, i: PmdSlot) -> Bool:
    """The reference's entry of a range that is not in use is empty or leads to a PTE page."""
    entry = s.reference(i)
    small = ~entry.present | (entry.table.is_some & entry.leaf.is_none)
    return (s.area[i] != Area.BUSY).implies(small)


@always
def lazy_copies_agree_or_the_reference_is_absent(s: Pae, m: Mm, i: PmdSlot) -> Bool:
    """A copy can only be stale where the reference's entry is gone."""
    copy, reference = s.copy(m, i), s.reference(i)
    both = s.on_list[m] & copy.present & reference.present
    return both.implies(s.pmd.same(copy, reference))


@always
def purge_holds_pgd_lock(s: Pae, cpu: Cpu) -> Bool:
    """A CPU that walks pgd_list holds pgd_lock, for a range on the purge list."""
    purging = op.purge_with_sync.steps
    walking = op.purge_with_sync.at(s, cpu, purging[1])
    freeing = op.purge_with_sync.at(s, cpu, purging[3])
    lazy = s.area[s.purge.slot[cpu]] == Area.LAZY
    return walking.implies(s.pgd_lock.now) & (walking | freeing).implies(lazy)


@always
def visited_copies_are_synced(s: Pae, cpu: Cpu, m: Mm) -> Bool:
    """What a purge has visited has an entry if the reference has one; at the end that is everyone."""
    i = s.purge.slot[cpu]
    purging = op.purge_with_sync.steps
    walking = op.purge_with_sync.at(s, cpu, purging[1]) & s.purge.visited[cpu, m]
    freeing = op.purge_with_sync.at(s, cpu, purging[3])
    synced = s.on_list[m].implies(s.copy(m, i).present == s.reference(i).present)
    return (walking | freeing).implies(synced)


@always
def purges_take_turns(s: Pae, a: Cpu, b: Cpu) -> Bool:
    """A CPU that purges holds vmap_purge_lock, alone."""
    both = ~op.purge_with_sync.idle(s, a) & ~op.purge_with_sync.idle(s, b)
    held = (~op.purge_with_sync.idle(s, a)).implies(s.vmap_purge_lock.now)
    return held & both.implies(a == b)


@always
def linked_tables_are_in_use(s: Pae, p: Pmd, i: PmdSlot) -> Bool:
    """A PTE page that an entry leads to is allocated."""
    entry = s.pmd.entry(p, i)
    return (entry.present & entry.table.is_some).implies(s.in_use[entry.table.value])


@always
def pgd_lock_is_held_within_a_purge(s: Pae, cpu: Cpu) -> Bool:
    """pgd_lock is held under vmap_purge_lock, and not any more by a CPU that is to free its range."""
    freeing = op.purge_with_sync.at(s, cpu, op.purge_with_sync.steps[3])
    return s.pgd_lock.now.implies(s.vmap_purge_lock.now & ~freeing)


PAE_LEMMAS = (
    copies_of_used_areas_come_from_the_reference,
    only_small_pages_survive_unmapping,
    lazy_copies_agree_or_the_reference_is_absent,
    purge_holds_pgd_lock,
    visited_copies_are_synced,
    purges_take_turns,
    linked_tables_are_in_use,
    pgd_lock_is_held_within_a_purge,
)

vmalloc_pae_2019 = Design(
    name="vmalloc-pae-2019",
    state=Pae,
    init=op.boot_pae,
    operations=[
        op.fork,
        op.exit_mm,
        op.switch_mm,
        op.alloc_vmap_area,
        op.ioremap_huge,
        op.pmd_populate,
        op.vmap_pte,
        op.vunmap,
        op.vmalloc_fault,
    ],
    procedures=[op.purge_with_sync],
    lemmas=PAE_LEMMAS,
    assumptions=[op.pmd_pages_are_private],
    scope={
        Mm: 2,
        Cpu: 2,
        PmdSlot: 1,
        Pte: 1,
        PteSlot: 1,
        Frame: 2,
        Pmd: lambda sizes: sizes[Mm] + 1,
    },
    geometry="i386-pae",
    doc="""32-bit PAE with unshared kernel PMDs, as repaired in July 2019: the purge pushes removals to
every process on pgd_list before a range becomes free again; additions are pulled in by faults.""",
    source="8e998fc24de4, 3f8fd02b1bf1 (J. Roedel, 19 July 2019)",
)

vmalloc_pae_break_early = vmalloc_pae_2019.replacing(
    op.purge_with_sync,
    op.purge_breaking_early,
    name="vmalloc-pae-break-early",
    doc="""The repair without the part that keeps the loop over pgd_list from ending at the first
process when init_mm's entry is absent (defect V-02 alone).""",
)

vmalloc_pae_additions_only = vmalloc_pae_2019.replacing(
    op.purge_with_sync,
    op.vmalloc_sync_all,
    name="vmalloc-pae-additions-only",
    doc="""32-bit PAE before July 2019: only additions are synchronised, and the purge pushes nothing
(defects V-01, V-02).""",
)
vmalloc_pae_additions_only = vmalloc_pae_additions_only.but(
    name=vmalloc_pae_additions_only.name,
    operations=[*vmalloc_pae_2019.operations, op.purge_without_sync],
    lemmas=(linked_tables_are_in_use,),
)

# Lemmas for x86-64.


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
        op.exit_mm,
        op.switch_mm,
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
