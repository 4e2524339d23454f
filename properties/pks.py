"""Brackets around accesses to protected pages.

What it checks: within a bracket a thread, or an interrupt, reaches its pages; outside of every bracket
it reaches no protected page, unless a relaxed fault has let it; the bracket of a thread is no other
thread's and no interrupt's; what is saved for a thread is open if, and only if, its count is not zero
(promises 5, 6, 7, 9 and 10 of docs/keys.md).
Why it matters: the key is what stands between a stray write of the kernel and data that survive a
reboot; and a bracket that does not open is an oops in a driver that did everything right.
Kernel precedent: the PKS series, V8 to V10 (2022), and its review; it was not merged.
Smallest counterexample: an interrupt comes within a bracket and counts in it (pks-shared-count).
Not covered: several brackets of one thread around one page, exceptions that nest or sleep, keys of
other users, instruction fetches, which keys do not stop.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame, Task
from mapproof.model.operations.pks import (
    Pks,
    kmap_local_page,
    kunmap_local,
    save_noaccess,
    save_readwrite,
    write_noaccess,
    write_readwrite,
)


def _opens(s: Pks, t: Task) -> Bool:
    """The count is not 0 any more, the key not yet through."""
    return kmap_local_page.at(s, t, save_readwrite) | kmap_local_page.at(s, t, write_readwrite)


def _shuts(s: Pks, t: Task) -> Bool:
    """The count is 0 already, the key not yet shut."""
    return kunmap_local.at(s, t, save_noaccess) | kunmap_local.at(s, t, write_noaccess)


@always
def brackets_let_threads_through(s: Pks, cpu: Cpu, f: Frame) -> Bool:
    """A thread that has mapped a page can use it, wherever it runs."""
    used = s.pointer[s.current[cpu], f] & ~s.in_irq[cpu]
    return used.implies(s.can_access(cpu, f))


@always
def brackets_let_interrupts_through(s: Pks, cpu: Cpu, f: Frame) -> Bool:
    """An interrupt that has mapped a page can use it."""
    return s.irq_counted[cpu, f].implies(s.can_access(cpu, f))


@always
def only_brackets_let_threads_through(s: Pks, cpu: Cpu, f: Frame) -> Bool:
    """A thread that can use a protected page is in a bracket, or in the function that closes it, or was
    let through by a fault."""
    t = s.current[cpu]
    inside = ~s.count_is_zero(t) | _shuts(s, t) | s.relaxed[cpu]
    reached = ~s.in_irq[cpu] & s.protected[f] & s.can_access(cpu, f)
    return reached.implies(inside)


@always
def only_brackets_let_interrupts_through(s: Pks, cpu: Cpu, f: Frame) -> Bool:
    """An interrupt that can use a protected page is in a bracket of its own, or was let through by a
    fault: the bracket of the thread below it does not count."""
    reached = s.in_irq[cpu] & s.protected[f] & s.can_access(cpu, f)
    return reached.implies(~s.irq_count_is_zero(cpu) | s.irq_relaxed[cpu])


@always
def pages_without_key_are_open(s: Pks, cpu: Cpu, f: Frame) -> Bool:
    """What is not protected needs no bracket, and has none."""
    free = s.can_access(cpu, f) & ~s.irq_counted[cpu, f]
    return (~s.protected[f]).implies(free)


@always
def what_is_saved_follows_the_count(s: Pks, t: Task) -> Bool:
    """The value of a thread lets the key through if, and only if, its count is not 0, but within the
    functions that change both."""
    between = kmap_local_page.at(s, t, save_readwrite) | kunmap_local.at(s, t, save_noaccess)
    return (~between).implies(s.saved[t] == ~s.count_is_zero(t))


@always
def counts_are_of_addresses(s: Pks, t: Task, f: Frame) -> Bool:
    """A thread is counted for the pages that it has mapped, and for the one that it is mapping."""
    mapping = ~kmap_local_page.idle(s, t) & (s.bracket.page[t] == f)
    return s.counted[t, f] == (s.pointer[t, f] | mapping)


@always
def interrupts_restore_what_they_found(s: Pks, cpu: Cpu) -> Bool:
    """What pt_regs keep, or outside of interrupts the register, is the thread's, unless a fault has
    opened it or the thread is about to write it."""
    t = s.current[cpu]
    kept = (s.in_irq[cpu] & s.frame[cpu]) | (~s.in_irq[cpu] & s.pkrs[cpu])
    writes = kmap_local_page.at(s, t, write_readwrite) | kunmap_local.at(s, t, write_noaccess)
    return (kept == (s.saved[t] | s.relaxed[cpu])) | writes


@always
def interrupts_have_brackets_in_interrupts(s: Pks, cpu: Cpu) -> Bool:
    """Outside of interrupts there is nothing of an interrupt."""
    return (~s.in_irq[cpu]).implies(s.irq_count_is_zero(cpu) & ~s.irq_relaxed[cpu])


@always
def faults_let_through_in_relaxed_mode(s: Pks, cpu: Cpu) -> Bool:
    """In strict mode no fault lets anybody through."""
    return s.strict[()].implies(~s.relaxed[cpu] & ~s.irq_relaxed[cpu])


@always
def threads_run_on_one_cpu(s: Pks, a: Cpu, b: Cpu) -> Bool:
    """Two CPUs run two threads."""
    return (s.current[a] == s.current[b]).implies(a == b)


@always
def only_protected_pages_are_counted(s: Pks, t: Task, f: Frame) -> Bool:
    """A page without a key is in no count."""
    return s.counted[t, f].implies(s.protected[f])


@always
def who_maps_a_page_has_it_not(s: Pks, t: Task) -> Bool:
    """A thread in kmap_local_page() gets its only bracket around the page."""
    return (~kmap_local_page.idle(s, t)).implies(~s.pointer[t, s.bracket.page[t]])


@always
def faults_let_through_what_was_shut(s: Pks, cpu: Cpu, f: Frame) -> Bool:
    """What a fault has opened is open, and no thread needs that within a bracket."""
    opened = (s.relaxed[cpu] & ~s.in_irq[cpu]) | s.irq_relaxed[cpu]
    needless = s.relaxed[cpu] & s.pointer[s.current[cpu], f]
    return opened.implies(s.pkrs[cpu]) & ~needless


@step
def threads_change_what_is_theirs_while_they_run(
    s: Pks, new: Pks, cpu: Cpu, t: Task, f: Frame
) -> Bool:
    """Count, addresses and value of a thread stay while no CPU runs it, and in interrupts."""
    stopped = s.is_off_cpu(t) | ((s.current[cpu] == t) & s.in_irq[cpu])
    same = (s.counted[t, f] == new.counted[t, f]) & (s.pointer[t, f] == new.pointer[t, f])
    return stopped.implies(same & (s.saved[t] == new.saved[t]))


@step
def the_first_opens_and_the_last_shuts(s: Pks, new: Pks, t: Task) -> Bool:
    """The cost: the value of a thread is changed when its count becomes 1 or 0, and only then."""
    opens = kmap_local_page.idle(s, t) & kmap_local_page.at(new, t, save_readwrite)
    shuts = kunmap_local.idle(s, t) & kunmap_local.at(new, t, save_noaccess)
    shut = ~s.count_is_zero(t) & new.count_is_zero(t)
    return opens.implies(s.count_is_zero(t)) & shuts.implies(shut)


@step
def faults_are_of_the_key(s: Pks, new: Pks, cpu: Cpu) -> Bool:
    """A fault lets somebody through to a protected page that was shut."""
    thread, irq = ~s.relaxed[cpu] & new.relaxed[cpu], ~s.irq_relaxed[cpu] & new.irq_relaxed[cpu]
    shut = exists(Frame, lambda f: s.protected[f] & ~s.can_access(cpu, f))
    return (thread | irq).implies(shut)


@sometimes
def a_thread_has_two_brackets(s: Pks, t: Task, f: Frame, g: Frame) -> Bool:
    """A thread uses two protected pages."""
    return (f != g) & s.pointer[t, f] & s.pointer[t, g]


@sometimes
def a_bracket_is_preempted(s: Pks, cpu: Cpu, t: Task, f: Frame) -> Bool:
    """A thread within a bracket does not run, and the one that runs instead cannot use its page."""
    return s.pointer[t, f] & s.is_off_cpu(t) & ~s.can_access(cpu, f)


@sometimes
def an_interrupt_has_a_bracket_in_a_bracket(s: Pks, cpu: Cpu, f: Frame, g: Frame) -> Bool:
    """An interrupt uses a protected page while the thread below it uses another one."""
    return (f != g) & s.irq_counted[cpu, g] & s.pointer[s.current[cpu], f] & s.can_access(cpu, g)


@sometimes
def an_interrupt_has_a_bracket_of_its_own(s: Pks, cpu: Cpu, f: Frame) -> Bool:
    """An interrupt uses a protected page above a thread that uses none."""
    return s.irq_counted[cpu, f] & s.can_access(cpu, f) & s.count_is_zero(s.current[cpu])


@sometimes
def a_bracket_goes_on_after_an_interrupt(s: Pks, cpu: Cpu, f: Frame) -> Bool:
    """A thread uses its page again after an interrupt that found the key open."""
    return s.frame[cpu] & ~s.in_irq[cpu] & s.pointer[s.current[cpu], f] & s.can_access(cpu, f)


@sometimes
def a_fault_lets_a_thread_through(s: Pks, cpu: Cpu, f: Frame) -> Bool:
    """A thread without a bracket goes on after a fault."""
    t = s.current[cpu]
    return s.relaxed[cpu] & s.protected[f] & s.can_access(cpu, f) & s.count_is_zero(t)


@sometimes
def a_stray_write_within_a_bracket_hits(s: Pks, cpu: Cpu, f: Frame) -> Bool:
    """The limit of one key: within a bracket all protected pages can be written, mapped or not."""
    t = s.current[cpu]
    return ~s.in_irq[cpu] & s.saved[t] & s.can_access(cpu, f) & s.protected[f] & ~s.counted[t, f]
