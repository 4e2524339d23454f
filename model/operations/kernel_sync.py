"""arch_sync_kernel_mappings() and vmalloc_fault(): push and pull, on 32-bit kernels with copied PMDs.

With 2 levels the PGD is copied, which is the PMD there; with PAE and page table isolation every process
has a kernel PMD page of its own.  Whoever changes a PMD entry of init_mm remembers that it did
(``pgtbl_mod_mask``) and pushes the change to every process before it returns.  Somebody else who finds
the entry changed already has nothing to push, and may return first: what is then missing in a process is
pulled in by a fault.  An absent entry faults and a stale one does not, so only additions have both ways.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Locals,
    Map,
    Opt,
    Procedure,
    Sort,
    Step,
    forall,
    given,
    operation,
    some,
)
from ..machine.sorts import Cpu, Mm, PmdSlot, PteSlot
from .pgd_list import PgdList


class Below(Sort):
    """What a PMD entry leads to: a PTE page, or a large page."""


class Range(Enumeration):
    """The state of a range of addresses: free, allocated and being mapped or unmapped, or returned to
    its user.  (What is unmapped waits for the purge before it is free; lazy_purge has that.)"""

    FREE: Range
    TAKEN: Range
    MAPPED: Range


class Call(Locals):
    """The locals of a call that maps or unmaps; modified: ``mask & ARCH_PAGE_TABLE_SYNC_MASK``."""

    slot: Map[Cpu, PmdSlot]
    page: Map[Cpu, PteSlot]
    modified: Map[Cpu, Bool]


class Fault(Locals):
    """The locals of vmalloc_fault(): the process of CR3, and the entry of init_mm that was read."""

    mm: Map[Cpu, Mm]
    slot: Map[Cpu, PmdSlot]
    entry: Map[Cpu, Opt[Below]]


class KernelSync(PgdList):
    """reference, copy: PMD entries of init_mm and of the processes.  small: ranges of pages below a PTE
    page; large: the range that is all of an entry, for a large page."""

    reference: Map[PmdSlot, Opt[Below]]
    copy: Map[tuple[Mm, PmdSlot], Opt[Below]]
    small: Map[tuple[PmdSlot, PteSlot], Range]
    large: Map[PmdSlot, Range]
    call: Call
    fault: Fault
    is_large: Fun[Below, Bool] = given(lambda scope, b: b % 2 == 1)


@operation(kernel="arch/x86/mm/init_32.c: paging_init()")
def boot(s: KernelSync) -> Step:
    """The vmalloc area is free and unmapped."""
    return Step(
        when=TRUE,
        then=[
            *s.boot_list(),
            s.reference.fill(lambda i: NONE),
            s.copy.fill(lambda m, i: NONE),
            s.small.fill(lambda i, j: Range.FREE),
            s.large.fill(lambda i: Range.FREE),
        ],
    )


@operation(kernel="arch/x86/mm/pgtable.c: pgd_ctor(), pgd_prepopulate_pmd()")
def fork(s: KernelSync, m: Mm) -> Step:
    """Under pgd_lock, copy the kernel's PMD entries and join pgd_list."""
    return Step(
        when=~s.on_list[m] & ~s.pgd_lock.now,
        then=[
            s.copy.fill(lambda n, i: s.reference[i], lambda n, i: n == m),
            s.on_list.set(m, TRUE),
        ],
    )


@operation(kernel="arch/x86/mm/pgtable.c: pgd_dtor()")
def exit_mm(s: KernelSync, m: Mm) -> Step:
    """Under pgd_lock, leave pgd_list; no CPU is in a fault on the process's tables."""
    unused = forall(Cpu, lambda c: vmalloc_fault.idle(s, c) | (s.fault.mm[c] != m))
    return Step(when=s.on_list[m] & ~s.pgd_lock.now & unused, then=[s.on_list.set(m, FALSE)])


# Push.


