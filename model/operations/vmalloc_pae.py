"""vmalloc and ioremap on 32-bit PAE with unshared kernel PMDs.

With page table isolation every process has a kernel PMD page of its own, a copy of ``init_mm``'s.
Additions reach a copy when a fault pulls them in (``vmalloc_fault()``); a stale entry never faults, so
removals must be pushed before the address is used again.  An area here is the range of one PMD entry.
Without isolation all processes share one kernel PMD page, so that there is nothing to push or to pull.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    TRUE,
    Bool,
    Fun,
    Locals,
    Map,
    Procedure,
    Step,
    Update,
    Var,
    assumption,
    forall,
    given,
    operation,
    some,
)
from ..machine.entries import EMPTY, Entry
from ..machine.sorts import Cpu, Frame, Mm, Pmd, PmdSlot, Pte, PteSlot
from .pae_tables import PaeTables, Region
from .vmalloc import KERNEL_PAGE, KERNEL_TABLE, Area, Kernel, boot_kernel


class Purge(Locals):
    """The locals of a purge or sync that a CPU is in: the area, and the processes it has visited."""

    slot: Map[Cpu, PmdSlot]
    visited: Map[tuple[Cpu, Mm], Bool]


class VmallocPae(PaeTables, Kernel):
    """area: of each range of the vmalloc area.  vmap_purge_lock: the mutex that makes purges take
    turns."""

    area: Map[PmdSlot, Area]
    vmap_purge_lock: Var[Bool]
    purge: Purge


class Pae(VmallocPae):
    """Every process has a kernel PMD page of its own."""


class SharedPae(VmallocPae):
    """There is one kernel PMD page, init_mm's, to which the top-level entry of every process leads."""

    pmd_of: Fun[Mm, Pmd] = given(lambda scope, m: 0)


@assumption
def pmd_page_is_shared(s: SharedPae, m: Mm) -> Bool:
    """The kernel PMD page of a process is init_mm's (SHARED_KERNEL_PMD is 1)."""
    return s.pmd_of[m] == s.init_pmd[()]


@operation(kernel="arch/x86/mm/init_32.c: paging_init()")
def boot_pae(s: VmallocPae) -> Step:
    """The vmalloc area is free and unmapped."""
    free = [s.area.fill(lambda i: Area.FREE), s.vmap_purge_lock.become(FALSE)]
    return Step(when=TRUE, then=[*boot_kernel(s), *free])


@operation(kernel="arch/x86/mm/pgtable.c: pgd_ctor(), pgd_prepopulate_pmd()")
def fork(s: VmallocPae, m: Mm) -> Step:
    """Under pgd_lock, copy the kernel's PMD entries and join pgd_list."""

    def copied(p: Pmd, i: PmdSlot) -> Entry:
        return s.reference(i)

    return Step(
        when=~s.on_list[m] & ~s.pgd_lock.now,
        then=[
            *s.pmd.fill_entries(copied, lambda p, i: p == s.pmd_of[m]),
            s.on_list.set(m, TRUE),
        ],
    )


@operation(kernel="mm/vmalloc.c: alloc_vmap_area()")
def alloc_vmap_area(s: VmallocPae, i: PmdSlot) -> Step:
    """Take a free range."""
    return Step(when=s.is_vmalloc(i) & (s.area[i] == Area.FREE), then=[s.area.set(i, Area.BUSY)])


@operation(kernel="lib/ioremap.c: ioremap_try_huge_pmd(), pmd_set_huge()")
def ioremap_huge(s: VmallocPae, i: PmdSlot, f: Frame) -> Step:
    """Map a range in use by one large leaf, in the reference tables only."""
    empty = s.pmd.none(s.init_pmd[()], i)
    leaf = KERNEL_PAGE.but(leaf=some(f))
    return Step(
        when=(s.area[i] == Area.BUSY) & empty, then=s.pmd.set_entry(s.init_pmd[()], i, leaf)
    )


# V-09: what x86-64 does, on tables that are not shared.
@operation(
    kernel="lib/ioremap.c: ioremap_try_huge_pmd(), arch/x86/mm/pgtable.c: pmd_free_pte_page()",
    name="ioremap_huge",
)
def ioremap_huge_over_table(s: VmallocPae, i: PmdSlot, f: Frame) -> Step:
    """Map a range in use by one large leaf, in the reference tables; a PTE page that is there, and
    empty, is unlinked there, flushed, and freed."""
    entry = s.reference(i)
    table = entry.present & entry.table.is_some
    clear = forall(PteSlot, lambda j: s.pte.none(entry.table.value, j))
    ready = s.pmd.none(s.init_pmd[()], i) | (table & clear)
    return Step(
        when=(s.area[i] == Area.BUSY) & ready,
        then=[
            *s.pmd.set_entry(s.init_pmd[()], i, KERNEL_PAGE.but(leaf=some(f))),
            s.in_use.fill(lambda t: FALSE, lambda t: table & (entry.table == t)),
        ],
    )


