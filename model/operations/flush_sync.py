"""Synchronisation inside flush_tlb_kernel_range(), which the review of July 2019 asks about.

No kernel does this.  On 32-bit kernels with copied PMD entries, whoever unmaps has to have the TLBs
flushed before the addresses are used again; if the flush also pushes what init_mm has, nobody can forget
to.  Nothing is flushed when something is mapped, so additions still have to be pulled in by faults.
A range here is that of one PMD entry, mapped by a large page.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Locals,
    Map,
    Opt,
    Procedure,
    Step,
    Var,
    forall,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame, Mm, PmdSlot
from .pgd_list import PgdList
from .vmalloc import Area


class Purge(Locals):
    """The locals of a purge: the range, and the CPUs that have not answered."""

    slot: Map[Cpu, PmdSlot]
    waits_for: Map[tuple[Cpu, Cpu], Bool]


class FlushSync(PgdList):
    """reference, copy: PMD entries of init_mm and of processes; tlb: what CPUs have cached of them, as
    global entries, which stay when CR3 changes; loaded_mm: the process whose tables a CPU runs on."""

    area: Map[PmdSlot, Area]
    reference: Map[PmdSlot, Opt[Frame]]
    copy: Map[tuple[Mm, PmdSlot], Opt[Frame]]
    loaded_mm: Map[Cpu, Opt[Mm]]
    tlb: Map[tuple[Cpu, PmdSlot], Opt[Frame]]
    vmap_purge_lock: Var[Bool]
    purge: Purge


@operation(kernel="arch/x86/mm/init_32.c: paging_init()")
def boot(s: FlushSync) -> Step:
    """The vmalloc area is free and unmapped; every CPU runs on init_mm's tables."""
    return Step(
        when=TRUE,
        then=[
            *s.boot_list(),
            s.area.fill(lambda i: Area.FREE),
            s.reference.fill(lambda i: NONE),
            s.copy.fill(lambda m, i: NONE),
            s.loaded_mm.fill(lambda cpu: NONE),
            s.tlb.fill(lambda cpu, i: NONE),
            s.vmap_purge_lock.become(FALSE),
        ],
    )


@operation(kernel="arch/x86/mm/pgtable.c: pgd_ctor(), pgd_prepopulate_pmd()")
def fork(s: FlushSync, m: Mm) -> Step:
    """Under pgd_lock, copy the kernel's PMD entries and join pgd_list."""
    return Step(
        when=~s.on_list[m] & ~s.pgd_lock.now,
        then=[
            s.copy.fill(lambda n, i: s.reference[i], lambda n, i: n == m),
            s.on_list.set(m, TRUE),
        ],
    )


@operation(kernel="arch/x86/mm/pgtable.c: pgd_dtor()")
def exit_mm(s: FlushSync, m: Mm) -> Step:
    """Under pgd_lock, leave pgd_list; no CPU runs on the tables any more."""
    unused = forall(Cpu, lambda cpu: s.loaded_mm[cpu] != m)
    return Step(when=s.on_list[m] & ~s.pgd_lock.now & unused, then=[s.on_list.set(m, FALSE)])


@operation(kernel="arch/x86/mm/tlb.c: switch_mm_irqs_off()")
def switch_mm(s: FlushSync, cpu: Cpu, m: Mm) -> Step:
    """The CPU runs another process; kernel translations are global and stay."""
    return Step(when=s.on_list[m], then=[s.loaded_mm.set(cpu, some(m))])


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: FlushSync, cpu: Cpu, i: PmdSlot) -> Step:
    """A CPU caches what the tables of its process map, speculatively or not."""
    found = s.copy[s.loaded_mm[cpu].value, i]
    mapped = s.loaded_mm[cpu].is_some & found.is_some
    return Step(when=mapped, then=[s.tlb.set((cpu, i), found)])


@operation(kernel="mm/vmalloc.c: alloc_vmap_area(), vmap_range_noflush()")
def ioremap(s: FlushSync, i: PmdSlot, f: Frame) -> Step:
    """Take a free range and map it in init_mm; there is nothing to flush, and nothing is pushed."""
    return Step(
        when=s.area[i] == Area.FREE,
        then=[s.area.set(i, Area.BUSY), s.reference.set(i, some(f))],
    )