def _add_push(procedure: Procedure, to: str) -> None:
    """``arch_sync_kernel_mappings()``, if the mask says so."""

    def lock(s: KernelSync, cpu: Cpu) -> Step:
        """Take pgd_lock to walk pgd_list."""
        return Step(when=~s.pgd_lock.now, then=s.begin_walk(cpu))

    def vmalloc_sync_one(s: KernelSync, cpu: Cpu, m: Mm) -> Step:
        """Where presence differs, the next process gets init_mm's entry, or none."""
        i = s.call.slot[cpu]
        differs = s.copy[m, i].is_some != s.reference[i].is_some
        synced = s.copy.fill(
            lambda n, k: s.reference[k], lambda n, k: (n == m) & (k == i) & differs
        )
        return Step(when=s.on_list[m], then=[synced, s.visit(cpu, m)])

    def unlock(s: KernelSync, cpu: Cpu) -> Step:
        """The end of the list."""
        return Step(when=s.walk_is_over(cpu), then=[s.end_walk()])

    procedure.step(at="lock", to="vmalloc_sync_one")(lock)
    procedure.step(at="vmalloc_sync_one", to="vmalloc_sync_one")(vmalloc_sync_one)
    procedure.step(at="vmalloc_sync_one", to=to)(unlock)


def _vmap_range(*, skips_push_on_error: bool) -> Procedure:
    procedure = Procedure(
        "vmap_range",
        kernel="mm/vmalloc.c: vmap_range_noflush(), vmap_small_pages_range_noflush()",
        doc="Map pages; push the PMD entry if this call has filled it.",
    )

    def populate(s: KernelSync, cpu: Cpu, i: PmdSlot, j: PteSlot, b: Below) -> Step:
        """Take a range and link a PTE page for it, in init_mm (pte_alloc_kernel_track())."""
        free = (s.small[i, j] == Range.FREE) & (s.large[i] == Range.FREE)
        return Step(
            when=free & s.reference[i].is_none & ~s.is_large[b],
            then=[
                s.small.set((i, j), Range.TAKEN),
                s.reference.set(i, some(b)),
                s.call.slot.set(cpu, i),
                s.call.page.set(cpu, j),
                s.call.modified.set(cpu, TRUE),
            ],
        )

    def find_populated(s: KernelSync, cpu: Cpu, i: PmdSlot, j: PteSlot) -> Step:
        """Take a range below an entry that leads to a PTE page already; nothing is to be pushed."""
        free = (s.small[i, j] == Range.FREE) & (s.large[i] == Range.FREE)
        return Step(
            when=free & s.reference[i].is_some,
            then=[
                s.small.set((i, j), Range.TAKEN),
                s.call.slot.set(cpu, i),
                s.call.page.set(cpu, j),
                s.call.modified.set(cpu, FALSE),
            ],
        )

    def succeed(s: KernelSync, cpu: Cpu) -> Step:
        """The address is returned to the caller."""
        mapped = s.small.set((s.call.slot[cpu], s.call.page[cpu]), Range.MAPPED)
        return Step(when=TRUE, then=[mapped])

    def fail(s: KernelSync, cpu: Cpu) -> Step:
        """A later page of the range could not be mapped: the caller unmaps and frees the range."""
        freed = s.small.set((s.call.slot[cpu], s.call.page[cpu]), Range.FREE)
        return Step(when=TRUE, then=[freed])

    procedure.step(to="lock")(populate)
    procedure.step(at=Procedure.IDLE, to="finish")(find_populated)
    _add_push(procedure, to="finish")
    procedure.step(at="finish", to=Procedure.DONE)(succeed)
    procedure.step(at="lock" if skips_push_on_error else "finish", to=Procedure.DONE)(fail)
    return procedure


vmap_range = _vmap_range(skips_push_on_error=False)
# V-06: an error returned at once, whatever the mask said.
vmap_range_skipping = _vmap_range(skips_push_on_error=True)

ioremap_large = Procedure(
    "ioremap_large",
    kernel="mm/vmalloc.c: vmap_try_huge_pmd(), arch/x86/mm/pgtable.c: pmd_set_huge()",
    doc="Map a whole entry by a large page, and push it.  Where a PTE page is, 32-bit kernels refuse.",
)


