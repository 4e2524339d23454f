"""References that a lockless walker takes.

What it checks: a page that GUP-fast has returned is not free and not somebody else's, and was mapped at
the address when it was returned (invariant 8 of TLB and table lifetime).
Why it matters: the caller writes to the page, or has a device write to it.
Kernel precedent: the comments of gup_pte_range() in mm/gup.c.
Smallest counterexample: the page is freed and taken between look and reference (gup-fast-no-recheck).
Not covered: tables (see gather), large pages, pages that are shared with a child.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame, Va
from mapproof.model.operations.gup import Pinned, gup_pte_range


@always
def returned_pages_are_the_users(s: Pinned, cpu: Cpu) -> Bool:
    """A page that was returned has a reference, and was not somebody else's."""
    f = s.held[cpu].value
    returned = gup_pte_range.idle(s, cpu) & s.held[cpu].is_some
    return returned.implies(s.taken[f] & ~s.others[f])


@always
def mapped_pages_are_the_users(s: Pinned, va: Va, other: Va) -> Bool:
    """A mapped page is taken, not somebody else's, and mapped once."""
    f = s.maps[va]
    good = s.taken[f.value] & ~s.others[f.value] & (f == s.maps[other]).implies(va == other)
    return f.is_some.implies(good)


@step
def pages_are_returned_while_mapped(old: Pinned, new: Pinned, cpu: Cpu) -> Bool:
    """When GUP returns a page, it is mapped at the address."""
    returns = ~gup_pte_range.idle(old, cpu) & gup_pte_range.idle(new, cpu)
    kept = returns & new.held[cpu].is_some
    return kept.implies(old.maps[old.found.va[cpu]] == new.held[cpu])


@step
def a_walk_begins_with_what_is_mapped(old: Pinned, new: Pinned, cpu: Cpu) -> Bool:
    """A walker that holds nothing starts from a present entry."""
    begins = gup_pte_range.idle(old, cpu) & ~gup_pte_range.idle(new, cpu)
    found = old.maps[new.found.va[cpu]] == some(new.found.frame[cpu])
    return begins.implies(old.held[cpu].is_none & found)


@step
def pages_are_given_back_for_a_reason(old: Pinned, new: Pinned, cpu: Cpu) -> Bool:
    """A walker returns nothing only if the page is free or its entry has changed."""
    returns = ~gup_pte_range.idle(old, cpu) & gup_pte_range.idle(new, cpu)
    f = old.found.frame[cpu]
    changed = ~old.taken[f] | (old.maps[old.found.va[cpu]] != some(f))
    return (returns & new.held[cpu].is_none).implies(changed)


@step
def held_pages_are_not_freed(old: Pinned, new: Pinned, cpu: Cpu, f: Frame) -> Bool:
    """A page that a walker has a reference to stays taken, and whose it is."""
    same = new.taken[f] & (old.others[f] == new.others[f])
    return (old.held[cpu] == some(f)).implies(same)


@step
def callers_let_go(old: Pinned, new: Pinned, cpu: Cpu, f: Frame) -> Bool:
    """A reference changes hands only from a caller to nobody, or to a walker that had none."""
    changed = (old.held[cpu] != new.held[cpu]) & (old.held[cpu] == some(f))
    return changed.implies(new.held[cpu].is_none & new.taken[f])


@step
def entries_are_cleared_before_they_are_set(old: Pinned, new: Pinned, va: Va) -> Bool:
    """A mapped page is unmapped before another one takes its place."""
    both = old.maps[va].is_some & new.maps[va].is_some
    return both.implies(old.maps[va] == new.maps[va])


@sometimes
def a_walker_holds_somebody_elses_page(s: Pinned, cpu: Cpu, f: Frame) -> Bool:
    """For a moment, a walker has a reference to a page that is somebody else's."""
    return ~gup_pte_range.idle(s, cpu) & (s.held[cpu] == some(f)) & s.others[f]


@sometimes
def a_returned_page_outlives_its_mapping(s: Pinned, cpu: Cpu, va: Va) -> Bool:
    """A page that was returned is mapped no more."""
    return gup_pte_range.idle(s, cpu) & s.held[cpu].is_some & s.maps[va].is_none


@step
def walkers_hold_until_they_say_so(old: Pinned, new: Pinned, cpu: Cpu) -> Bool:
    """A caller who gives a page back has none."""
    same = gup_pte_range.idle(old, cpu) & gup_pte_range.idle(new, cpu)
    return (same & new.held[cpu].is_some).implies(old.held[cpu] == new.held[cpu])


@sometimes
def a_walker_gives_up(s: Pinned, cpu: Cpu) -> Bool:
    """A walker stands before a page that has become free."""
    return ~gup_pte_range.idle(s, cpu) & s.held[cpu].is_none & ~s.taken[s.found.frame[cpu]]
