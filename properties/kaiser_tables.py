"""Pages of the shadow tables.

What it checks: what an entry of the shadow leads to, or a CPU has cached as what it leads to, is a
table page; a page that becomes one was free, is empty and has one place.
Why it matters: a page that was freed is soon somebody's data, and a CPU that still takes it for a
table translates through whatever is written there.
Kernel precedent: unmap_pud_range_nofree() of the KAISER backports; H. Dickins, "kaiser:
kaiser_remove_mapping() move along the pgd".
Smallest counterexample: add a page, let a CPU cache the way to it, remove it (kaiser-tables-freed).
Not covered: translations of pages, upper levels, the range that is handed to each PGD entry.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, PmdSlot, Pte, PteSlot
from mapproof.model.operations.kaiser_tables import PageUse, ShadowTables


@always
def shadow_entries_lead_to_tables(s: ShadowTables, i: PmdSlot) -> Bool:
    """A present PMD entry leads to a table page."""
    return s.link[i].is_some.implies(s.use[s.link[i].value] == PageUse.TABLE)


@always
def cached_entries_lead_to_tables(s: ShadowTables, cpu: Cpu, i: PmdSlot) -> Bool:
    """What a CPU has cached of a PMD entry is a table page still."""
    cached = s.pmd_cache[cpu, i]
    return cached.is_some.implies(s.use[cached.value] == PageUse.TABLE)


@always
def shadow_tables_have_one_place(s: ShadowTables, i: PmdSlot, j: PmdSlot) -> Bool:
    """Two PMD entries never lead to one table."""
    a, b = s.link[i], s.link[j]
    return (a.is_some & b.is_some & (a.value == b.value)).implies(i == j)


@step
def new_tables_were_free_and_are_empty(
    old: ShadowTables, new: ShadowTables, t: Pte, j: PteSlot
) -> Bool:
    """What becomes a table was nobody's, and maps nothing."""
    becomes = (old.use[t] != PageUse.TABLE) & (new.use[t] == PageUse.TABLE)
    return becomes.implies((old.use[t] == PageUse.FREE) & ~new.mapped[t, j])


@step
def linked_tables_stay_linked(old: ShadowTables, new: ShadowTables, i: PmdSlot) -> Bool:
    """A table of the shadow stays where it is for good."""
    return old.link[i].is_some.implies(new.link[i] == old.link[i])


@step
def free_pages_are_left_alone(old: ShadowTables, new: ShadowTables, t: Pte, j: PteSlot) -> Bool:
    """Nobody writes into a page that is free."""
    stays = (old.use[t] == PageUse.FREE) & (new.use[t] == PageUse.FREE)
    return stays.implies(new.mapped[t, j] == old.mapped[t, j])


@sometimes
def a_cpu_knows_the_way_to_a_page(s: ShadowTables, cpu: Cpu, i: PmdSlot, j: PteSlot) -> Bool:
    """A CPU has cached the way to a page that is mapped."""
    cached = s.pmd_cache[cpu, i]
    return cached.is_some & s.mapped[cached.value, j]


@sometimes
def a_page_is_used_for_data(s: ShadowTables, t: Pte) -> Bool:
    """A page went to somebody else."""
    return s.use[t] == PageUse.DATA


@sometimes
def a_free_page_is_not_empty(s: ShadowTables, t: Pte, j: PteSlot) -> Bool:
    """A free page has what its last user wrote."""
    return (s.use[t] == PageUse.FREE) & s.mapped[t, j]