@operation(kernel="arch/x86/mm/fault.c: vmalloc_fault()")
def vmalloc_fault(s: FlushSync, cpu: Cpu, i: PmdSlot) -> Step:
    """A CPU touches a range in use that its tables lack: the entry is pulled in."""
    m = s.loaded_mm[cpu].value
    missing = s.copy[m, i].is_none & (s.area[i] == Area.BUSY)
    return Step(when=s.loaded_mm[cpu].is_some & missing, then=[s.copy.set((m, i), s.reference[i])])


@operation(kernel="mm/vmalloc.c: vunmap_range_noflush(), free_vmap_area_noflush()")
def iounmap(s: FlushSync, i: PmdSlot) -> Step:
    """Clear the entry in init_mm, and queue the range for the purge."""
    return Step(
        when=s.area[i] == Area.BUSY,
        then=[s.reference.set(i, NONE), s.area.set(i, Area.LAZY)],
    )


def _purge(*, syncs_first: bool) -> Procedure:
    procedure = Procedure(
        "purge_vmap_area_lazy",
        kernel="mm/vmalloc.c: __purge_vmap_area_lazy(); flush_tlb_kernel_range() as proposed",
        doc="Flush a queued range everywhere, pushing init_mm's entry to every process; free it.",
    )

    def begin(s: FlushSync, cpu: Cpu, i: PmdSlot) -> Step:
        """Under vmap_purge_lock, take a range from the queue."""
        queued = (s.area[i] == Area.LAZY) & ~s.vmap_purge_lock.now
        taken = [s.vmap_purge_lock.become(TRUE), s.purge.slot.set(cpu, i)]
        return Step(when=queued, then=taken)

    def lock(s: FlushSync, cpu: Cpu) -> Step:
        """The range is in the vmalloc area: take pgd_lock to walk pgd_list."""
        return Step(when=~s.pgd_lock.now, then=s.begin_walk(cpu))

    def sync_one(s: FlushSync, cpu: Cpu, m: Mm) -> Step:
        """Where presence differs, the next process gets init_mm's entry, or none."""
        i = s.purge.slot[cpu]
        differs = s.copy[m, i].is_some != s.reference[i].is_some
        synced = s.copy.fill(
            lambda n, k: s.reference[k], lambda n, k: (n == m) & (k == i) & differs
        )
        return Step(when=s.on_list[m], then=[synced, s.visit(cpu, m)])

    def unlock(s: FlushSync, cpu: Cpu) -> Step:
        """The end of the list."""
        return Step(when=s.walk_is_over(cpu), then=[s.end_walk()])

    def ask(s: FlushSync, cpu: Cpu) -> Step:
        """Ask every CPU to flush, this one as well."""
        asked = s.purge.waits_for.fill(lambda by, c: TRUE, lambda by, c: by == cpu)
        return Step(when=TRUE, then=[asked])

    def answered(s: FlushSync, cpu: Cpu) -> Step:
        """All have answered."""
        return Step(when=forall(Cpu, lambda c: ~s.purge.waits_for[cpu, c]))

    def free(s: FlushSync, cpu: Cpu) -> Step:
        """The range is free."""
        done = s.vmap_purge_lock.become(FALSE)
        return Step(when=TRUE, then=[s.area.set(s.purge.slot[cpu], Area.FREE), done])

    procedure.step(to="lock" if syncs_first else "ask")(begin)
    procedure.step(at="lock", to="sync_one")(lock)
    procedure.step(at="sync_one", to="sync_one")(sync_one)
    procedure.step(at="sync_one", to="ask" if syncs_first else "free")(unlock)
    procedure.step(at="ask", to="answered")(ask)
    procedure.step(at="answered", to="free" if syncs_first else "lock")(answered)
    procedure.step(at="free", to=Procedure.DONE)(free)
    return procedure


purge = _purge(syncs_first=True)
# The other order, as somebody might write it who adds a call at the end.
purge_flushing_first = _purge(syncs_first=False)


@operation(kernel="arch/x86/mm/tlb.c: do_kernel_range_flush()")
def do_kernel_range_flush(s: FlushSync, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: the CPU drops what it has cached of the range."""
    asked = purge.at(s, by, purge.steps[5]) & s.purge.waits_for[by, cpu]
    here = s.purge.slot[by]
    return Step(
        when=asked,
        then=[s.tlb.set((cpu, here), NONE), s.purge.waits_for.set((by, cpu), FALSE)],
    )
