"""Entries that are read while they are written.

What it checks: no walk reads halves of two entries; what it reads is what the writer meant.
Why it matters: a page number of two halves is any page of the machine.
Kernel precedent: 9bc4f28af75a ("x86/mm: Use WRITE_ONCE when setting PTEs").
Smallest counterexample: a page is mapped, with the present bit first (pte-store-torn).
Not covered: the compiler, memory order between different entries, the change of a present entry, the
flush between clearing an entry and its next use.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, Va
from mapproof.model.operations.pte_store import Halves, set_pte


@always
def no_entry_is_read_torn(s: Halves, cpu: Cpu) -> Bool:
    """No CPU has read halves of two entries."""
    return ~s.torn[cpu]


@always
def walks_read_what_was_meant(s: Halves, cpu: Cpu, va: Va) -> Bool:
    """What a CPU has read is what the last writer meant."""
    return s.tlb[cpu, va].is_some.implies(s.tlb[cpu, va] == s.mapped[va])


@always
def unlocked_entries_are_whole(s: Halves, va: Va) -> Bool:
    """An entry that nobody writes is what was meant."""
    whole = (s.low[va] == s.high[va]) & (s.mapped[va] == s.low[va])
    settled = s.present[va].implies(whole) & (~s.present[va]).implies(s.mapped[va].is_none)
    return (~s.locked[va]).implies(settled)


@always
def one_store_is_enough(s: Halves, va: Va) -> Bool:
    """Where an entry is one word, it is whole while its writer still has the lock."""
    whole = s.present[va] & (s.low[va] == s.high[va]) & (s.mapped[va] == s.low[va])
    return (s.one_store[()] & s.locked[va]).implies(whole)


@always
def writers_have_the_lock(s: Halves, a: Cpu, b: Cpu) -> Bool:
    """Whoever writes an entry holds its lock, alone."""
    both = ~set_pte.idle(s, a) & ~set_pte.idle(s, b) & (s.write.va[a] == s.write.va[b])
    return (~set_pte.idle(s, a)).implies(s.locked[s.write.va[a]]) & both.implies(a == b)


@step
def locked_entries_are_the_writers(old: Halves, new: Halves, va: Va) -> Bool:
    """An entry that is being written is not cleared."""
    cleared = old.mapped[va].is_some & new.mapped[va].is_none
    return cleared.implies(~old.locked[va] & old.present[va])


@step
def writers_leave_a_page(old: Halves, new: Halves, cpu: Cpu) -> Bool:
    """A writer ends with its page mapped, and without the lock."""
    ends = ~set_pte.idle(old, cpu) & set_pte.idle(new, cpu)
    va = old.write.va[cpu]
    mapped = new.present[va] & (new.mapped[va] == old.write.frame[cpu])
    return ends.implies(mapped & ~new.locked[va])


@sometimes
def a_walk_reads_a_page(s: Halves, cpu: Cpu, va: Va) -> Bool:
    """A CPU has a page, and nobody writes."""
    return s.tlb[cpu, va].is_some & ~s.locked[va]


@sometimes
def halves_differ_for_a_while(s: Halves, va: Va) -> Bool:
    """An entry is half written, and not present."""
    return s.locked[va] & ~s.present[va] & (s.low[va] != s.high[va])
