"""The user half of the two top-level tables.

What it checks: shadow and kernel PGD have the same user-half entries, apart from the NX that poisons
the kernel's copy, outside the window of a set_pgd(); user mode runs on the shadow; a top-
level or last-level entry that is not present is all zero.  A process's tables change by its own
CPUs; set_pgd() under page_table_lock writes the shadow first and cannot be preempted.
Why it matters: both halves share one set of user tables, which is what makes KAISER affordable; an
entry in one half alone is a mapping that munmap() does not undo or that user code cannot reach.
Kernel precedent: D. Hansen on "[PATCH 08/30] x86, kaiser: unmap kernel from userspace page tables",
22 November 2017; "kaiser: do not set _PAGE_NX on pgd_none", H. Dickins, 5 September 2017.
Smallest counterexample: populate a slot, clear it in the kernel's PGD only
(kaiser-v2-no-copy-on-clear).
Not covered: accessed bits, which hardware sets in each root separately.
"""

from __future__ import annotations

from mapproof.model.language import TRUE, Bool, always, forall, some, sometimes, step
from mapproof.model.machine.cpu import Mode
from mapproof.model.machine.sorts import Cpu, Mm, Pgd, PgdSlot, Pte, PteSlot
from mapproof.model.operations.kaiser import (
    KERNPG_TABLE,
    Kaiser,
    Repaired,
    pgd_clear,
    pgd_populate,
    user_entry,
)


@always
def user_half_equal(s: Kaiser, m: Mm, i: PgdSlot, cpu: Cpu) -> Bool:
    """User-half entries of shadow and kernel PGD are equal modulo NX, except between the two writes
    of a set_pgd() that holds page_table_lock, or while no CPU runs the process in user mode."""
    kernel, shadow = s.pgd.entry(s.kernel_pgd[m], i), s.pgd.entry(s.shadow_pgd[m], i)
    equal = s.pgd.same(kernel, shadow, except_for=("nx",))
    user_mode = (s.mode[cpu] == Mode.USER) & (s.loaded_mm[cpu] == m)
    window = s.in_set_pgd[m] & (s.page_table_lock[m] | ~user_mode)
    return s.user_half[i].implies(equal | window)


@always
def user_mode_runs_on_the_shadow(s: Kaiser, cpu: Cpu) -> Bool:
    """CR3 has the shadow PGD of the loaded process in ring 3, its kernel PGD in ring 0."""
    m = s.loaded_mm[cpu]
    shadow = (s.mode[cpu] == Mode.USER) & (s.cr3[cpu] == s.shadow_pgd[m])
    return shadow | ((s.mode[cpu] == Mode.KERNEL) & (s.cr3[cpu] == s.kernel_pgd[m]))


@always
def nx_poison(s: Kaiser, m: Mm, i: PgdSlot) -> Bool:
    """A present user entry of the kernel's PGD has NX: returning to ring 3 on it faults at once."""
    entry = s.pgd.entry(s.kernel_pgd[m], i)
    return (s.user_half[i] & entry.present & entry.user).implies(entry.nx)


@always
def empty_top_level_entry_is_empty(s: Kaiser, p: Pgd, i: PgdSlot) -> Bool:
    """A top-level entry that is not present is zero, so that pgd_none() sees it."""
    return (~s.pgd.present[p, i]).implies(s.pgd.none(p, i))


@always
def empty_leaf_is_empty(s: Kaiser, t: Pte, j: PteSlot) -> Bool:
    """A last-level entry that is not present is zero, so that pte_none() sees it."""
    return (~s.pte.present[t, j]).implies(s.pte.none(t, j))


@always
def user_entries_are_well_formed(s: Repaired, m: Mm, i: PgdSlot) -> Bool:
    """A present user entry leads to the process's table with the flags of a page table; the kernel's
    copy has NX besides."""
    kernel, shadow = s.pgd.entry(s.kernel_pgd[m], i), s.pgd.entry(s.shadow_pgd[m], i)
    entry = user_entry(s, m, i)
    fits = shadow.present.implies(s.pgd.same(shadow, entry)) & kernel.present.implies(
        s.pgd.same(kernel, entry.but(nx=TRUE))
    )
    return s.user_half[i].implies(fits)


