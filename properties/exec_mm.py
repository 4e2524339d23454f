"""Tables that a CPU has loaded while their process ends.

What it checks: CR3 has a process that has tables; a CPU that is not in exec() has its task's process in
CR3 (invariants 4 and 7 of TLB and table lifetime, for the view that a task gives).
Why it matters: a CPU on freed tables translates by whatever is written there.
Kernel precedent: "mm: fix exec activate_mm vs TLB shootdown and lazy tlb switching race".
Smallest counterexample: a lazy CPU in exec() is asked to leave (exec-irqs-on).
Not covered: mm_cpumask (see pcid), the TLB; x86's own handler judges by loaded_mm and is not affected.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, Mm
from mapproof.model.operations.exec_mm import Tasks, exec_mmap, exit_mmap


@always
def loaded_processes_have_tables(s: Tasks, cpu: Cpu) -> Bool:
    """The tables in CR3 have not been freed."""
    return s.tables[s.loaded_mm[cpu]]


@always
def cr3_has_the_tasks_process(s: Tasks, cpu: Cpu) -> Bool:
    """Outside of exec(), CR3 has active_mm, which is the task's own process if it has one."""
    own = s.mm[cpu].is_some.implies(s.mm[cpu] == s.active_mm[cpu])
    return own & exec_mmap.idle(s, cpu).implies(s.loaded_mm[cpu] == s.active_mm[cpu])


@always
def ending_processes_have_no_task(s: Tasks, m: Mm) -> Bool:
    """A process whose tables are being freed has them still, and no task."""
    return (~exit_mmap.idle(s, m)).implies(s.tables[m] & s.unused(m))


@step
def the_end_of_a_process_frees_its_tables(old: Tasks, new: Tasks, m: Mm) -> Bool:
    """exit_mmap() ends with the tables freed."""
    ends = ~exit_mmap.idle(old, m) & exit_mmap.idle(new, m)
    return ends.implies(~new.tables[m])


@sometimes
def a_lazy_cpu_delays_the_end(s: Tasks, m: Mm, cpu: Cpu) -> Bool:
    """A process ends while a CPU is lazy on its tables."""
    return ~exit_mmap.idle(s, m) & s.mm[cpu].is_none & (s.loaded_mm[cpu] == m)


@sometimes
def exec_leaves_a_process(s: Tasks, m: Mm, cpu: Cpu) -> Bool:
    """A CPU in exec() still has a process in CR3 that is about to end."""
    return ~exec_mmap.idle(s, cpu) & ~exit_mmap.idle(s, m) & (s.loaded_mm[cpu] == m)


@sometimes
def a_process_has_two_cpus(s: Tasks, a: Cpu, b: Cpu) -> Bool:
    """Two CPUs run one process."""
    return (a != b) & s.mm[a].is_some & (s.mm[a] == s.mm[b])


@sometimes
def a_process_has_ended(s: Tasks, m: Mm, n: Mm, cpu: Cpu) -> Bool:
    """A CPU came back to init_mm from a process that is gone, and another process runs."""
    back = s.mm[cpu].is_none & (s.loaded_mm[cpu] == s.init_mm[()])
    return back & ~s.tables[m] & s.tables[n] & s.unused(n) & (n != s.init_mm[()])
