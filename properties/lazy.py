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

from mapproof.model.language import Bool, always, sometimes
from mapproof.model.machine.sorts import Cpu, PmdSlot
from mapproof.model.operations.lazy import LazyTlb, Use


@always
def linked_tables_are_tables(s: LazyTlb, i: PmdSlot) -> Bool:
    """A PMD entry leads to a table."""
    return s.link[i].is_some.implies(s.use[s.link[i].value] == Use.TABLE)


@always
def speculation_stays_in_tables(s: LazyTlb, cpu: Cpu, i: PmdSlot) -> Bool:
    """What a CPU has cached of a PMD entry is a table, lazy or not."""
    cached = s.pmd_cache[cpu, i]
    return cached.is_some.implies(s.use[cached.value] == Use.TABLE)


@sometimes
def a_lazy_cpu_knows_the_way(s: LazyTlb, cpu: Cpu, i: PmdSlot) -> Bool:
    """A lazy CPU has cached an entry that is gone."""
    cached = s.pmd_cache[cpu, i]
    return s.is_lazy[cpu] & cached.is_some & (cached != s.link[i])
