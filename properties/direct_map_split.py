"""Pages of the direct map that are changed one at a time.

What it checks: a page has the rights that its owner wants, in the tables and in TLBs of any size; a
split changes nobody's rights, and taking a page out changes no other page; no CPU has an address with
two sizes and two rights; a leaf that is not present has no PFN that a CPU could use; a call demotes two
leaves at most, and putting a page back none.  Invariants 1, 2, 5 and 6 of direct-map removal.
Why it matters: with two translations that differ the processor may take either; neighbours of a page
belong to others; who puts a page back does not look whether that has failed.
Kernel precedent: the comments of __split_large_page(); set_direct_map_invalid_noflush().
Smallest counterexample: a leaf that is not present with its PFN (direct-map-split-not-inverted).
Not covered: other attributes (split has memory types), pages of several frames, PGDs that are not
shared, what makes large leaves again.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame, PmdSlot, PudSlot
from mapproof.model.operations.direct_map_split import (
    FLUSH_ALL,
    FLUSH_PAGE,
    LINK_PMD,
    LINK_PTE,
    RETURN,
    SPLIT_2M,
    UNLOCK,
    Demoted,
    DirectMapLeaves,
    change_page_attr,
    is_splitting,
)
from mapproof.model.operations.reset_perms import Rights


@always
def pages_have_the_rights_they_want(s: DirectMapLeaves, f: Frame) -> Bool:
    """A page is in the direct map as its owner has asked for, but while he asks."""
    return (s.rights(f) == s.wanted[f]) | s.busy[f]


@always
def tlbs_have_the_rights_they_want(s: DirectMapLeaves, cpu: Cpu, f: Frame) -> Bool:
    """So it is in TLBs, by leaves of whatever size: what was taken out is in none."""
    i = s.pmd_of[f]
    small, large, huge = s.tlb.pte[cpu, f], s.tlb.pmd[cpu, i], s.tlb.pud[cpu, s.pud_of[i]]
    right = some(s.wanted[f])
    agree = (small.is_none | (small == right)) & (large.is_none | (large == right))
    return s.busy[f] | (agree & (huge.is_none | (huge == right)))


@always
def sizes_agree(s: DirectMapLeaves, cpu: Cpu, f: Frame) -> Bool:
    """A CPU that has a page by leaves of two sizes has the same rights in both."""
    i = s.pmd_of[f]
    small, large, huge = s.tlb.pte[cpu, f], s.tlb.pmd[cpu, i], s.tlb.pud[cpu, s.pud_of[i]]
    lower = small.is_none | large.is_none | (small == large)
    upper = large.is_none | huge.is_none | (large == huge)
    return lower & upper & (small.is_none | huge.is_none | (small == huge))


@always
def removed_pages_have_small_leaves(s: DirectMapLeaves, f: Frame) -> Bool:
    """A page that is not in the direct map has a leaf of its own: to put it back nothing is split."""
    return (s.wanted[f] == Rights.INVALID).implies(s.in_4k(f) | s.busy[f])


@always
def removed_leaves_have_no_usable_pfn(s: DirectMapLeaves, f: Frame) -> Bool:
    """The PFN of a leaf is inverted exactly while it is not present."""
    return s.in_4k(f).implies(s.inverted[f] == (s.pte[f] == Rights.INVALID))


@always
def large_leaves_are_present(s: DirectMapLeaves, i: PmdSlot, g: PudSlot) -> Bool:
    """Only leaves of 4 KiB are not present."""
    leaf = ~s.pud_leaf[s.pud_of[i]] & s.pmd_leaf[i]
    return (s.pud[g] != Rights.INVALID) & leaf.implies(s.pmd[i] != Rights.INVALID)


@always
def calls_find_what_was_wanted(s: DirectMapLeaves, cpu: Cpu) -> Bool:
    """Until its leaf is changed, the page of a call has the old rights; then the new ones."""
    f = s.change.page[cpu]
    done = change_page_attr.at(s, cpu, FLUSH_PAGE) | change_page_attr.at(s, cpu, RETURN)
    changed = done & s.in_4k(f) & (s.rights(f) == s.change.want[cpu])
    before = ~done & (s.rights(f) == s.change.old[cpu])
    same = s.busy[f] & (s.wanted[f] == s.change.want[cpu])
    return change_page_attr.idle(s, cpu) | (same & (changed | before))


@always
def pages_are_changed_by_one_cpu(s: DirectMapLeaves, a: Cpu, b: Cpu) -> Bool:
    """Two calls are about two pages."""
    both = ~change_page_attr.idle(s, a) & ~change_page_attr.idle(s, b)
    return (both & (s.change.page[a] == s.change.page[b])).implies(a == b)


@always
def restores_split_nothing(s: DirectMapLeaves, cpu: Cpu) -> Bool:
    """A call that puts a page back finds a leaf of 4 KiB: it needs no memory, and cannot fail."""
    back = ~change_page_attr.idle(s, cpu) & (s.change.old[cpu] == Rights.INVALID)
    small = s.in_4k(s.change.page[cpu]) & (s.change.demoted[cpu] == Demoted.NONE)
    return back.implies(small)


@always
def locks_are_held_until_all_have_flushed(s: DirectMapLeaves, cpu: Cpu) -> Bool:
    """Who has the locks over several steps links a table or flushes, and nobody else does."""
    return (s.lock.now == some(cpu)) == is_splitting(s, cpu)


@always
def tables_have_the_rights_of_the_leaf(s: DirectMapLeaves, cpu: Cpu, i: PmdSlot, f: Frame) -> Bool:
    """Before a table is linked, its entries have the rights of the leaf whose place it takes."""
    at = s.pmd_of[s.change.page[cpu]]
    g = s.pud_of[at]
    large = s.pud_leaf[g] & s.pmd_leaf[i] & (s.pmd[i] == s.pud[g])
    small = s.in_2m(f) & (s.pte[f] == s.pmd[at]) & ~s.inverted[f]
    pud = (change_page_attr.at(s, cpu, LINK_PMD) & (s.pud_of[i] == g)).implies(large)
    pmd = (change_page_attr.at(s, cpu, LINK_PTE) & (s.pmd_of[f] == at)).implies(small)
    return pud & pmd


@always
def split_leaves_were_looked_up(s: DirectMapLeaves, cpu: Cpu) -> Bool:
    """Who is about to split a leaf of 2 MiB finds it, or its table; leaves are never made larger."""
    f = s.change.page[cpu]
    small = change_page_attr.at(s, cpu, SPLIT_2M) | change_page_attr.at(s, cpu, LINK_PTE)
    return small.implies(~s.in_1g(f))


def _is_about_to_flush(s: DirectMapLeaves, cpu: Cpu) -> Bool:
    """Who has the locks has linked a table, and that CPU has not flushed since."""
    by = s.lock.now.value
    waits = change_page_attr.at(s, by, UNLOCK) & s.change.waits_for[by, cpu]
    return s.lock.now.is_some & (change_page_attr.at(s, by, FLUSH_ALL) | waits)


@always
def entries_of_1g_are_current(s: DirectMapLeaves, cpu: Cpu, g: PudSlot, i: PmdSlot) -> Bool:
    """An entry of 1 GiB is of the leaf; or of a table that has the same rights, until it is flushed."""
    entry = s.tlb.pud[cpu, g]
    leaf = s.pud_leaf[g] & (entry == some(s.pud[g]))
    same = (s.pud_of[i] == g).implies(s.pmd_leaf[i] & (entry == some(s.pmd[i])))
    table = _is_about_to_flush(s, cpu) & ~s.pud_leaf[g] & same
    return entry.is_none | leaf | table


@always
def entries_of_2m_are_current(s: DirectMapLeaves, cpu: Cpu, f: Frame) -> Bool:
    """The same of an entry of 2 MiB; a CPU that has one page of it by its own leaf has that right."""
    i = s.pmd_of[f]
    entry, small = s.tlb.pmd[cpu, i], s.tlb.pte[cpu, f]
    same = (entry == some(s.pte[f])) & (small.is_none | (small == entry))
    table = _is_about_to_flush(s, cpu) & s.in_4k(f) & same
    return entry.is_none | (s.in_2m(f) & (entry == some(s.pmd[i]))) | table


@always
def entries_of_2m_are_below_tables(s: DirectMapLeaves, cpu: Cpu, i: PmdSlot) -> Bool:
    """An entry of 2 MiB is below no leaf of 1 GiB."""
    return s.tlb.pmd[cpu, i].is_some.implies(~s.pud_leaf[s.pud_of[i]])


@always
def entries_of_4k_are_current(s: DirectMapLeaves, cpu: Cpu, by: Cpu, f: Frame) -> Bool:
    """An entry of 4 KiB is of a page that has its own leaf, and what that says, unless its call has
    changed it and waits for that CPU, or will."""
    entry = s.tlb.pte[cpu, f]
    asks = change_page_attr.at(s, by, FLUSH_PAGE) & (s.change.old[by] != Rights.INVALID)
    waits = change_page_attr.at(s, by, RETURN) & s.change.waits_for[by, cpu]
    called = ~change_page_attr.idle(s, by) & (s.change.page[by] == f)
    settled = ~s.busy[f] | (called & ~asks & ~waits)
    current = settled.implies(entry == some(s.pte[f])) & (entry != some(Rights.INVALID))
    return entry.is_none | (s.in_4k(f) & current)


@always
def flushes_are_waited_for(s: DirectMapLeaves, by: Cpu, cpu: Cpu) -> Bool:
    """Who has asked CPUs to flush goes on when they have answered."""
    waiting = change_page_attr.at(s, by, UNLOCK) | change_page_attr.at(s, by, RETURN)
    return s.change.waits_for[by, cpu].implies(waiting)


@always
def a_call_demotes_two_leaves_at_most(s: DirectMapLeaves, cpu: Cpu) -> Bool:
    """A call demotes one leaf of each size at most: of 1 GiB, and of 2 MiB."""
    f, so_far = s.change.page[cpu], s.change.demoted[cpu]
    none = so_far == Demoted.NONE
    first = s.in_1g(f).implies(none) & s.in_2m(f).implies(none | (so_far == Demoted.ONE))
    return change_page_attr.idle(s, cpu) | ((so_far != Demoted.MORE) & first)


@step
def calls_give_their_page_back(old: DirectMapLeaves, new: DirectMapLeaves, cpu: Cpu) -> Bool:
    """When a call returns, nobody is at its page; only a call that has to split may have failed."""
    f = old.change.page[cpu]
    returns = ~change_page_attr.idle(old, cpu) & change_page_attr.idle(new, cpu)
    failed = old.wanted[f] != new.wanted[f]
    return returns.implies(~new.busy[f] & failed.implies(~old.in_4k(f)))


@step
def sizes_change_no_rights(old: DirectMapLeaves, new: DirectMapLeaves, f: Frame) -> Bool:
    """When the leaf of a page gets smaller, its rights stay."""
    same = (old.in_1g(f) == new.in_1g(f)) & (old.in_2m(f) == new.in_2m(f))
    return same | (old.rights(f) == new.rights(f))


@step
def removals_change_no_other_page(
    old: DirectMapLeaves, new: DirectMapLeaves, f: Frame, g: Frame
) -> Bool:
    """When a page leaves the direct map, every other one stays as it is."""
    removed = (old.rights(f) != Rights.INVALID) & (new.rights(f) == Rights.INVALID)
    return (removed & (f != g)).implies(old.rights(g) == new.rights(g))


@sometimes
def a_call_demotes_two_leaves(s: DirectMapLeaves, cpu: Cpu) -> Bool:
    """A page of a leaf of 1 GiB gets one of its own."""
    return s.change.demoted[cpu] == Demoted.TWO


@sometimes
def a_call_fails_halfway(s: DirectMapLeaves, cpu: Cpu) -> Bool:
    """A call has demoted a leaf of 1 GiB, and had no memory for the next table."""
    f = s.change.page[cpu]
    split = s.in_2m(f) & (s.change.demoted[cpu] == Demoted.ONE)
    return change_page_attr.idle(s, cpu) & split & (s.wanted[f] == s.change.old[cpu])


@sometimes
def an_entry_of_1g_is_waited_for(s: DirectMapLeaves, cpu: Cpu, by: Cpu) -> Bool:
    """A CPU still has the leaf of 1 GiB whose table is linked."""
    g = s.pud_of[s.pmd_of[s.change.page[by]]]
    return s.change.waits_for[by, cpu] & s.tlb.pud[cpu, g].is_some


@sometimes
def a_neighbour_leaves_for_nothing(s: DirectMapLeaves, cpu: Cpu, f: Frame) -> Bool:
    """A page leaves the direct map and demotes nothing: a neighbour has left it before."""
    f_is_next = (s.pmd_of[f] == s.pmd_of[s.change.page[cpu]]) & (f != s.change.page[cpu])
    removed = (s.wanted[f] == Rights.INVALID) & (s.change.want[cpu] == Rights.INVALID)
    free = s.change.demoted[cpu] == Demoted.NONE
    return change_page_attr.at(s, cpu, RETURN) & f_is_next & ~s.busy[f] & removed & free


@sometimes
def a_page_comes_back(s: DirectMapLeaves, cpu: Cpu) -> Bool:
    """A page that was taken out is put back, and nobody is asked to flush."""
    back = (s.change.old[cpu] == Rights.INVALID) & (s.change.want[cpu] == Rights.WRITABLE)
    return change_page_attr.at(s, cpu, RETURN) & back & s.answered(cpu)


@sometimes
def a_race_for_a_leaf_is_lost(s: DirectMapLeaves, cpu: Cpu) -> Bool:
    """A CPU has a table for a leaf of 2 MiB that another has demoted meanwhile."""
    return change_page_attr.at(s, cpu, SPLIT_2M) & s.in_4k(s.change.page[cpu])


@sometimes
def two_sizes_are_cached(s: DirectMapLeaves, cpu: Cpu, f: Frame) -> Bool:
    """Between a split and its flush a CPU has a page by two leaves, with the same rights."""
    return s.tlb.pte[cpu, f].is_some & s.tlb.pmd[cpu, s.pmd_of[f]].is_some


@sometimes
def a_large_page_is_read_only(s: DirectMapLeaves, cpu: Cpu, f: Frame) -> Bool:
    """A page is read-only with all of its large page, and a CPU has that cached."""
    cached = s.tlb.pmd[cpu, s.pmd_of[f]] == some(Rights.READ_ONLY)
    return s.in_2m(f) & cached