@operation(kernel="mm/memory.c: __pte_alloc_kernel(), pmd_populate_kernel()")
def pmd_populate(s: VmallocPae, i: PmdSlot, t: Pte) -> Step:
    """Link a new PTE page for a range in use, in the reference tables only."""
    empty = s.pmd.none(s.init_pmd[()], i)
    return Step(
        when=(s.area[i] == Area.BUSY) & empty & ~s.in_use[t],
        then=[
            *s.pmd.set_entry(s.init_pmd[()], i, KERNEL_TABLE.but(table=some(t))),
            s.in_use.set(t, TRUE),
        ],
    )


@operation(kernel="mm/vmalloc.c: vmap_pte_range()")
def vmap_pte(s: VmallocPae, i: PmdSlot, j: PteSlot, f: Frame) -> Step:
    """Map one page of a range in use."""
    entry = s.reference(i)
    t = entry.table.value
    ready = entry.present & entry.table.is_some & s.pte.none(t, j)
    leaf = KERNEL_PAGE.but(leaf=some(f))
    return Step(when=(s.area[i] == Area.BUSY) & ready, then=s.pte.set_entry(t, j, leaf))


@operation(kernel="mm/vmalloc.c: vunmap_page_range(), free_vmap_area_noflush()")
def vunmap(s: VmallocPae, i: PmdSlot) -> Step:
    """Unmap a range in the reference tables (a large leaf, or the leaves of a PTE page, which stays)
    and queue it for the purge."""
    entry = s.reference(i)
    large = entry.leaf.is_some

    def cleared(p: Pmd, k: PmdSlot) -> Bool:
        return (p == s.init_pmd[()]) & (k == i) & large

    def below(t: Pte, j: PteSlot) -> Bool:
        return entry.present & (entry.table == t)

    return Step(
        when=s.area[i] == Area.BUSY,
        then=[
            *s.pmd.fill_entries(lambda p, k: EMPTY, cleared),
            *s.pte.fill_entries(lambda t, j: EMPTY, below),
            s.area.set(i, Area.LAZY),
        ],
    )


@operation(kernel="arch/x86/mm/fault.c: vmalloc_fault()")
def vmalloc_fault(s: VmallocPae, cpu: Cpu, i: PmdSlot) -> Step:
    """A CPU touches a range that its tables lack and init_mm has: the entry is pulled in."""
    m = s.loaded_mm[cpu]
    missing = s.is_vmalloc(i) & ~s.copy(m, i).present & s.reference(i).present
    return Step(when=missing, then=s.pmd.set_entry(s.pmd_of[m], i, s.reference(i)))


@operation(kernel="mm/vmalloc.c: __purge_vmap_area_lazy() before 3f8fd02b1bf1")
def purge_without_sync(s: VmallocPae, i: PmdSlot) -> Step:
    """The range becomes free again; only the TLB was flushed."""
    return Step(when=s.area[i] == Area.LAZY, then=[s.area.set(i, Area.FREE)])


def _may_sync(s: VmallocPae, cpu: Cpu, m: Mm) -> Bool:
    return s.on_list[m] & ~s.purge.visited[cpu, m]


def _visit(s: VmallocPae, cpu: Cpu, m: Mm) -> Update:
    return s.purge.visited.set((cpu, m), TRUE)


def _all_visited(s: VmallocPae, cpu: Cpu) -> Bool:
    return forall(Mm, lambda m: s.on_list[m].implies(s.purge.visited[cpu, m]))


def _start(s: VmallocPae, cpu: Cpu, i: PmdSlot) -> list[Update]:
    """``spin_lock(&pgd_lock)``, at the head of the list."""
    return [
        s.pgd_lock.become(TRUE),
        s.purge.slot.set(cpu, i),
        s.purge.visited.fill(lambda c, m: FALSE, lambda c, m: c == cpu),
    ]


def _sync_one(s: VmallocPae, cpu: Cpu, m: Mm, *, adds_only: bool) -> list[Update]:
    """vmalloc_sync_one(): where presence differs, take over the reference entry; since 8e998fc24de4 its
    absence, too."""
    i = s.purge.slot[cpu]
    copy, reference = s.copy(m, i), s.reference(i)
    differs = copy.present != reference.present
    if adds_only:
        differs = differs & reference.present

    def here(p: Pmd, k: PmdSlot) -> Bool:
        return (p == s.pmd_of[m]) & (k == i) & differs

    return s.pmd.fill_entries(lambda p, k: reference, here)


