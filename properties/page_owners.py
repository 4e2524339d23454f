"""Frames, and the leaves that map them.

What it checks: a frame is given back when its page is unmapped and not before; pages appear where the
walk of their process finds them; the direct map stays.
Why it matters: a frame that is free while a leaf still maps it belongs to two owners; a page in a table
that is not linked is lost.
Kernel precedent: the rules of set_pte_at() and of page_table_check (mm/page_table_check.c).
Smallest counterexample: none of the designs here frees a frame that is mapped.
Not covered: frames that several processes share, the TLB.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Mm, PgdSlot, Pte, PteSlot, Va
from mapproof.model.operations.kaiser import Kaiser, Owner, Repaired, TableUse


@always
def direct_map_stays(s: Repaired, t: Pte, j: PteSlot) -> Bool:
    """The direct map is never changed."""
    leaf = s.pte.entry(t, j)
    return s.direct_map[t, j].is_some.implies(leaf.present & (leaf.leaf == s.direct_map[t, j]))


@always
def kernel_pages_are_kernel_frames(s: Repaired, t: Pte, j: PteSlot) -> Bool:
    """A leaf of the kernel's tables outside the direct map has a frame of kernel data."""
    leaf = s.pte.entry(t, j)
    mapped = (s.table_use[t] == TableUse.KERNEL) & s.direct_map[t, j].is_none & leaf.present
    return mapped.implies(s.owner[leaf.leaf.value] == Owner.KERNEL)


@step
def unmapped_frames_are_given_back(old: Repaired, new: Repaired, t: Pte, j: PteSlot) -> Bool:
    """A page of user or kernel tables changes only by being unmapped, which frees its frame."""
    before, after = old.pte.leaf[t, j], new.pte.leaf[t, j]
    changed = (old.table_use[t] != TableUse.SHADOW) & before.is_some & (after != before)
    return changed.implies(after.is_none & (new.owner[before.value] == Owner.FREE))


@step
def user_pages_appear_in_linked_tables(
    old: Repaired, new: Repaired, m: Mm, i: PgdSlot, j: PteSlot
) -> Bool:
    """A user page is mapped only while the kernel's PGD leads to its table."""
    table = old.user_table[m, i]
    appears = ~old.pte.present[table, j] & new.pte.present[table, j]
    return (old.user_half[i] & appears).implies(old.pgd.present[old.kernel_pgd[m], i])


@sometimes
def kernel_data_outside_the_direct_map(s: Kaiser, va: Va) -> Bool:
    """A page of kernel data is mapped at an address outside the direct map."""
    mapped = s.pte.present[s.kernel_table[s.pgd_index[va]], s.pte_index[va]]
    return ~s.is_user(va) & s.known_page(va).is_none & mapped
