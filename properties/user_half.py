"""The user half of the two top-level tables.

What it checks: shadow and kernel PGD have the same user-half entries, apart from the NX that poisons
the kernel's copy, outside the window of a set_pgd(); user mode runs on the shadow; a top-
level or last-level entry that is not present is all zero.
Why it matters: both halves share one set of user tables, which is what makes KAISER affordable; an
entry in one half alone is a mapping that munmap() does not undo or that user code cannot reach.
Kernel precedent: D. Hansen on "[PATCH 08/30] x86, kaiser: unmap kernel from userspace page tables",
22 November 2017; "kaiser: do not set _PAGE_NX on pgd_none", H. Dickins, 5 September 2017.
Smallest counterexample: populate a slot, clear it in the kernel's PGD only
(kaiser-v2-no-copy-on-clear).
Not covered: accessed bits, which hardware sets in each root separately.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes
from mapproof.model.machine.cpu import Mode
from mapproof.model.machine.sorts import Cpu, Mm, Pgd, PgdSlot, Pte, PteSlot
from mapproof.model.operations.kaiser import Kaiser


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


@sometimes
def user_slot_in_both_halves(s: Kaiser, m: Mm, i: PgdSlot) -> Bool:
    """A user slot is linked in both halves and the lock is free."""
    kernel, shadow = s.pgd.entry(s.kernel_pgd[m], i), s.pgd.entry(s.shadow_pgd[m], i)
    return s.user_half[i] & ~s.page_table_lock[m] & kernel.present & shadow.present
