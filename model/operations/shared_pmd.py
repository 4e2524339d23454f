"""hugetlb: processes that map one file share the table of its large pages.

A process leaves the table by clearing one upper entry (``huge_pmd_unshare()``).  After that nobody who
changes the table finds the process any more, so what its CPUs have cached of the table has to be flushed
before ``i_mmap_rwsem`` is released.  One table with one large page is modelled; a CPU that switches
processes flushes.
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
    State,
    Step,
    Var,
    forall,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame, Mm


class Sharing(Locals):
    """The locals of either procedure: the page that was there, and CPUs that have not answered."""

    page: Map[Cpu, Opt[Frame]]
    waits_for: Map[tuple[Cpu, Cpu], Bool]


class SharedPmd(State):
    """shares: the process has the table linked.  page: what the table maps.  tlb: what a CPU has cached
    of it.  i_mmap_rwsem: held by whoever unmaps from the file."""

    loaded_mm: Map[Cpu, Mm]
    shares: Map[Mm, Bool]
    page: Var[Opt[Frame]]
    free: Map[Frame, Bool]
    tlb: Map[Cpu, Opt[Frame]]
    i_mmap_rwsem: Var[Bool]
    sharing: Sharing

    def answered(self, by: Cpu) -> Bool:
        """All CPUs have flushed for this one."""
        return forall(Cpu, lambda c: ~self.sharing.waits_for[by, c])


@operation(kernel="fs/hugetlbfs/inode.c: hugetlbfs_file_mmap()")
def boot(s: SharedPmd) -> Step:
    """Nobody shares the table, which is empty."""
    return Step(
        when=TRUE,
        then=[
            s.shares.fill(lambda m: FALSE),
            s.page.become(NONE),
            s.free.fill(lambda f: TRUE),
            s.tlb.fill(lambda cpu: NONE),
            s.i_mmap_rwsem.become(FALSE),
        ],
    )


@operation(kernel="mm/hugetlb.c: huge_pmd_share()")
def huge_pmd_share(s: SharedPmd, m: Mm) -> Step:
    """A process links the table."""
    return Step(when=~s.shares[m] & ~s.i_mmap_rwsem.now, then=[s.shares.set(m, TRUE)])


@operation(kernel="mm/hugetlb.c: hugetlb_fault(), hugetlb_no_page()")
def hugetlb_fault(s: SharedPmd, cpu: Cpu, f: Frame) -> Step:
    """One of those who share it maps a page, for all of them."""
    ready = s.shares[s.loaded_mm[cpu]] & ~s.i_mmap_rwsem.now
    return Step(
        when=ready & s.page.now.is_none & s.free[f],
        then=[s.page.become(some(f)), s.free.set(f, FALSE)],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: SharedPmd, cpu: Cpu) -> Step:
    """A CPU caches what its process's tables lead to."""
    found = s.shares[s.loaded_mm[cpu]] & s.page.now.is_some
    return Step(when=found, then=[s.tlb.set(cpu, s.page.now)])


@operation(kernel="arch/x86/mm/tlb.c: switch_mm_irqs_off()")
def switch_mm(s: SharedPmd, cpu: Cpu, m: Mm) -> Step:
    """A CPU runs another process, with nothing cached."""
    other = s.loaded_mm[cpu] != m
    return Step(when=other, then=[s.loaded_mm.set(cpu, m), s.tlb.set(cpu, NONE)])


@operation(kernel="arch/x86/mm/tlb.c: flush_tlb_func()")
def flush_tlb_func(s: SharedPmd, cpu: Cpu, by: Cpu) -> Step:
    """The IPI arrives: what was cached of the table is dropped."""
    waiting = ~(unshare.idle(s, by) & unmap_file.idle(s, by))
    return Step(
        when=waiting & s.sharing.waits_for[by, cpu],
        then=[s.tlb.set(cpu, NONE), s.sharing.waits_for.set((by, cpu), FALSE)],
    )


def _unshare(doc: str, *, flushes: bool) -> Procedure:
    """Whether the process's CPUs are flushed before the lock is released."""
    procedure = Procedure(
        "huge_pmd_unshare",
        kernel="mm/hugetlb.c: __unmap_hugepage_range(), huge_pmd_unshare()",
        doc=doc,
    )

    def clear_pud(s: SharedPmd, cpu: Cpu, m: Mm) -> Step:
        """Under i_mmap_rwsem, the process gives up the table."""
        return Step(
            when=s.shares[m] & ~s.i_mmap_rwsem.now,
            then=[
                s.i_mmap_rwsem.become(TRUE),
                s.shares.set(m, FALSE),
                s.sharing.waits_for.fill(
                    lambda by, c: (s.loaded_mm[c] == m) if flushes else FALSE,
                    lambda by, c: by == cpu,
                ),
            ],
        )

    def unlock(s: SharedPmd, cpu: Cpu) -> Step:
        """When the process's CPUs have flushed, release the lock."""
        return Step(when=s.answered(cpu), then=[s.i_mmap_rwsem.become(FALSE)])

    procedure.step(clear_pud)
    procedure.step(unlock)
    return procedure


unshare = _unshare("A process gives up a shared table, and flushes.", flushes=True)
# T-10: the page was still referenced by the file, so it was taken for granted that nothing is stale.
unshare_without_flush = _unshare("A process gives up a shared table.", flushes=False)

unmap_file = Procedure(
    "unmap_file",
    kernel="fs/hugetlbfs/inode.c: remove_inode_hugepages(); mm/hugetlb.c: unmap_hugepage_range()",
    doc="Truncate the file: clear the entry, flush whoever shares the table, free the page.",
)


@unmap_file.step
def clear_pmd(s: SharedPmd, cpu: Cpu) -> Step:
    """Under i_mmap_rwsem, clear the entry; the processes that share the table are known."""
    return Step(
        when=s.page.now.is_some & ~s.i_mmap_rwsem.now,
        then=[
            s.i_mmap_rwsem.become(TRUE),
            s.sharing.page.set(cpu, s.page.now),
            s.page.become(NONE),
            s.sharing.waits_for.fill(
                lambda by, c: s.shares[s.loaded_mm[c]], lambda by, c: by == cpu
            ),
        ],
    )


@unmap_file.step
def free_page(s: SharedPmd, cpu: Cpu) -> Step:
    """When their CPUs have flushed, free the page."""
    page = s.sharing.page[cpu]
    return Step(
        when=s.answered(cpu),
        then=[
            s.free.fill(lambda f: TRUE, lambda f: page == some(f)),
            s.i_mmap_rwsem.become(FALSE),
        ],
    )
