"""Rights of pages that vfree() gives back.

What it checks: a free page is writable in the direct map, and no CPU has cached anything else of it; a
page is not free before that (invariant 6 of the vmalloc area, for the alias in the direct map).
Why it matters: the next user of the page writes to it through the direct map, and faults.
Kernel precedent: 8e41f8726dcf ("mm/vmalloc: Fix calculation of direct map addr range"), R. Edgecombe.
Smallest counterexample: cache the alias while it is read-only, then vfree() (reset-perms-wrong-range).
Not covered: the TLB entries of the area itself (lazy_purge has them); huge aliases that are split.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes, step
from mapproof.model.machine.sorts import Cpu, Frame
from mapproof.model.operations.reset_perms import ResetPerms, Rights, vfree

_INVALID, _FLUSH, _DEFAULT, _FREE = vfree.steps


@always
def free_pages_are_writable(s: ResetPerms, cpu: Cpu, f: Frame) -> Bool:
    """A free page is writable in the direct map and in every TLB."""
    cached = s.tlb[cpu, f].is_some.implies(s.tlb[cpu, f] == some(Rights.WRITABLE))
    return s.free[f].implies((s.rights[f] == Rights.WRITABLE) & cached)


@always
def tlbs_have_the_rights_in_force(s: ResetPerms, cpu: Cpu, f: Frame) -> Bool:
    """What a CPU has cached of an alias is what the direct map says, unless vfree() is at it."""
    cached = s.tlb[cpu, f].is_some & ~s.freeing[f]
    return cached.implies(s.tlb[cpu, f] == some(s.rights[f]))


@always
def pages_have_one_vfree(s: ResetPerms, a: Cpu, b: Cpu) -> Bool:
    """Who frees a page is alone with it."""
    f = s.vfree.page[a]
    working = ~vfree.idle(s, a)
    both = working & ~vfree.idle(s, b) & (s.vfree.page[b] == f)
    return both.implies(a == b) & working.implies(s.freeing[f] & ~s.free[f])


@always
def rights_follow_vfree(s: ResetPerms, cpu: Cpu) -> Bool:
    """The alias is invalid until every CPU has answered, and writable from then on."""
    f = s.vfree.page[cpu]
    invalid = vfree.at(s, cpu, _FLUSH) | vfree.at(s, cpu, _DEFAULT)
    reset = vfree.at(s, cpu, _FREE)
    return invalid.implies(s.rights[f] == Rights.INVALID) & reset.implies(
        s.rights[f] == Rights.WRITABLE
    )


@always
def answers_mean_no_old_rights(s: ResetPerms, by: Cpu, cpu: Cpu) -> Bool:
    """A CPU that has answered has nothing cached of the alias, or the new rights, in the end."""
    cached = s.tlb[cpu, s.vfree.page[by]]
    answered = vfree.at(s, by, _DEFAULT) & ~s.vfree.waits_for[by, cpu]
    reset = vfree.at(s, by, _FREE) & cached.is_some
    return answered.implies(cached.is_none) & reset.implies(cached == some(Rights.WRITABLE))


@step
def vfree_gives_pages_back(old: ResetPerms, new: ResetPerms, cpu: Cpu) -> Bool:
    """When vfree() returns, the page is free."""
    done = ~vfree.idle(old, cpu) & vfree.idle(new, cpu)
    f = old.vfree.page[cpu]
    return done.implies(new.free[f] & ~new.freeing[f])


@step
def rights_change_under_their_owner(old: ResetPerms, new: ResetPerms, f: Frame) -> Bool:
    """The alias of a free page stays as it is."""
    return (old.free[f] & new.free[f]).implies(old.rights[f] == new.rights[f])


@sometimes
def an_alias_is_cached_read_only(s: ResetPerms, cpu: Cpu, by: Cpu) -> Bool:
    """A CPU has the old rights cached while vfree() waits for it, and another CPU has answered."""
    old = s.tlb[cpu, s.vfree.page[by]] == some(Rights.READ_ONLY)
    return vfree.at(s, by, _DEFAULT) & old & ~s.vfree.waits_for[by, by]


@sometimes
def an_alias_is_cached_again(s: ResetPerms, cpu: Cpu, by: Cpu) -> Bool:
    """The alias is writable, and a CPU has cached that, before the page is free."""
    return vfree.at(s, by, _FREE) & s.tlb[cpu, s.vfree.page[by]].is_some
