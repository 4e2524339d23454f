"""Tables that are freed while CPUs are lazy.

What it checks: what a PMD entry leads to, or any CPU has cached as that, is a table.
Why it matters: a lazy CPU touches no user page, but it speculates; through a table that was freed and
reused it reaches whatever is written there, on some processors a machine check.
Kernel precedent: "x86/mm: Flush more aggressively in lazy TLB mode"; J. Horn, "Fix flush_tlb_range()
when used for zapping normal PMDs".
Smallest counterexample: a lazy CPU knows the way to a table, another CPU frees it (lazy-not-asked).
Not covered: translations of pages, lockless walkers, tables freed by RCU.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, exists, sometimes, step
from mapproof.model.machine.sorts import Cpu, PmdSlot, Pte
from mapproof.model.operations.lazy import LazyTlb, Use, collapse, free_pgtables


def _flushed(s: LazyTlb, by: Cpu) -> Bool:
    """A CPU has sent its requests, and has not freed the table yet."""
    munmap = free_pgtables.at(s, by, free_pgtables.steps[2])
    return munmap | collapse.at(s, by, collapse.steps[2])


@always
def linked_tables_are_tables(s: LazyTlb, i: PmdSlot) -> Bool:
    """A PMD entry leads to a table."""
    return s.link[i].is_some.implies(s.use[s.link[i].value] == Use.TABLE)


@always
def speculation_stays_in_tables(s: LazyTlb, cpu: Cpu, i: PmdSlot) -> Bool:
    """What a CPU has cached of a PMD entry is a table, lazy or not."""
    cached = s.pmd_cache[cpu, i]
    return cached.is_some.implies(s.use[cached.value] == Use.TABLE)


@always
def cpus_that_left_know_nothing(s: LazyTlb, cpu: Cpu, i: PmdSlot) -> Bool:
    """A CPU that is not in the mask is neither lazy nor behind, and has nothing cached."""
    nothing = ~s.is_lazy[cpu] & ~s.behind[cpu] & s.pmd_cache[cpu, i].is_none
    return (~s.in_mask[cpu]).implies(nothing)


@always
def only_who_is_asked_is_waited_for(s: LazyTlb, by: Cpu, cpu: Cpu) -> Bool:
    """Answers are missing only of CPUs that got the request."""
    return (_flushed(s, by) & s.freeing.waits_for[by, cpu]).implies(s.freeing.asked[by, cpu])


@always
def no_table_is_lost(s: LazyTlb, t: Pte) -> Bool:
    """A table is linked, or a CPU is freeing it."""

    def freed(by: Cpu) -> Bool:
        busy = ~(free_pgtables.idle(s, by) & collapse.idle(s, by))
        return busy & (s.freeing.table[by] == t)

    linked = exists(PmdSlot, lambda i: s.link[i] == t)
    return (s.use[t] == Use.TABLE).implies(linked | exists(Cpu, freed))


@always
def only_lazy_cpus_are_behind(s: LazyTlb, cpu: Cpu) -> Bool:
    """A CPU that has skipped a flush is lazy."""
    return s.behind[cpu].implies(s.is_lazy[cpu])


@step
def who_comes_back_has_flushed(old: LazyTlb, new: LazyTlb, cpu: Cpu, i: PmdSlot) -> Bool:
    """A CPU that skipped a flush and is not lazy any more knows no way to any table."""
    back = old.behind[cpu] & ~new.is_lazy[cpu]
    return back.implies(new.pmd_cache[cpu, i].is_none)


@step
def lazy_cpus_leave_when_asked(old: LazyTlb, new: LazyTlb, cpu: Cpu, by: Cpu) -> Bool:
    """A lazy CPU that answers has left the process's tables (the comment in flush_tlb_func())."""
    answers = old.freeing.waits_for[by, cpu] & ~new.freeing.waits_for[by, cpu]
    return (_flushed(old, by) & answers & old.is_lazy[cpu]).implies(~new.in_mask[cpu])


@step
def entries_are_not_overwritten(old: LazyTlb, new: LazyTlb, i: PmdSlot) -> Bool:
    """A PMD entry is cleared before it leads to another table."""
    present = old.link[i].is_some & new.link[i].is_some
    return present.implies(new.link[i] == old.link[i])


@sometimes
def a_page_is_used_for_data(s: LazyTlb, t: Pte) -> Bool:
    """A page went to somebody else."""
    return s.use[t] == Use.DATA


@sometimes
def another_cpu_has_answered(s: LazyTlb, cpu: Cpu, by: Cpu) -> Bool:
    """Whoever frees a table has the answer of another CPU that was asked."""
    answered = s.freeing.asked[by, cpu] & ~s.freeing.waits_for[by, cpu]
    return (cpu != by) & _flushed(s, by) & answered


@sometimes
def a_cpu_is_behind(s: LazyTlb, cpu: Cpu) -> Bool:
    """A CPU has skipped a flush."""
    return s.behind[cpu]


@sometimes
def a_lazy_cpu_knows_the_way(s: LazyTlb, cpu: Cpu, i: PmdSlot) -> Bool:
    """A lazy CPU has cached an entry that is gone."""
    cached = s.pmd_cache[cpu, i]
    return s.is_lazy[cpu] & cached.is_some & (cached != s.link[i])