@always
def kernel_halves_stay(s: Repaired, m: Mm, i: PgdSlot) -> Bool:
    """The kernel half of either PGD has what boot linked there."""
    kernel, shadow = s.pgd.entry(s.kernel_pgd[m], i), s.pgd.entry(s.shadow_pgd[m], i)
    linked = s.pgd.same(kernel, KERNPG_TABLE.but(table=some(s.kernel_table[i]))) & s.pgd.same(
        shadow, KERNPG_TABLE.but(table=some(s.shadow_table[i]))
    )
    return (~s.user_half[i]).implies(linked)


@step
def processes_change_their_own_tables(
    old: Repaired, new: Repaired, m: Mm, i: PgdSlot, j: PteSlot
) -> Bool:
    """While no CPU runs the process in the kernel, its user half stays as it is."""
    nobody = forall(Cpu, lambda c: ~((old.mode[c] == Mode.KERNEL) & (old.loaded_mm[c] == m)))
    kernel, shadow, table = old.kernel_pgd[m], old.shadow_pgd[m], old.user_table[m, i]
    same = (
        old.pgd.same(old.pgd.entry(kernel, i), new.pgd.entry(kernel, i))
        & old.pgd.same(old.pgd.entry(shadow, i), new.pgd.entry(shadow, i))
        & old.pte.same(old.pte.entry(table, j), new.pte.entry(table, j))
    )
    return (nobody & old.user_half[i]).implies(same)


@step
def the_shadow_comes_first(old: Repaired, new: Repaired, m: Mm, i: PgdSlot) -> Bool:
    """Under page_table_lock, a slot is linked and unlinked in the shadow before it is in the kernel's
    PGD: what the kernel sees linked has the shadow's entry, and never more than that."""
    locked = (old.page_table_lock[m] | new.page_table_lock[m]) & old.user_half[i]
    kernel, shadow = old.kernel_pgd[m], old.shadow_pgd[m]
    linked = ~old.pgd.present[kernel, i] & new.pgd.present[kernel, i]
    unlinked = old.pgd.present[shadow, i] & ~new.pgd.present[shadow, i]
    in_order = linked.implies(old.pgd.present[shadow, i]) & unlinked.implies(
        new.pgd.present[kernel, i]
    )
    return locked.implies(in_order)


@step
def unlinked_tables_are_empty(old: Repaired, new: Repaired, m: Mm, i: PgdSlot, j: PteSlot) -> Bool:
    """Whoever unlinks a user slot under page_table_lock finds its table empty."""
    shadow = old.shadow_pgd[m]
    unlinked = old.pgd.present[shadow, i] & ~new.pgd.present[shadow, i]
    locked = new.page_table_lock[m] & old.user_half[i]
    return (locked & unlinked).implies(old.pte.none(old.user_table[m, i], j))


def _in_set_pgd(s: Repaired, cpu: Cpu) -> Bool:
    return ~pgd_populate.idle(s, cpu) | ~pgd_clear.idle(s, cpu)


@always
def set_pgd_keeps_its_cpu(s: Repaired, cpu: Cpu) -> Bool:
    """A CPU cannot be preempted exactly while it is between the two writes of a set_pgd()."""
    return s.preempt_off[cpu] == _in_set_pgd(s, cpu)


@step
def set_pgd_ends_unlocked(old: Repaired, new: Repaired, cpu: Cpu) -> Bool:
    """A CPU that is through with set_pgd() has dropped page_table_lock."""
    m = old.set_pgd.mm[cpu]
    ended = _in_set_pgd(old, cpu) & ~_in_set_pgd(new, cpu)
    return ended.implies(~new.page_table_lock[m] & ~new.in_set_pgd[m])


@step
def kept_cpus_stay(old: Repaired, new: Repaired, cpu: Cpu) -> Bool:
    """A CPU that cannot be preempted stays in the kernel, on its process."""
    stays = (old.mode[cpu] == new.mode[cpu]) & (old.loaded_mm[cpu] == new.loaded_mm[cpu])
    return old.preempt_off[cpu].implies(stays)


@sometimes
def user_slot_in_both_halves(s: Kaiser, m: Mm, i: PgdSlot) -> Bool:
    """A user slot is linked in both halves, the lock is free and set_pgd() is over."""
    kernel, shadow = s.pgd.entry(s.kernel_pgd[m], i), s.pgd.entry(s.shadow_pgd[m], i)
    over = ~s.page_table_lock[m] & ~s.in_set_pgd[m]
    return s.user_half[i] & over & kernel.present & shadow.present
