"""exec() changes the process of a task, while another CPU frees the tables of the process before.

``current->mm`` and ``current->active_mm`` say what a CPU runs and whose tables it borrows, CR3 has the
tables.  Whoever frees a process's tables asks the CPUs in its mask to leave them if they are lazy there;
the handler judges by the task, so it must not run while the task and CR3 disagree.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Fun,
    Locals,
    Map,
    Opt,
    Procedure,
    State,
    Step,
    forall,
    given,
    operation,
    some,
)
from ..machine.sorts import Cpu, Mm


class Exit(Locals):
    """The locals of exit_mmap(): CPUs whose answers are missing, for each dying process."""

    waits_for: Map[tuple[Mm, Cpu], Bool]


class Tasks(State):
    """mm: ``current->mm``, none of a kernel thread.  active_mm: ``current->active_mm``.  loaded_mm: what
    CR3 has.  tables: the process has page tables.  used: a user task belongs to it."""

    mm: Map[Cpu, Opt[Mm]]
    active_mm: Map[Cpu, Mm]
    loaded_mm: Map[Cpu, Mm]
    tables: Map[Mm, Bool]
    exit: Exit
    init_mm: Fun[tuple[()], Mm] = given(lambda scope: 0)

    def unused(self, m: Mm) -> Bool:
        """No task has the process (``mm_users`` is 0)."""
        return forall(Cpu, lambda cpu: self.mm[cpu] != some(m))


@operation(kernel="init/main.c")
def boot(s: Tasks) -> Step:
    """Kernel threads run on init_mm's tables."""
    init = s.init_mm[()]
    return Step(
        when=TRUE,
        then=[
            s.mm.fill(lambda cpu: NONE),
            s.active_mm.fill(lambda cpu: init),
            s.loaded_mm.fill(lambda cpu: init),
            s.tables.fill(lambda m: m == init),
        ],
    )


@operation(kernel="kernel/sched/core.c: context_switch(), to a kernel thread")
def enter_lazy_tlb(s: Tasks, cpu: Cpu) -> Step:
    """A kernel thread borrows the tables."""
    return Step(when=s.mm[cpu].is_some & exec_idle(s, cpu), then=[s.mm.set(cpu, NONE)])


@operation(kernel="kernel/sched/core.c: context_switch(), to a user task")
def switch_mm(s: Tasks, cpu: Cpu, m: Mm) -> Step:
    """A task of a process that other tasks have runs here, too."""
    return Step(
        when=~s.unused(m) & exec_idle(s, cpu),
        then=[s.mm.set(cpu, some(m)), s.active_mm.set(cpu, m), s.loaded_mm.set(cpu, m)],
    )


def _exec_mmap(doc: str) -> Procedure:
    procedure = Procedure("exec_mmap", kernel="fs/exec.c: exec_mmap()", doc=doc)

    def set_current_mm(s: Tasks, cpu: Cpu, m: Mm) -> Step:
        """The task gets a new process, with tables of its own."""
        return Step(
            when=~s.tables[m],
            then=[s.tables.set(m, TRUE), s.mm.set(cpu, some(m)), s.active_mm.set(cpu, m)],
        )

    def activate_mm(s: Tasks, cpu: Cpu) -> Step:
        """CR3 gets its tables."""
        return Step(when=TRUE, then=[s.loaded_mm.set(cpu, s.active_mm[cpu])])

    procedure.step(set_current_mm)
    procedure.step(activate_mm)
    return procedure


exec_mmap = _exec_mmap("Give the task a new process, with interrupts off until CR3 has its tables.")


def exec_idle(s: Tasks, cpu: Cpu) -> Bool:
    """The task is not in exec()."""
    return exec_mmap.idle(s, cpu)


exit_mmap = Procedure(
    "exit_mmap",
    kernel="kernel/fork.c: mmput(); mm/mmap.c: exit_mmap()",
    doc="The last task has gone: have lazy CPUs leave the tables, then free them.",
)


@exit_mmap.step
def ask_lazy_users(s: Tasks, m: Mm) -> Step:
    """Interrupt all CPUs that have the process in CR3."""
    return Step(
        when=s.tables[m] & s.unused(m) & (m != s.init_mm[()]),
        then=[s.exit.waits_for.fill(lambda n, cpu: s.loaded_mm[cpu] == m, lambda n, cpu: n == m)],
    )


@exit_mmap.step
def free_pgtables(s: Tasks, m: Mm) -> Step:
    """When all have answered, free the tables."""
    answered = forall(Cpu, lambda cpu: ~s.exit.waits_for[m, cpu])
    return Step(when=answered, then=[s.tables.set(m, FALSE)])


def _leave_lazy(s: Tasks, cpu: Cpu, m: Mm, interrupts: Bool) -> Step:
    lazy = s.mm[cpu].is_none & (s.active_mm[cpu] == m)
    init = s.init_mm[()]
    mine = lambda c: (c == cpu) & lazy  # noqa: E731
    return Step(
        when=~exit_mmap.idle(s, m) & s.exit.waits_for[m, cpu] & interrupts,
        then=[
            s.active_mm.fill(lambda c: init, mine),
            s.loaded_mm.fill(lambda c: init, mine),
            s.exit.waits_for.set((m, cpu), FALSE),
        ],
    )


@operation(kernel="arch/powerpc/mm/book3s64/radix_tlb.c: do_exit_flush_lazy_tlb()")
def exit_flush_lazy_tlb(s: Tasks, cpu: Cpu, m: Mm) -> Step:
    """The IPI arrives, not during exec(): a CPU that is lazy on the process goes to init_mm."""
    return _leave_lazy(s, cpu, m, exec_mmap.idle(s, cpu))


# T-09: interrupts were on between the stores to the task and the new CR3.
@operation(
    kernel="arch/powerpc/mm/book3s64/radix_tlb.c, with exec_mmap() before d53c3dfb23c4",
    name="exit_flush_lazy_tlb",
)
def exit_flush_lazy_tlb_anytime(s: Tasks, cpu: Cpu, m: Mm) -> Step:
    """The IPI arrives at any time: a CPU that is lazy on the process goes to init_mm."""
    return _leave_lazy(s, cpu, m, TRUE)
