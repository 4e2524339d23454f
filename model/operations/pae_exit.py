"""A process that exits while somebody pushes, on 32-bit PAE with unshared kernel PMDs.

The kernel PMD page of a process is found through a top-level entry of its own.  pgd_free() clears that
entry and frees the page (pgd_mop_up_pmds()), and then takes the process off pgd_list (pgd_dtor()).
arch_sync_kernel_mappings() holds pgd_lock, and so does pgd_dtor(), but nothing before it.
"""

from __future__ import annotations

from ..language import FALSE, NONE, TRUE, Locals, Map, Opt, Procedure, Step, operation, some
from ..machine.sorts import Cpu, Mm, Pmd
from .lazy import Use
from .pgd_list import PgdList


class Exit(Locals):
    """The locals of pgd_free()."""

    mm: Map[Cpu, Mm]
    page: Map[Cpu, Pmd]


class Push(Locals):
    """The locals of vmalloc_sync_one(): the process, and where its PMD page was found."""

    mm: Map[Cpu, Mm]
    page: Map[Cpu, Opt[Pmd]]


class PaeExit(PgdList):
    """slot: the top-level kernel entry of a process; use: what a page is."""

    slot: Map[Mm, Opt[Pmd]]
    use: Map[Pmd, Use]
    leave: Exit
    push: Push


@operation(kernel="arch/x86/mm/init_32.c: paging_init()")
def boot(s: PaeExit) -> Step:
    """There are no processes."""
    return Step(
        when=TRUE,
        then=[*s.boot_list(), s.slot.fill(lambda m: NONE), s.use.fill(lambda p: Use.FREE)],
    )


@operation(kernel="mm/page_alloc.c: __get_free_page()")
def allocate(s: PaeExit, p: Pmd) -> Step:
    """Somebody takes a free page for data."""
    return Step(when=s.use[p] == Use.FREE, then=[s.use.set(p, Use.DATA)])


@operation(kernel="arch/x86/mm/pgtable.c: pgd_alloc(), preallocate_pmds(), pgd_prepopulate_pmd()")
def pgd_alloc(s: PaeExit, m: Mm, p: Pmd) -> Step:
    """Allocate the kernel PMD page; under pgd_lock, link it and join pgd_list."""
    new = ~s.on_list[m] & s.slot[m].is_none & ~s.pgd_lock.now
    return Step(
        when=new & (s.use[p] == Use.FREE),
        then=[s.use.set(p, Use.TABLE), s.slot.set(m, some(p)), s.on_list.set(m, TRUE)],
    )


def _pgd_free(*, leaves_first: bool) -> Procedure:
    procedure = Procedure(
        "pgd_free",
        kernel="arch/x86/mm/pgtable.c: pgd_free(), pgd_mop_up_pmds(), pgd_dtor()",
        doc="Free the kernel PMD page of a process, and take the process off pgd_list.",
    )

    def pgd_dtor(s: PaeExit, cpu: Cpu, m: Mm) -> Step:
        """Under pgd_lock, leave pgd_list."""
        return Step(
            when=s.on_list[m] & ~s.pgd_lock.now,
            then=[s.leave.mm.set(cpu, m), s.on_list.set(m, FALSE)],
        )

    def mop_up_one_pmd(s: PaeExit, cpu: Cpu) -> Step:
        """Clear the top-level entry."""
        m = s.leave.mm[cpu]
        return Step(when=TRUE, then=[s.leave.page.set(cpu, s.slot[m].value), s.slot.set(m, NONE)])

    def pmd_free(s: PaeExit, cpu: Cpu) -> Step:
        """Free the page."""
        return Step(when=TRUE, then=[s.use.set(s.leave.page[cpu], Use.FREE)])

    def mop_up_first(s: PaeExit, cpu: Cpu, m: Mm) -> Step:
        """Clear the top-level entry of a process that is on pgd_list."""
        return Step(
            when=s.on_list[m] & s.slot[m].is_some,
            then=[
                s.leave.mm.set(cpu, m),
                s.leave.page.set(cpu, s.slot[m].value),
                s.slot.set(m, NONE),
            ],
        )

    def leave_last(s: PaeExit, cpu: Cpu) -> Step:
        """Under pgd_lock, leave pgd_list."""
        left = s.on_list.set(s.leave.mm[cpu], FALSE)
        return Step(when=~s.pgd_lock.now, then=[left])

    if leaves_first:
        procedure.step(to="clear")(pgd_dtor)
        procedure.step(at="clear", to="free")(mop_up_one_pmd)
        procedure.step(at="free", to=Procedure.DONE)(pmd_free)
    else:
        mop_up_first.__name__, leave_last.__name__ = mop_up_one_pmd.__name__, pgd_dtor.__name__
        procedure.step(to="free")(mop_up_first)
        procedure.step(at="clear", to=Procedure.DONE)(leave_last)
        procedure.step(at="free", to="clear")(pmd_free)
    return procedure


pgd_free = _pgd_free(leaves_first=True)
# V-16: the order of 6.1.
pgd_free_leaving_last = _pgd_free(leaves_first=False)


arch_sync_kernel_mappings = Procedure(
    "arch_sync_kernel_mappings",
    kernel="arch/x86/mm/fault.c: arch_sync_kernel_mappings(), vmalloc_sync_one()",
    doc="Write an entry to the kernel PMD page of every process on pgd_list.",
)


@arch_sync_kernel_mappings.step(to="next")
def lock(s: PaeExit, cpu: Cpu) -> Step:
    """Take pgd_lock to walk pgd_list."""
    return Step(when=~s.pgd_lock.now, then=s.begin_walk(cpu))


@arch_sync_kernel_mappings.step(at="next", to="set_pmd")
def pmd_offset(s: PaeExit, cpu: Cpu, m: Mm) -> Step:
    """Find the PMD page of the next process; only init_mm's top-level entry is tested."""
    return Step(
        when=s.on_list[m] & ~s.walk.visited[cpu, m],
        then=[s.push.mm.set(cpu, m), s.push.page.set(cpu, s.slot[m]), s.visit(cpu, m)],
    )


@arch_sync_kernel_mappings.step(at="set_pmd", to="next")
def set_pmd(s: PaeExit, cpu: Cpu) -> Step:
    """Write the entry there."""
    return Step(when=TRUE)


@arch_sync_kernel_mappings.step(at="next", to=Procedure.DONE)
def unlock(s: PaeExit, cpu: Cpu) -> Step:
    """The end of the list."""
    return Step(when=s.walk_is_over(cpu), then=[s.end_walk()])
