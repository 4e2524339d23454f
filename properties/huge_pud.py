"""Large pages in the place of two levels of tables.

What it checks: what a CPU has cached of a PUD or a PMD entry is a table page, and so is what the entries
lead to (invariant 4 of the vmalloc area, for pud_free_pmd_page()).
Why it matters: the processor goes on reading entries in a page that holds anything by then.
Kernel precedent: 5e0fb5df2ee8 ("x86/mm: Add TLB purge to free pmd/pte page interfaces"), T. Kani.
Smallest counterexample: cache the PUD entry, clear it, free the PMD page (huge-pud-no-flush).
Not covered: ptdump and its lock (huge_vmap has them), translations of pages.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, Pmd, PmdSlot, Pte, PudSlot
from mapproof.model.operations.huge_pud import HugePud, pud_free_pmd_page
from mapproof.model.operations.lazy import Use

_BEGIN, _CLEAR, _PUD, _FLUSH, _FREE, _DONE = pud_free_pmd_page.steps


def _unlinked(s: HugePud, cpu: Cpu) -> Bool:
    at = pud_free_pmd_page.at
    return at(s, cpu, _FLUSH) | at(s, cpu, _FREE) | at(s, cpu, _DONE)


@always
def cached_pud_entries_lead_to_tables(s: HugePud, cpu: Cpu, i: PudSlot) -> Bool:
    """What a CPU has cached of a PUD entry is a PMD page."""
    cached = s.pud_cache[cpu, i]
    return cached.is_some.implies(s.pmd_use[cached.value] == Use.TABLE)


@always
def cached_pmd_entries_lead_to_tables(s: HugePud, cpu: Cpu, i: PudSlot, k: PmdSlot) -> Bool:
    """What a CPU has cached of a PMD entry is a PTE page."""
    cached = s.pmd_cache[cpu, i, k]
    return cached.is_some.implies(s.pte_use[cached.value] == Use.TABLE)


@always
def entries_lead_to_tables(s: HugePud, i: PudSlot, p: Pmd, k: PmdSlot) -> Bool:
    """A PUD entry leads to a PMD page or is large; a PMD entry of a PMD page leads to a PTE page."""
    pud = s.pud[i].is_some.implies((s.pmd_use[s.pud[i].value] == Use.TABLE) & ~s.large[i])
    entry = s.pmd[p, k]
    used = (s.pmd_use[p] == Use.TABLE) & entry.is_some
    return pud & used.implies(s.pte_use[entry.value] == Use.TABLE)


@always
def tables_are_in_one_place(
    s: HugePud, i: PudSlot, j: PudSlot, p: Pmd, k: PmdSlot, q: Pmd, n: PmdSlot
) -> Bool:
    """Two entries never lead to one page."""
    pud = (s.pud[i].is_some & (s.pud[i] == s.pud[j])).implies(i == j)
    tables = (s.pmd_use[p] == Use.TABLE) & (s.pmd_use[q] == Use.TABLE)
    pmd = (tables & s.pmd[p, k].is_some & (s.pmd[p, k] == s.pmd[q, n])).implies((p == q) & (k == n))
    return pud & pmd


@always
def who_frees_tables_is_alone(s: HugePud, a: Cpu, b: Cpu) -> Bool:
    """Two CPUs never work on one PUD entry, nor on one PMD page."""
    both = ~pud_free_pmd_page.idle(s, a) & ~pud_free_pmd_page.idle(s, b)
    same = (s.call.slot[a] == s.call.slot[b]) | (s.call.page[a] == s.call.page[b])
    owned = (~pud_free_pmd_page.idle(s, a)).implies(s.busy[s.call.slot[a]])
    return owned & (both & same).implies(a == b)


@always
def pages_to_free_are_tables_still(s: HugePud, cpu: Cpu, i: PudSlot, k: PmdSlot) -> Bool:
    """The PMD page at hand is one; its entry leads there until it is cleared, and none does then; what
    has been cleared is empty."""
    working, p = ~pud_free_pmd_page.idle(s, cpu), s.call.page[cpu]
    linked = s.pud[s.call.slot[cpu]] == p
    unlinked = _unlinked(s, cpu)
    empty = s.call.visited[cpu, k].implies(s.pmd[p, k].is_none)
    return (
        working.implies((s.pmd_use[p] == Use.TABLE) & empty & ~s.large[s.call.slot[cpu]])
        & pud_free_pmd_page.at(s, cpu, _CLEAR).implies(linked)
        & unlinked.implies(
            (s.pud[i] != p) & s.call.visited[cpu, k] & s.pud[s.call.slot[cpu]].is_none
        )
    )


@always
def saved_pages_are_tables_still(
    s: HugePud, cpu: Cpu, k: PmdSlot, p: Pmd, n: PmdSlot, other: Cpu
) -> Bool:
    """A PTE page that was saved is one until it is freed; it is in no entry, and saved once."""
    t = s.call.saved[cpu, k]
    before = pud_free_pmd_page.at(s, cpu, _CLEAR) | pud_free_pmd_page.at(s, cpu, _FLUSH)
    before = before | pud_free_pmd_page.at(s, cpu, _FREE)
    saved = before & s.call.visited[cpu, k] & t.is_some
    theirs = pud_free_pmd_page.at(s, other, _CLEAR) | pud_free_pmd_page.at(s, other, _FLUSH)
    theirs = theirs | pud_free_pmd_page.at(s, other, _FREE)
    twice = theirs & s.call.visited[other, n] & (s.call.saved[other, n] == t)
    linked = (s.pmd_use[p] == Use.TABLE) & (s.pmd[p, n] == t)
    table = s.pte_use[t.value] == Use.TABLE
    return saved.implies(table & ~linked & twice.implies((cpu == other) & (k == n)))


@always
def caches_have_the_pud_entry(s: HugePud, cpu: Cpu, i: PudSlot, j: PudSlot, by: Cpu) -> Bool:
    """What a CPU has cached of a PUD entry is its PMD page, or one whose owner waits for the CPU."""
    cached = s.pud_cache[cpu, i]
    works = ~pud_free_pmd_page.idle(s, by) & cached.is_some
    mine = ~pud_free_pmd_page.idle(s, by) & (s.call.slot[by] == i)
    answered = pud_free_pmd_page.at(s, by, _FREE) & ~s.call.waits_for[by, cpu]
    answered = answered | pud_free_pmd_page.at(s, by, _DONE)
    return (
        (cached.is_some & s.pud[i].is_some).implies(cached == s.pud[i])
        & (cached.is_some & (s.pud[j] == cached)).implies(i == j)
        & (works & (s.call.page[by] == cached)).implies(mine)
        & (cached.is_some & mine).implies(cached == s.call.page[by])
        & (mine & answered).implies(cached.is_none)
        & (s.pud[i].is_none & ~s.busy[i]).implies(cached.is_none)
    )


@always
def cached_pages_are_of_their_entry(
    s: HugePud, cpu: Cpu, i: PudSlot, k: PmdSlot, j: PudSlot, n: PmdSlot, by: Cpu
) -> Bool:
    """What a CPU has cached of a PMD entry is in no other entry, and saved from no other one; once it
    has answered, it has nothing cached."""
    cached = s.pmd_cache[cpu, i, k]
    linked = s.pud[j].is_some & (s.pmd[s.pud[j].value, n] == cached)
    before = pud_free_pmd_page.at(s, by, _CLEAR) | pud_free_pmd_page.at(s, by, _FLUSH)
    before = before | pud_free_pmd_page.at(s, by, _FREE)
    saved = before & s.call.visited[by, n] & (s.call.saved[by, n] == cached)
    mine = s.call.slot[by] == i
    answered = pud_free_pmd_page.at(s, by, _FREE) & ~s.call.waits_for[by, cpu]
    answered = answered | pud_free_pmd_page.at(s, by, _DONE)
    return (
        (cached.is_some & linked).implies((i == j) & (k == n))
        & (cached.is_some & saved).implies(mine & (k == n))
        & (mine & answered).implies(cached.is_none)
        & (s.pud[i].is_none & ~s.busy[i]).implies(cached.is_none)
    )


@step
def tables_are_freed_before_the_large_page(old: HugePud, new: HugePud, cpu: Cpu) -> Bool:
    """When the call returns, the PMD page is free, and a large page is mapped."""
    done = ~pud_free_pmd_page.idle(old, cpu) & pud_free_pmd_page.idle(new, cpu)
    freed = new.pmd_use[old.call.page[cpu]] == Use.FREE
    i = old.call.slot[cpu]
    return done.implies(freed & new.large[i] & ~new.busy[i])


@step
def saved_pages_are_freed(old: HugePud, new: HugePud, cpu: Cpu, k: PmdSlot) -> Bool:
    """The PTE pages that were saved are free before the PMD page is."""
    freed = pud_free_pmd_page.at(old, cpu, _FREE) & ~pud_free_pmd_page.at(new, cpu, _FREE)
    t = old.call.saved[cpu, k]
    return (freed & t.is_some).implies(new.pte_use[t.value] == Use.FREE)


@step
def tables_are_saved_or_linked(old: HugePud, new: HugePud, cpu: Cpu, p: Pmd, k: PmdSlot) -> Bool:
    """What has been saved stays saved until it is freed, and a PMD entry is cleared before it leads
    elsewhere."""
    working = ~pud_free_pmd_page.idle(old, cpu) & ~pud_free_pmd_page.idle(new, cpu)
    saved = (working & old.call.visited[cpu, k]).implies(
        new.call.saved[cpu, k] == old.call.saved[cpu, k]
    )
    both = old.pmd[p, k].is_some & new.pmd[p, k].is_some
    return saved & both.implies(old.pmd[p, k] == new.pmd[p, k])


@sometimes
def a_way_is_cached_while_it_is_freed(s: HugePud, by: Cpu, cpu: Cpu, k: PmdSlot) -> Bool:
    """A CPU has answered, and another one still knows the way to both tables."""
    i = s.call.slot[by]
    knows = s.pud_cache[cpu, i].is_some & s.pmd_cache[cpu, i, k].is_some
    return pud_free_pmd_page.at(s, by, _FREE) & knows & ~s.call.waits_for[by, by]


@sometimes
def freed_tables_are_data(s: HugePud, i: PudSlot, p: Pmd, t: Pte) -> Bool:
    """A large page is mapped, and pages are data."""
    return s.large[i] & (s.pmd_use[p] == Use.DATA) & (s.pte_use[t] == Use.DATA)