@ioremap_large.step(to="lock")
def pmd_set_huge(s: KernelSync, cpu: Cpu, i: PmdSlot, b: Below) -> Step:
    """Take the range of a whole entry, which is empty, and map it in init_mm."""
    free = (s.large[i] == Range.FREE) & forall(PteSlot, lambda j: s.small[i, j] == Range.FREE)
    return Step(
        when=free & s.reference[i].is_none & s.is_large[b],
        then=[
            s.large.set(i, Range.TAKEN),
            s.reference.set(i, some(b)),
            s.call.slot.set(cpu, i),
            s.call.modified.set(cpu, TRUE),
        ],
    )


_add_push(ioremap_large, to="finish")


@ioremap_large.step(at="finish")
def succeed(s: KernelSync, cpu: Cpu) -> Step:
    """The address is returned to the caller."""
    return Step(when=TRUE, then=[s.large.set(s.call.slot[cpu], Range.MAPPED)])


iounmap_large = Procedure(
    "iounmap_large",
    kernel="mm/vmalloc.c: vunmap_range_noflush(), pmd_clear_huge(), free_vmap_area_noflush()",
    doc="Clear the entry of a large page, push its absence, and free the range.",
)


@iounmap_large.step(to="lock")
def pmd_clear_huge(s: KernelSync, cpu: Cpu, i: PmdSlot) -> Step:
    """Clear the entry in init_mm."""
    return Step(
        when=s.large[i] == Range.MAPPED,
        then=[
            s.large.set(i, Range.TAKEN),
            s.reference.set(i, NONE),
            s.call.slot.set(cpu, i),
            s.call.modified.set(cpu, TRUE),
        ],
    )


_add_push(iounmap_large, to="free_vmap_area")


@iounmap_large.step(at="free_vmap_area")
def free_vmap_area(s: KernelSync, cpu: Cpu) -> Step:
    """The range is free, when the purge has been."""
    return Step(when=TRUE, then=[s.large.set(s.call.slot[cpu], Range.FREE)])


@operation(kernel="mm/vmalloc.c: vunmap_pte_range(), free_vmap_area_noflush()")
def vunmap(s: KernelSync, i: PmdSlot, j: PteSlot) -> Step:
    """Clear the PTEs of a range and free it.  The PTE page stays, so that there is nothing to push."""
    return Step(when=s.small[i, j] == Range.MAPPED, then=[s.small.set((i, j), Range.FREE)])


# Pull.


def _vmalloc_fault(*, handled: bool) -> Procedure:
    procedure = Procedure(
        "vmalloc_fault",
        kernel="arch/x86/mm/fault.c: vmalloc_fault(), vmalloc_sync_one(), without any lock"
        if handled
        else "arch/x86/mm/fault.c: do_kern_addr_fault() before 4819e15f740e",
        doc="A range in use is touched on tables that lack its entry.",
    )

    def read_reference(s: KernelSync, cpu: Cpu, m: Mm, i: PmdSlot, j: PteSlot) -> Step:
        """Read init_mm's entry; CR3 says which process's tables lack it."""
        used = (s.small[i, j] == Range.MAPPED) | (s.large[i] == Range.MAPPED)
        return Step(
            when=s.on_list[m] & used & s.copy[m, i].is_none & s.reference[i].is_some,
            then=[
                s.fault.mm.set(cpu, m),
                s.fault.slot.set(cpu, i),
                s.fault.entry.set(cpu, s.reference[i]),
            ],
        )

    def set_pmd(s: KernelSync, cpu: Cpu) -> Step:
        """Write it to the process's tables, and try again."""
        here = s.fault.mm[cpu], s.fault.slot[cpu]
        return Step(when=TRUE, then=[s.copy.set(here, s.fault.entry[cpu])])

    def oops(s: KernelSync, cpu: Cpu) -> Step:
        """Nobody repairs a fault on a kernel address."""
        return Step(when=TRUE)

    procedure.step(to="handle")(read_reference)
    procedure.step(at="handle")(set_pmd if handled else oops)
    return procedure


vmalloc_fault = _vmalloc_fault(handled=True)
# V-19: push was thought to be enough.
vmalloc_fault_unhandled = _vmalloc_fault(handled=False)
