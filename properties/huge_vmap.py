"""Large pages in the place of PTE pages.

What it checks: a PTE page that a CPU has cached the way to, that a PMD entry leads to or that somebody
is walking is not free; a PTE page that is unlinked is freed (invariant 4 of the vmalloc area, on x86-64,
where tables are shared).
Why it matters: the processor and ptdump read whatever the page holds by then as page-table entries; a
page that is forgotten is lost.
Kernel precedent: 5e0fb5df2ee8 ("x86/mm: Add TLB purge to free pmd/pte page interfaces"), T. Kani;
"mm/vmalloc: acquire init_mm lock on huge vmap to avoid ptdump UAF", 6.1.184.
Smallest counterexample: cache the way, clear the entry, free the page (huge-vmap-no-flush).
Not covered: two levels of tables below a PUD entry (huge_pud has them), translations of pages,
other walkers.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, PmdSlot, Pte
from mapproof.model.operations.huge_vmap import HugeVmap, ptdump, vmap_try_huge_pmd
from mapproof.model.operations.lazy import Use
from mapproof.model.operations.vmalloc import Area

_NONE, _CLEAR, _FLUSH, _FREE, _SET = vmap_try_huge_pmd.steps


def _frees(s: HugeVmap, cpu: Cpu) -> Bool:
    return vmap_try_huge_pmd.at(s, cpu, _FLUSH) | vmap_try_huge_pmd.at(s, cpu, _FREE)


@always
def cached_ways_lead_to_tables(s: HugeVmap, cpu: Cpu, i: PmdSlot) -> Bool:
    """What a CPU has cached of a PMD entry is a PTE page."""
    cached = s.pmd_cache[cpu, i]
    return cached.is_some.implies(s.use[cached.value] == Use.TABLE)


@always
def pmd_entries_lead_to_tables(s: HugeVmap, i: PmdSlot) -> Bool:
    """A PMD entry leads to a PTE page or maps a large page, of a range in use only."""
    link = s.link[i]
    small = s.mapped[i].implies(link.is_some & (s.area[i] == Area.BUSY))
    large = s.large[i].implies(link.is_none & (s.area[i] == Area.BUSY))
    return link.is_some.implies(s.use[link.value] == Use.TABLE) & small & large


@always
def walkers_read_tables(s: HugeVmap, cpu: Cpu) -> Bool:
    """Where ptdump is about to read PTEs there is a PTE page, and nobody unlinks any meanwhile."""
    reads = ptdump.at(s, cpu, ptdump.steps[2])
    locked = (~ptdump.idle(s, cpu)).implies(s.writing.now)
    return locked & reads.implies(s.use[s.dump.table[cpu]] == Use.TABLE)


@always
def readers_and_writers_are_apart(s: HugeVmap, a: Cpu, b: Cpu) -> Bool:
    """Who frees a PTE page has the lock, shared; a walker has it alone."""
    both = ~ptdump.idle(s, a) & ~ptdump.idle(s, b)
    shared = _frees(s, a).implies(s.reading[a])
    return both.implies(a == b) & shared & s.reading[a].implies(~s.writing.now)


@step
def tables_are_not_lost(old: HugeVmap, new: HugeVmap, cpu: Cpu) -> Bool:
    """A PTE page that was unlinked is free before a large page takes its place."""
    freed = _frees(old, cpu) & ~_frees(new, cpu)
    return freed.implies(new.use[old.call.table[cpu]] == Use.FREE)


@step
def tables_are_unlinked_to_be_freed(old: HugeVmap, new: HugeVmap, i: PmdSlot, cpu: Cpu) -> Bool:
    """A PTE page that is in no entry any more is one that somebody is about to free, and entries change
    only while their range is in use."""
    lost = old.link[i].is_some & (new.link[i] != old.link[i])
    begins = ~_frees(old, cpu) & _frees(new, cpu) & (new.call.slot[cpu] == i)
    kept = begins.implies(lost & (new.call.table[cpu] == old.link[i].value))
    used = (new.link[i] != old.link[i]).implies(old.area[i] == Area.BUSY)
    return kept & used & lost.implies(new.link[i].is_none & ~old.mapped[i])


@always
def who_frees_a_table_is_alone(s: HugeVmap, a: Cpu, b: Cpu, i: PmdSlot) -> Bool:
    """A PTE page that is being freed is one still; it is in no entry, and nobody else frees it."""
    t = s.call.table[a]
    linked = s.link[i].is_some & (s.link[i].value == t)
    other = _frees(s, b) & (s.call.table[b] == t)
    return _frees(s, a).implies((s.use[t] == Use.TABLE) & ~linked & other.implies(a == b))


@always
def large_pages_have_one_call(s: HugeVmap, a: Cpu, b: Cpu) -> Bool:
    """While a large page is being mapped, its entry is empty, and nobody else maps anything there."""
    i = s.call.slot[a]
    working = ~vmap_try_huge_pmd.idle(s, a)
    both = working & ~vmap_try_huge_pmd.idle(s, b) & (s.call.slot[b] == i)
    empty = s.link[i].is_none & ~s.large[i] & (s.area[i] == Area.BUSY)
    return working.implies(empty) & both.implies(a == b)


@always
def tables_have_one_entry(s: HugeVmap, i: PmdSlot, k: PmdSlot) -> Bool:
    """Two PMD entries never lead to one PTE page."""
    return (s.link[i].is_some & (s.link[i] == s.link[k])).implies(i == k)


@always
def caches_hold_the_entry(s: HugeVmap, cpu: Cpu, i: PmdSlot, by: Cpu) -> Bool:
    """What a CPU has cached of an entry is its PTE page, or that of somebody who waits for the CPU."""
    cached = s.pmd_cache[cpu, i]
    waited = _frees(s, by) & (s.call.slot[by] == i)
    same = (s.call.table[by] == cached.value) & (
        vmap_try_huge_pmd.at(s, by, _FLUSH) | s.call.waits_for[by, cpu]
    )
    gone = vmap_try_huge_pmd.at(s, by, _SET) & (s.call.slot[by] == i)
    return (
        (cached.is_some & s.link[i].is_some).implies(cached == s.link[i])
        & (cached.is_some & waited).implies(same)
        & ~(cached.is_some & (s.large[i] | gone))
    )


@step
def large_pages_are_mapped(old: HugeVmap, new: HugeVmap, cpu: Cpu) -> Bool:
    """When a large page has been mapped, it is, and the lock is free."""
    done = ~vmap_try_huge_pmd.idle(old, cpu) & vmap_try_huge_pmd.idle(new, cpu)
    return done.implies(new.large[old.call.slot[cpu]] & ~new.reading[cpu])


@step
def walkers_unlock(old: HugeVmap, new: HugeVmap, cpu: Cpu) -> Bool:
    """When ptdump returns, the lock is free."""
    return (~ptdump.idle(old, cpu) & ptdump.idle(new, cpu)).implies(~new.writing.now)


@step
def ranges_go_round_as_a_whole(old: HugeVmap, new: HugeVmap, i: PmdSlot) -> Bool:
    """A range is taken when it is free, unmapped when it is in use, freed when it was unmapped."""
    a, b = old.area[i], new.area[i]
    taken = (a == Area.FREE) & (b == Area.BUSY)
    queued = (a == Area.BUSY) & (b == Area.LAZY)
    return (a == b) | taken | queued | ((a == Area.LAZY) & (b == Area.FREE))


@sometimes
def a_large_page_replaced_a_table(s: HugeVmap, i: PmdSlot, t: Pte) -> Bool:
    """A large page is mapped, and a page is data."""
    return s.large[i] & (s.use[t] == Use.DATA)


@sometimes
def a_table_waits_for_the_flush(s: HugeVmap, cpu: Cpu, by: Cpu, i: PmdSlot) -> Bool:
    """A CPU has answered, and another one still knows the way to a PTE page that is being freed."""
    knows = s.pmd_cache[cpu, i].is_some & (s.pmd_cache[cpu, i].value == s.call.table[by])
    return vmap_try_huge_pmd.at(s, by, _FREE) & knows & ~s.call.waits_for[by, by]


@sometimes
def a_walker_reads(s: HugeVmap, cpu: Cpu) -> Bool:
    """ptdump has found a PTE page."""
    return ptdump.at(s, cpu, ptdump.steps[2])


@sometimes
def an_old_table_is_cached(s: HugeVmap, cpu: Cpu, i: PmdSlot) -> Bool:
    """A range is in use that has nothing mapped, and a CPU knows the way to its old PTE page."""
    old = (s.area[i] == Area.FREE) & ~s.mapped[i]
    return old & s.pmd_cache[cpu, i].is_some & ~s.writing.now


@sometimes
def a_large_page_has_its_first_use(s: HugeVmap, cpu: Cpu) -> Bool:
    """A large page is about to be mapped where nothing was, and nobody has the lock."""
    return vmap_try_huge_pmd.at(s, cpu, _SET) & ~s.reading[cpu]


@sometimes
def pages_are_mapped_by_a_table(s: HugeVmap, i: PmdSlot, cpu: Cpu) -> Bool:
    """Pages are mapped by a PTE page, and a CPU knows the way there."""
    return s.mapped[i] & s.pmd_cache[cpu, i].is_some
