"""kmap_local_page() and kmap_atomic() of highmem pages on 32-bit kernels: a stack of slots per CPU.

Each CPU has a few fixmap slots, and each thread a stack of what it has mapped (``kmap_ctrl``): the
mapping at some depth is in the slot of that depth of the CPU that the thread runs on.  A thread with
mappings may be preempted but not migrated; the context switch takes its mappings out and puts them back
later.  An interrupt maps above what the thread has, on the thread's own stack.  A CPU uses only its own
slots, so that flushes are local, and what others may have cached of them is left out.
"""

from __future__ import annotations

from ..language import (
    FALSE,
    NONE,
    TRUE,
    Bool,
    Enumeration,
    Fun,
    Map,
    Opt,
    Procedure,
    Sort,
    State,
    Step,
    Update,
    assumption,
    forall,
    given,
    ite,
    operation,
    some,
)
from ..machine.sorts import Cpu, Frame, Task


class KmIdx(Sort):
    """``kmap_ctrl.idx``: a depth of the stack, and the slot of a CPU that goes with it."""


class Life(Enumeration):
    """A thread that does not exist, one that fork() is making, one that may run."""

    NONE: Life
    NEW: Life
    ALIVE: Life


class KmapLocals(State):
    """current: the thread of a CPU.  task_cpu: the CPU where a thread runs or will run.  idx, pteval:
    ``kmap_ctrl``, the depth and what is mapped below it.  atomic: that was mapped by kmap_atomic().
    pointer: the page that somebody mapped there and still may use; slot_of: the CPU whose slot his
    address is.  pte, tlb: the slots of a CPU, and what it has cached of them.  in_irq, base: the CPU
    is in an interrupt, which came at that depth.

    before: the order of depths; bottom: the first of them."""

    life: Map[Task, Life]
    current: Map[Cpu, Task]
    task_cpu: Map[tuple[Task, Cpu], Bool]
    idx: Map[Task, KmIdx]
    pteval: Map[tuple[Task, KmIdx], Opt[Frame]]
    atomic: Map[tuple[Task, KmIdx], Bool]
    pointer: Map[tuple[Task, KmIdx], Opt[Frame]]
    slot_of: Map[tuple[Task, KmIdx, Cpu], Bool]
    pte: Map[tuple[Cpu, KmIdx], Opt[Frame]]
    tlb: Map[tuple[Cpu, KmIdx], Opt[Frame]]
    in_irq: Map[Cpu, Bool]
    base: Map[Cpu, KmIdx]

    before: Fun[tuple[KmIdx, KmIdx], Bool] = given(lambda scope, a, b: a < b)
    bottom: Fun[tuple[()], KmIdx] = given(lambda scope: 0)

    def is_next(self, i: KmIdx, j: KmIdx) -> Bool:
        """j is one deeper than i."""
        between = forall(KmIdx, lambda k: ~(self.before[i, k] & self.before[k, j]))
        return self.before[i, j] & between

    def has_none(self, t: Task) -> Bool:
        """The thread has nothing mapped."""
        return self.idx[t] == self.bottom[()]

    def is_off_cpu(self, t: Task) -> Bool:
        """No CPU runs the thread."""
        return forall(Cpu, lambda cpu: self.current[cpu] != t)

    def runs_code(self, cpu: Cpu) -> Bool:
        """The CPU runs its thread, or an interrupt: not the context switch."""
        return self.in_irq[cpu] | context_switch.idle(self, cpu)

    def is_installed(self, cpu: Cpu, i: KmIdx) -> Bool:
        """The mapping at that depth is one that the code which runs there may use: during the context
        switch that of an interrupt only."""
        t = self.current[cpu]
        of_irq = self.in_irq[cpu] & ~self.before[i, self.base[cpu]]
        return self.before[i, self.idx[t]] & (context_switch.idle(self, cpu) | of_irq)


class KmapNested(KmapLocals):
    """The same, for claims about what nests on one CPU."""


class KmapThreads(KmapLocals):
    """The same, for claims about several CPUs."""


@assumption
def depths_are_ordered(s: KmapLocals, a: KmIdx, b: KmIdx, c: KmIdx) -> Bool:
    """The order is strict and total, and nothing is below the bottom."""
    total = (a == b) | s.before[a, b] | s.before[b, a]
    transitive = (s.before[a, b] & s.before[b, c]).implies(s.before[a, c])
    return ~s.before[a, a] & total & transitive & ~s.before[a, s.bottom[()]]


