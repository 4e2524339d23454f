"""Ranges that are removed from KAISER's shadow.

What it checks: when kaiser_remove_mapping() has returned and the memory is freed, no page of the range
is in the shadow; no other page is touched.
Why it matters: what stays shows the next owner's data to Meltdown.
Kernel precedent: H. Dickins, "kaiser: kaiser_remove_mapping() move along the pgd".
Smallest counterexample: a range that begins in one 512 GiB slot and ends in the next
(kaiser-range-by-size).
Not covered: what an unlimited walk clears behind the end of a table page; table pages
(kaiser_tables), the TLB.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, Va
from mapproof.model.operations.kaiser_range import Removal, remove


@always
def freed_ranges_are_not_in_the_shadow(s: Removal, va: Va) -> Bool:
    """A page of the range is in the shadow only while the range is allocated."""
    return (s.in_range[va] & s.shadow[va]).implies(s.allocated.now)


@always
def what_was_passed_is_removed(s: Removal, cpu: Cpu, va: Va) -> Bool:
    """Behind the walk nothing of the range is in the shadow."""
    passed = ~remove.idle(s, cpu) & s.before[va, s.walk.addr[cpu]]
    return (passed & s.in_range[va]).implies(~s.shadow[va])


@always
def one_cpu_removes_the_range(s: Removal, cpu: Cpu, by: Cpu) -> Bool:
    """Who removes the range is alone with it, and it is allocated."""
    busy, other = ~remove.idle(s, cpu), ~remove.idle(s, by)
    return busy.implies(s.removing.now & s.allocated.now) & (busy & other).implies(cpu == by)


@step
def other_pages_are_left_alone(old: Removal, new: Removal, va: Va) -> Bool:
    """A page that is not of the range stays as it is, whoever removes the range."""
    return old.in_range[va] | (new.shadow[va] == old.shadow[va])


@step
def the_walk_ends_with_the_range(old: Removal, new: Removal, cpu: Cpu) -> Bool:
    """The walk does not go on behind the end of the range."""
    behind = ~remove.idle(old, cpu) & ~old.in_range[old.walk.addr[cpu]]
    return behind.implies(new.walk.addr[cpu] == old.walk.addr[cpu])


@step
def nothing_is_added_meanwhile(old: Removal, new: Removal, va: Va) -> Bool:
    """A range that is being removed gets no page."""
    return (old.removing.now & new.shadow[va]).implies(old.shadow[va])


@sometimes
def a_range_in_two_slots_is_half_removed(s: Removal, cpu: Cpu, va: Va, other: Va) -> Bool:
    """The walk has removed a page in one slot and comes to another slot that has one."""
    here = s.in_range[va] & s.in_range[other] & (s.pgd_index[va] != s.pgd_index[other])
    passed = s.before[va, s.walk.addr[cpu]] & s.shadow[other]
    return ~remove.idle(s, cpu) & here & passed


@sometimes
def a_range_is_freed(s: Removal) -> Bool:
    """The memory of the range is free."""
    return ~s.allocated.now
