"""Tables that mmu_gather frees.

What it checks: a PMD entry, a paging-structure cache and a lockless walker lead to a page that has not
been freed (invariant 9 of TLB and table lifetime); what is on its way to be freed is linked nowhere.
Why it matters: the page is somebody else's data by then, and is read as page-table entries.
Kernel precedent: d86564a2f085 and 0ed1325967ab; the comment on semi RCU freeing in mm/mmu_gather.c.
Smallest counterexample: a CPU caches the way, no page for a batch, an IPI that flushes nothing
(mmu-gather-single-not-flushed).
Not covered: pages (see batched), lazy CPUs (see lazy), levels above the PMD.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, PmdSlot, Pte
from mapproof.model.operations.gather import Tables, free_pgtables


@always
def entries_lead_to_taken_tables(s: Tables, i: PmdSlot) -> Bool:
    """A PMD entry leads to a table that has not been freed."""
    return s.link[i].is_some.implies(s.taken[s.link[i].value])


@always
def caches_lead_to_taken_tables(s: Tables, cpu: Cpu, i: PmdSlot) -> Bool:
    """So does what a CPU has cached of one."""
    cached = s.pmd_cache[cpu, i]
    return cached.is_some.implies(s.taken[cached.value])


@always
def walkers_are_in_taken_tables(s: Tables, cpu: Cpu) -> Bool:
    """A lockless walker is in a table that has not been freed."""
    return s.walks[cpu].is_some.implies(s.taken[s.walks[cpu].value])


@always
def no_cpu_knows_a_queued_table(s: Tables, cpu: Cpu, i: PmdSlot, t: Pte) -> Bool:
    """A table that was left to RCU is linked nowhere and cached nowhere."""
    known = (s.link[i] == t) | (s.pmd_cache[cpu, i] == t)
    return s.queued[t].implies(s.taken[t] & ~known)


@step
def walkers_end_by_themselves(old: Tables, new: Tables, cpu: Cpu) -> Bool:
    """Nobody takes a walker out of its table."""
    return (old.walks[cpu].is_some & new.walks[cpu].is_some).implies(
        old.walks[cpu] == new.walks[cpu]
    )


@step
def entries_are_not_replaced(old: Tables, new: Tables, i: PmdSlot) -> Bool:
    """A table is unlinked before another one takes its place."""
    both = old.link[i].is_some & new.link[i].is_some
    return both.implies(old.link[i] == new.link[i])


@step
def tables_are_free_at_the_end(old: Tables, new: Tables, by: Cpu, t: Pte) -> Bool:
    """A table that is left by RCU, or freed without a batch, is free for anyone."""
    single = free_pgtables.at(old, by, free_pgtables.steps[5]) & free_pgtables.idle(new, by)
    one = (single & (old.gather.table[by] == t)).implies(~new.taken[t])
    return one & (old.queued[t] & ~new.queued[t]).implies(~new.taken[t])


@sometimes
def a_walker_is_in_an_unlinked_table(s: Tables, cpu: Cpu, t: Pte) -> Bool:
    """A table waits for its grace period with a walker in it."""
    return s.queued[t] & (s.walks[cpu] == t)


@sometimes
def a_cpu_has_cached_what_is_unlinked(s: Tables, cpu: Cpu, by: Cpu, i: PmdSlot) -> Bool:
    """A CPU knows the way to a table while another one frees it."""
    return ~free_pgtables.idle(s, by) & s.pmd_cache[cpu, i].is_some & s.link[i].is_none


@sometimes
def a_table_is_free_again(s: Tables, cpu: Cpu, by: Cpu, t: Pte) -> Bool:
    """A table was freed without a batch, and taken again, while its owner is still at it."""
    asked = free_pgtables.at(s, by, free_pgtables.steps[5])
    return asked & s.walks[cpu].is_some & ~s.gather.sync[by, by] & s.taken[t]