@operation(kernel="kernel/sched/core.c: sched_init(), init_idle()")
def boot(s: KmapLocals) -> Step:
    """Every CPU runs a thread of its own; nothing is mapped."""

    def runs(t: Task, cpu: Cpu) -> Bool:
        return s.current[cpu] == t

    alone = forall(Cpu, Cpu, lambda a, b: (s.current[a] == s.current[b]).implies(a == b))
    return Step(
        when=alone,
        then=[
            s.life.fill(lambda t: ite(s.is_off_cpu(t), Life.NONE, Life.ALIVE)),
            s.task_cpu.fill(runs),
            s.idx.fill(lambda t: s.bottom[()]),
            s.pteval.fill(lambda t, i: NONE),
            s.atomic.fill(lambda t, i: FALSE),
            s.pointer.fill(lambda t, i: NONE),
            s.slot_of.fill(lambda t, i, cpu: FALSE),
            s.pte.fill(lambda cpu, i: NONE),
            s.tlb.fill(lambda cpu, i: NONE),
            s.in_irq.fill(lambda cpu: FALSE),
            s.base.fill(lambda cpu: s.bottom[()]),
        ],
    )


@operation(kernel="Intel SDM vol. 3, section 4.10.2: caching of translations")
def fill_tlb(s: KmapLocals, cpu: Cpu, i: KmIdx) -> Step:
    """A CPU caches the translation of one of its slots, needed or not."""
    return Step(when=s.pte[cpu, i].is_some, then=[s.tlb.set((cpu, i), s.pte[cpu, i])])


# Mapping and unmapping, by a thread or by an interrupt, with preemption off.


def _push(s: KmapLocals, cpu: Cpu, f: Frame, deeper: KmIdx, *, atomic: Bool) -> Step:
    t = s.current[cpu]
    i = s.idx[t]
    return Step(
        when=s.runs_code(cpu) & s.is_next(i, deeper),
        then=[
            s.idx.set(t, deeper),
            s.pte.set((cpu, i), some(f)),
            s.pteval.set((t, i), some(f)),
            s.atomic.set((t, i), atomic),
            s.pointer.set((t, i), some(f)),
            s.slot_of.fill(lambda u, j, c: c == cpu, lambda u, j, c: (u == t) & (j == i)),
        ],
    )


@operation(kernel="mm/highmem.c: __kmap_local_pfn_prot()")
def kmap_local(s: KmapLocals, cpu: Cpu, f: Frame, deeper: KmIdx) -> Step:
    """Map a page in the slot of the current depth, without a flush: the slot was empty."""
    return _push(s, cpu, f, deeper, atomic=FALSE)


@operation(kernel="include/linux/highmem-internal.h: kmap_atomic_prot()")
def kmap_atomic(s: KmapLocals, cpu: Cpu, f: Frame, deeper: KmIdx) -> Step:
    """The same, and no preemption until it is unmapped."""
    return _push(s, cpu, f, deeper, atomic=TRUE)


def _pop(s: KmapLocals, cpu: Cpu, i: KmIdx) -> list[Update]:
    """kunmap_local_indexed(): whatever the address, the slot on top is emptied."""
    t = s.current[cpu]
    return [
        s.pte.set((cpu, i), NONE),
        s.tlb.set((cpu, i), NONE),
        s.pteval.set((t, i), NONE),
        s.atomic.set((t, i), FALSE),
        s.idx.set(t, i),
    ]


def _may_unmap(s: KmapLocals, cpu: Cpu, i: KmIdx) -> Bool:
    """Whoever runs has mapped what is at that depth."""
    return s.runs_code(cpu) & s.in_irq[cpu].implies(~s.before[i, s.base[cpu]])


@operation(kernel="mm/highmem.c: kunmap_local_indexed()")
def kunmap_local(s: KmapLocals, cpu: Cpu, i: KmIdx) -> Step:
    """Unmap what was mapped last, and flush it on this CPU."""
    t = s.current[cpu]
    return Step(
        when=_may_unmap(s, cpu, i) & s.is_next(i, s.idx[t]),
        then=[*_pop(s, cpu, i), s.pointer.set((t, i), NONE)],
    )


# Against Documentation/mm/highmem.rst: nested mappings that are unmapped in the order of mapping.
@operation(kernel="mm/highmem.c: kunmap_local_indexed()", name="kunmap_local")
def kunmap_local_in_any_order(s: KmapLocals, cpu: Cpu, i: KmIdx, top: KmIdx) -> Step:
    """Somebody unmaps any of his mappings; it is the one on top that goes."""
    t = s.current[cpu]
    return Step(
        when=_may_unmap(s, cpu, i) & s.is_next(top, s.idx[t]) & s.pointer[t, i].is_some,
        then=[*_pop(s, cpu, top), s.pointer.set((t, i), NONE)],
    )


@operation(kernel="arch/x86/kernel/irq.c: common_interrupt()")
def enter_irq(s: KmapLocals, cpu: Cpu) -> Step:
    """An interrupt, also in the middle of a context switch."""
    return Step(
        when=~s.in_irq[cpu],
        then=[s.in_irq.set(cpu, TRUE), s.base.set(cpu, s.idx[s.current[cpu]])],
    )


