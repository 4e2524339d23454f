"""The slots of kmap_local_page() and kmap_atomic().

What it checks: what a thread or an interrupt has mapped is in its slot while it runs, and it reaches
that page and no other; after the context switch it does again; slots above are empty; the stack of a
thread is what it has mapped and not unmapped, in that order; a child starts with nothing; a thread with
mappings stays on its CPU (promises 1, 2, 3 and 7 of docs/keys.md).
Why it matters: the address of a mapping says nothing of its page; whoever runs on the CPU next would
use the page of somebody else.
Kernel precedent: the comment above __kmap_local_sched_out(); Documentation/mm/highmem.rst.
Smallest counterexample: two mappings, of which the first is unmapped first (kmap-local-any-order).
Not covered: the guard slots of CONFIG_DEBUG_KMAP_LOCAL, addresses that are given to other threads,
kmap_high_get() of ARM, interrupts within interrupts.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, Task
from mapproof.model.operations.kmap_local import (
    KmapLocals,
    KmapNested,
    KmapThreads,
    KmIdx,
    Life,
    context_switch,
)


@always
def mappings_are_in_their_slots(s: KmapLocals, cpu: Cpu, i: KmIdx) -> Bool:
    """What the code that runs on a CPU has mapped is in the CPU's slot."""
    t = s.current[cpu]
    there = s.pte[cpu, i].is_some & (s.pte[cpu, i] == s.pteval[t, i])
    return s.is_installed(cpu, i).implies(there)


@always
def pointers_reach_their_page(s: KmapLocals, cpu: Cpu, i: KmIdx) -> Bool:
    """An address that the code which runs on a CPU has mapped leads to the page that it mapped."""
    wanted = s.pointer[s.current[cpu], i]
    here = s.is_installed(cpu, i) | context_switch.idle(s, cpu)
    cached = s.tlb[cpu, i].is_some.implies(s.tlb[cpu, i] == wanted)
    return (here & wanted.is_some).implies((s.pte[cpu, i] == wanted) & cached)


@always
def addresses_are_of_the_threads_cpu(s: KmapLocals, t: Task, i: KmIdx, cpu: Cpu) -> Bool:
    """An address that somebody may use is a slot of the CPU that the thread belongs to."""
    return s.pointer[t, i].is_some.implies(s.slot_of[t, i, cpu] == s.task_cpu[t, cpu])


@always
def the_stack_is_what_is_mapped(s: KmapLocals, t: Task, i: KmIdx) -> Bool:
    """Below its depth, and only there, a thread that runs or has run has mappings; they are recorded."""
    below = s.before[i, s.idx[t]]
    recorded = s.pteval[t, i] == s.pointer[t, i]
    return (s.life[t] != Life.NEW).implies((s.pointer[t, i].is_some == below) & recorded)


@always
def other_slots_are_empty(s: KmapLocals, cpu: Cpu, i: KmIdx) -> Bool:
    """A slot that has no mapping of the thread or interrupt is empty, and not in the TLB."""
    empty = s.pte[cpu, i].is_none & s.tlb[cpu, i].is_none
    return (~s.is_installed(cpu, i)).implies(empty)


@always
def atomic_mappings_are_on_the_stack(s: KmapLocals, t: Task, i: KmIdx) -> Bool:
    """What was mapped by kmap_atomic() is below the depth."""
    return s.atomic[t, i].implies(s.before[i, s.idx[t]])


@always
def atomic_mappings_are_not_taken_out(s: KmapLocals, cpu: Cpu, i: KmIdx) -> Bool:
    """A mapping of kmap_atomic() of the thread on a CPU is in its slot, whatever the CPU does."""
    return s.atomic[s.current[cpu], i].implies(s.is_installed(cpu, i))


@always
def atomic_mappings_keep_their_cpu(s: KmapLocals, t: Task, i: KmIdx) -> Bool:
    """A thread that nobody runs has nothing mapped by kmap_atomic()."""
    return s.is_off_cpu(t).implies(~s.atomic[t, i])


@always
def threads_run_on_their_cpu(s: KmapLocals, cpu: Cpu, t: Task, other: Cpu) -> Bool:
    """A thread runs on the CPU that it belongs to, and on no other."""
    belongs = (s.current[cpu] == t).implies(s.task_cpu[t, cpu] & (s.life[t] == Life.ALIVE))
    return belongs & (s.task_cpu[t, cpu] & s.task_cpu[t, other]).implies(cpu == other)


@always
def threads_that_start_have_nothing_mapped(s: KmapLocals, t: Task, i: KmIdx) -> Bool:
    """A thread that does not exist, or is being made, has no mapping of its own."""
    return (s.life[t] != Life.ALIVE).implies(s.pointer[t, i].is_none)


@always
def interrupts_leave_the_threads_mappings(s: KmapLocals, cpu: Cpu) -> Bool:
    """In an interrupt the stack is as deep as it was, or deeper."""
    return s.in_irq[cpu].implies(~s.before[s.idx[s.current[cpu]], s.base[cpu]])


@step
def stacks_change_by_code_that_runs(
    s: KmapLocals, new: KmapLocals, cpu: Cpu, t: Task, i: KmIdx
) -> Bool:
    """The context switch leaves the stacks alone, and nobody changes the stack of a thread that does
    not run."""
    running = s.life[t] == Life.ALIVE
    still = (s.idx[t] == new.idx[t]) & (s.pteval[t, i] == new.pteval[t, i])
    off = s.is_off_cpu(t) | ((s.current[cpu] == t) & ~s.runs_code(cpu))
    return (running & off).implies(still)


