"""Synchronisation of the vmalloc area: 32-bit PAE before and after July 2019."""

from __future__ import annotations

from ..language import Bool, Design, always
from ..machine.sorts import Cpu, Frame, Mm, Pmd, PmdSlot, Pte, PteSlot
from ..operations import vmalloc as kernel
from ..operations import vmalloc_pae as op
from ..operations.pae_tables import pmd_pages_are_private
from ..operations.vmalloc import Area
from ..operations.vmalloc_pae import Pae, SharedPae, VmallocPae


@always
def only_small_pages_survive_unmapping(s: VmallocPae, i: PmdSlot) -> Bool:
    """The reference's entry of a range that is not in use is empty or leads to a PTE page."""
    entry = s.reference(i)
    small = ~entry.present | (entry.table.is_some & entry.leaf.is_none)
    return (s.area[i] != Area.BUSY).implies(small)


@always
def lazy_copies_agree_or_the_reference_is_absent(s: VmallocPae, m: Mm, i: PmdSlot) -> Bool:
    """A copy can only be stale where the reference's entry is gone."""
    copy, reference = s.copy(m, i), s.reference(i)
    both = s.on_list[m] & s.is_vmalloc(i) & copy.present & reference.present
    return both.implies(s.pmd.same(copy, reference))


@always
def purge_holds_pgd_lock(s: VmallocPae, cpu: Cpu) -> Bool:
    """A CPU that walks pgd_list holds pgd_lock, for a range on the purge list."""
    purging = op.purge_with_sync.steps
    walking = op.purge_with_sync.at(s, cpu, purging[1])
    freeing = op.purge_with_sync.at(s, cpu, purging[3])
    lazy = s.area[s.purge.slot[cpu]] == Area.LAZY
    return walking.implies(s.pgd_lock.now) & (walking | freeing).implies(lazy)


@always
def visited_copies_are_synced(s: VmallocPae, cpu: Cpu, m: Mm) -> Bool:
    """What a purge has visited has an entry if the reference has one; at the end that is everyone."""
    i = s.purge.slot[cpu]
    purging = op.purge_with_sync.steps
    walking = op.purge_with_sync.at(s, cpu, purging[1]) & s.purge.visited[cpu, m]
    freeing = op.purge_with_sync.at(s, cpu, purging[3])
    synced = s.on_list[m].implies(s.copy(m, i).present == s.reference(i).present)
    return (walking | freeing).implies(synced)


@always
def purges_take_turns(s: VmallocPae, a: Cpu, b: Cpu) -> Bool:
    """A CPU that purges holds vmap_purge_lock, alone."""
    both = ~op.purge_with_sync.idle(s, a) & ~op.purge_with_sync.idle(s, b)
    held = (~op.purge_with_sync.idle(s, a)).implies(s.vmap_purge_lock.now)
    return held & both.implies(a == b)


PAE_LEMMAS = (
    only_small_pages_survive_unmapping,
    lazy_copies_agree_or_the_reference_is_absent,
    purge_holds_pgd_lock,
    visited_copies_are_synced,
    purges_take_turns,
)

vmalloc_pae_2019 = Design(
    name="vmalloc-pae-2019",
    state=Pae,
    init=op.boot_pae,
    operations=[
        op.fork,
        kernel.exit_mm,
        kernel.switch_mm,
        op.alloc_vmap_area,
        op.ioremap_huge,
        op.pmd_populate,
        op.vmap_pte,
        op.vunmap,
        op.vmalloc_fault,
    ],
    procedures=[op.purge_with_sync],
    lemmas=PAE_LEMMAS,
    assumptions=[pmd_pages_are_private],
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
    lemmas=(),
)

vmalloc_pae_free_pte_page = vmalloc_pae_2019.replacing(
    op.ioremap_huge,
    op.ioremap_huge_over_table,
    name="vmalloc-pae-free-pte-page",
    doc="""vmalloc-pae-2019, but a large page may take the place of a PTE page, which is freed while
other processes have entries that lead to it (defect V-09).""",
).but(name="vmalloc-pae-free-pte-page", lemmas=())

vmalloc_pae_sync_2018 = vmalloc_pae_2019.replacing(
    op.purge_with_sync,
    op.purge_with_sync_of_2018,
    name="vmalloc-pae-sync-2018",
    doc="""vmalloc-pae-2019, but the purge calls vmalloc_sync_all() as it was in 2018: only additions are
pushed, and the loop over pgd_list ends where init_mm has no entry (defects V-01, V-02).""",
)

vmalloc_pae_shared_2019 = vmalloc_pae_2019.but(
    name="vmalloc-pae-shared-2019",
    state=SharedPae,
    operations=[o for o in vmalloc_pae_2019.operations if o is not op.vmalloc_fault],
    assumptions=[op.pmd_page_is_shared],
    scope={**vmalloc_pae_2019.scope, Pmd: 1},
    doc="""32-bit PAE without page table isolation: the purge of vmalloc-pae-2019 over one kernel PMD
page, so that each process is found equal to init_mm and there is no fault to repair.  (The kernel does
not even look: SHARED_KERNEL_PMD ends vmalloc_sync_all() at once, and pgd_list is empty.)""",
    source="arch/x86/include/asm/pgtable-3level_types.h, SHARED_KERNEL_PMD",
)

vmalloc_pae_shared_2018 = vmalloc_pae_shared_2019.replacing(
    op.purge_with_sync,
    op.purge_with_sync_of_2018,
    name="vmalloc-pae-shared-2018",
    doc="""vmalloc-pae-shared-2019 with the sync of vmalloc-pae-sync-2018: over one PMD page it does as
well as the other.""",
)