@operation(kernel="arch/x86/kernel/irq.c: common_interrupt()")
def leave_irq(s: KmapLocals, cpu: Cpu) -> Step:
    """An interrupt ends when it has unmapped what it mapped."""
    done = s.idx[s.current[cpu]] == s.base[cpu]
    return Step(when=s.in_irq[cpu] & done, then=[s.in_irq.set(cpu, FALSE)])


# Context switch and migration.

context_switch = Procedure(
    "context_switch",
    kernel="kernel/sched/core.c: context_switch()",
    doc="Take the mappings of the old thread out, switch, put those of the new one in.",
)


@context_switch.step
def kmap_local_sched_out(s: KmapLocals, cpu: Cpu) -> Step:
    """Empty the slots of the thread and flush them; its stack stays as it is."""
    t = s.current[cpu]
    preemptible = forall(KmIdx, lambda i: ~s.atomic[t, i])

    def used(c: Cpu, i: KmIdx) -> Bool:
        return (c == cpu) & s.before[i, s.idx[t]]

    return Step(
        when=~s.in_irq[cpu] & preemptible,
        then=[s.pte.fill(lambda c, i: NONE, used), s.tlb.fill(lambda c, i: NONE, used)],
    )


@context_switch.step
def switch_to(s: KmapLocals, cpu: Cpu, t: Task) -> Step:
    """Another thread of this CPU, or the same one."""
    ready = (s.life[t] == Life.ALIVE) & s.task_cpu[t, cpu]
    return Step(when=~s.in_irq[cpu] & ready, then=[s.current.set(cpu, t)])


@context_switch.step
def kmap_local_sched_in(s: KmapLocals, cpu: Cpu) -> Step:
    """Fill the slots from the stack of the thread."""
    t = s.current[cpu]
    return Step(
        when=~s.in_irq[cpu],
        then=[
            s.pte.fill(lambda c, i: s.pteval[t, i], lambda c, i: (c == cpu) & s.before[i, s.idx[t]])
        ],
    )


def _move(s: KmapLocals, t: Task, cpu: Cpu, *, pinned: Bool) -> Step:
    return Step(
        when=s.is_off_cpu(t) & (s.life[t] == Life.ALIVE) & ~pinned,
        then=[s.task_cpu.fill(lambda u, c: c == cpu, lambda u, c: u == t)],
    )


@operation(kernel="kernel/sched/core.c: set_task_cpu(), is_migration_disabled()")
def migrate(s: KmapLocals, t: Task, cpu: Cpu) -> Step:
    """A thread that has nothing mapped moves to another CPU."""
    return _move(s, t, cpu, pinned=~s.has_none(t))


# Why __kmap_local_pfn_prot() begins with migrate_disable().
@operation(kernel="kernel/sched/core.c: set_task_cpu()", name="migrate")
def migrate_always(s: KmapLocals, t: Task, cpu: Cpu) -> Step:
    """A thread moves to another CPU, whatever it has mapped."""
    return _move(s, t, cpu, pinned=FALSE)


# Threads.


@operation(kernel="kernel/fork.c: dup_task_struct()")
def dup_task_struct(s: KmapLocals, cpu: Cpu, child: Task) -> Step:
    """A copy of the thread that forks, its stack of mappings included."""
    t = s.current[cpu]
    return Step(
        when=context_switch.idle(s, cpu) & ~s.in_irq[cpu] & (s.life[child] == Life.NONE),
        then=[
            s.life.set(child, Life.NEW),
            s.task_cpu.fill(lambda u, c: c == cpu, lambda u, c: u == child),
            s.idx.set(child, s.idx[t]),
            s.pteval.fill(lambda u, i: s.pteval[t, i], lambda u, i: u == child),
        ],
    )


@operation(kernel="mm/highmem.c: kmap_local_fork(); kernel/fork.c: wake_up_new_task()")
def kmap_local_fork(s: KmapLocals, child: Task) -> Step:
    """The child starts with nothing mapped."""
    return Step(
        when=s.life[child] == Life.NEW,
        then=[
            s.idx.set(child, s.bottom[()]),
            s.pteval.fill(lambda u, i: NONE, lambda u, i: u == child),
            s.life.set(child, Life.ALIVE),
        ],
    )


@operation(kernel="kernel/exit.c: do_exit(); mm/highmem.c: kmap_assert_nomap()")
def exit_thread(s: KmapLocals, t: Task) -> Step:
    """A thread that has nothing mapped is gone."""
    return Step(
        when=s.is_off_cpu(t) & (s.life[t] == Life.ALIVE) & s.has_none(t),
        then=[s.life.set(t, Life.NONE)],
    )