def _purge(
    *, breaks_early: bool = False, adds_only: bool = False, goes_too_far: bool = False
) -> Procedure:
    """The purge since 3f8fd02b1bf1: push to all processes, flush, then free the range.  adds_only:
    absence is not pushed.  goes_too_far: entries behind the vmalloc area are pushed as well."""
    procedure = Procedure(
        "purge_vmap_area_lazy",
        kernel="mm/vmalloc.c: __purge_vmap_area_lazy(), arch/x86/mm/fault.c: vmalloc_sync_all()",
        doc="Push the removal to every process on pgd_list, flush, then free the range.",
    )

    def lock(s: VmallocPae, cpu: Cpu, i: PmdSlot) -> Step:
        """Under vmap_purge_lock, take pgd_lock to walk pgd_list for a range on the purge list."""
        unlocked = ~s.vmap_purge_lock.now & ~s.pgd_lock.now
        behind = s.is_in(i, Region.LDT, Region.CPU_ENTRY_AREA) if goes_too_far else FALSE
        return Step(
            when=((s.area[i] == Area.LAZY) | behind) & unlocked,
            then=[s.vmap_purge_lock.become(TRUE), *_start(s, cpu, i)],
        )

    def sync_one(s: VmallocPae, cpu: Cpu, m: Mm) -> Step:
        """The next process on the list."""
        ends = ~s.reference(s.purge.slot[cpu]).present
        more = TRUE if not breaks_early else ~(_visited_any(s, cpu) & ends)
        then = [*_sync_one(s, cpu, m, adds_only=adds_only), _visit(s, cpu, m)]
        return Step(when=_may_sync(s, cpu, m) & more, then=then)

    def unlock(s: VmallocPae, cpu: Cpu) -> Step:
        """The end of the list (or of the loop)."""
        absent = ~s.reference(s.purge.slot[cpu]).present
        early = _visited_any(s, cpu) & absent if breaks_early else FALSE
        return Step(when=_all_visited(s, cpu) | early, then=[s.pgd_lock.become(FALSE)])

    def free(s: VmallocPae, cpu: Cpu) -> Step:
        """flush_tlb_kernel_range(), and the range is free."""
        done = s.vmap_purge_lock.become(FALSE)
        return Step(when=TRUE, then=[s.area.set(s.purge.slot[cpu], Area.FREE), done])

    procedure.step(to="sync_one")(lock)
    procedure.step(to="sync_one")(sync_one)
    procedure.step(at="sync_one", to="free")(unlock)
    procedure.step(free)
    return procedure


def _visited_any(s: VmallocPae, cpu: Cpu) -> Bool:
    return ~forall(Mm, lambda m: ~(s.on_list[m] & s.purge.visited[cpu, m]))


purge_with_sync = _purge()
# V-02: the loop over pgd_list ended at the first process when init_mm's entry was absent.
purge_breaking_early = _purge(breaks_early=True)
# 3f8fd02b1bf1 without 8e998fc24de4: the purge calls vmalloc_sync_all() as it was in 2018.
purge_with_sync_of_2018 = _purge(breaks_early=True, adds_only=True)
# V-04: the loop over addresses went on to FIXADDR_TOP.
purge_too_far = _purge(goes_too_far=True)


vmalloc_sync_all = Procedure(
    "vmalloc_sync_all",
    kernel="arch/x86/mm/fault.c: vmalloc_sync_all(), vmalloc_sync_one() before 8e998fc24de4",
    doc="Push additions, for whoever asks (die notifiers, alloc_vm_area()); removals are not pushed.",
)


@vmalloc_sync_all.step(to="add_one")
def lock_pgd_list(s: VmallocPae, cpu: Cpu, i: PmdSlot) -> Step:
    """Take pgd_lock to walk pgd_list."""
    return Step(when=s.is_vmalloc(i) & ~s.pgd_lock.now, then=_start(s, cpu, i))


@vmalloc_sync_all.step(to="add_one")
def add_one(s: VmallocPae, cpu: Cpu, m: Mm) -> Step:
    """Copy init_mm's entry to the next process if it is present there and missing here."""
    i = s.purge.slot[cpu]
    reference = s.reference(i)
    missing = ~s.copy(m, i).present

    def here(p: Pmd, k: PmdSlot) -> Bool:
        return (p == s.pmd_of[m]) & (k == i) & missing

    return Step(
        when=_may_sync(s, cpu, m) & reference.present,
        then=[*s.pmd.fill_entries(lambda p, k: reference, here), _visit(s, cpu, m)],
    )


@vmalloc_sync_all.step(at="add_one")
def unlock_pgd_list(s: VmallocPae, cpu: Cpu) -> Step:
    """The end of the list, or at once when init_mm's entry is absent (V-02)."""
    absent = ~s.reference(s.purge.slot[cpu]).present
    return Step(when=_all_visited(s, cpu) | absent, then=[s.pgd_lock.become(FALSE)])