@step
def mappings_flush_one_cpu(
    s: KmapLocals, new: KmapLocals, cpu: Cpu, other: Cpu, i: KmIdx, j: KmIdx
) -> Bool:
    """The cost: a slot is flushed when it is emptied, by the CPU that it belongs to, and no other CPU
    flushes with it."""
    gone = s.tlb[cpu, i].is_some & new.tlb[cpu, i].is_none
    also = s.tlb[other, j].is_some & new.tlb[other, j].is_none
    emptied = s.pte[cpu, i].is_some & new.pte[cpu, i].is_none
    return gone.implies(emptied & also.implies(cpu == other))


@step
def interrupts_end_as_deep_as_they_began(s: KmapLocals, new: KmapLocals, cpu: Cpu) -> Bool:
    """An interrupt has unmapped what it mapped when it ends, and begins at the depth of its thread."""
    differs = s.in_irq[cpu] != new.in_irq[cpu]
    return differs.implies(s.idx[s.current[cpu]] == new.base[cpu])


@step
def threads_with_mappings_stay(s: KmapLocals, new: KmapLocals, t: Task, cpu: Cpu) -> Bool:
    """A thread that has something mapped belongs to the same CPU as before."""
    pinned = (s.life[t] == Life.ALIVE) & ~s.has_none(t)
    return pinned.implies((s.task_cpu[t, cpu] == new.task_cpu[t, cpu]) & (new.life[t] == s.life[t]))


@step
def threads_move_while_they_may_run(s: KmapLocals, new: KmapLocals, t: Task, cpu: Cpu) -> Bool:
    """A thread that does not exist, or is being made, belongs to the CPU where fork() put it."""
    still = (s.life[t] != Life.ALIVE) & (new.life[t] == s.life[t])
    return still.implies(s.task_cpu[t, cpu] == new.task_cpu[t, cpu])


@sometimes
def a_thread_has_mappings_while_another_runs(s: KmapNested, cpu: Cpu, t: Task, i: KmIdx) -> Bool:
    """A CPU runs a thread with a mapping, and one that it has switched from has one in that slot."""
    both = s.is_installed(cpu, i) & s.pointer[t, i].is_some & s.task_cpu[t, cpu]
    return both & (s.current[cpu] != t) & (s.pointer[t, i] != s.pte[cpu, i])


@sometimes
def a_child_is_made_with_the_stack_of_its_parent(
    s: KmapLocals, child: Task, cpu: Cpu, i: KmIdx
) -> Bool:
    """fork() has copied a stack with a mapping, and not yet emptied the copy."""
    made = (s.life[child] == Life.NEW) & s.task_cpu[child, cpu]
    return made & ~s.has_none(child) & s.pteval[child, i].is_some


@sometimes
def an_interrupt_maps_within_a_switch(s: KmapNested, cpu: Cpu, i: KmIdx, j: KmIdx) -> Bool:
    """An interrupt has a mapping above those of a thread which the context switch has taken out."""
    t = s.current[cpu]
    out = s.pointer[t, i].is_some & s.pte[cpu, i].is_none
    return s.in_irq[cpu] & out & s.pte[cpu, j].is_some


@sometimes
def two_cpus_have_mappings(s: KmapThreads, a: Cpu, b: Cpu, i: KmIdx) -> Bool:
    """Two CPUs have mappings, of different threads, at the same depth."""
    return (a != b) & s.is_installed(a, i) & s.is_installed(b, i)


@sometimes
def an_atomic_mapping_is_used(s: KmapLocals, cpu: Cpu, i: KmIdx) -> Bool:
    """A thread has a mapping of kmap_atomic() in its TLB."""
    return s.atomic[s.current[cpu], i] & s.tlb[cpu, i].is_some


@sometimes
def an_interrupt_has_a_mapping(s: KmapLocals, cpu: Cpu, i: KmIdx) -> Bool:
    """An interrupt has mapped a page."""
    return s.in_irq[cpu] & s.is_installed(cpu, i) & ~s.before[i, s.base[cpu]]


@sometimes
def a_thread_goes_on_after_an_interrupt(s: KmapLocals, cpu: Cpu, i: KmIdx) -> Bool:
    """A thread still has what it had mapped when an interrupt came, which is over."""
    return ~s.in_irq[cpu] & s.before[i, s.base[cpu]] & s.is_installed(cpu, i)


@sometimes
def a_thread_waits_for_its_cpu(s: KmapLocals, cpu: Cpu, t: Task) -> Bool:
    """A thread may run, and another one runs."""
    return (s.life[t] == Life.ALIVE) & s.is_off_cpu(t) & s.task_cpu[t, cpu]


@sometimes
def a_thread_with_a_mapping_waits(s: KmapLocals, t: Task, i: KmIdx) -> Bool:
    """A thread has been preempted with a mapping."""
    return s.is_off_cpu(t) & s.pointer[t, i].is_some


@sometimes
def a_thread_has_exited(s: KmapThreads, cpu: Cpu, t: Task) -> Bool:
    """A thread is gone that belonged to a CPU."""
    return (s.life[t] == Life.NONE) & s.task_cpu[t, cpu]
