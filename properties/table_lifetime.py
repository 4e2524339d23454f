"""Table pages that are freed.

What it checks: no present entry leads to a table page that is not allocated; a table page is freed
when nothing is mapped by it, and is linked at one place.
Why it matters: a freed table page is reused for anything; the processor goes on reading it as entries.
Kernel precedent: 5e0fb5df2ee8 ("x86/mm: Add TLB purge to free pmd/pte page interfaces").
Smallest counterexample: a fault, then a large page over a table (vmalloc-pae-free-pte-page).
Not covered: paging-structure caches (huge_vmap has them), lockless walkers, pages of other levels.
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, sometimes, step
from mapproof.model.machine.sorts import Cpu, Pmd, PmdSlot, Pte, PteSlot
from mapproof.model.operations.vmalloc import Kernel, KernelTables
from mapproof.model.operations.vmalloc_pae import VmallocPae
from mapproof.model.operations.vmalloc_x86_64 import X8664Huge, ioremap_huge_64


@always
def no_entry_into_a_freed_table(s: KernelTables, p: Pmd, i: PmdSlot) -> Bool:
    """A present PMD entry leads to an allocated PTE page, or is a large leaf."""
    entry = s.pmd.entry(p, i)
    return (entry.present & entry.table.is_some).implies(s.in_use[entry.table.value])


@always
def free_tables_are_empty(s: Kernel, t: Pte, j: PteSlot) -> Bool:
    """A PTE page that is not allocated has no entry."""
    return (~s.in_use[t]).implies(s.pte.none(t, j))


@always
def tables_have_one_place(s: VmallocPae, i: PmdSlot, k: PmdSlot) -> Bool:
    """No two entries of init_mm lead to one PTE page, if one of them is of the vmalloc area."""
    a, b = s.reference(i).table, s.reference(k).table
    return (s.is_vmalloc(i) & a.is_some & (a == b)).implies(i == k)


@step
def unlinked_tables_are_freed(old: X8664Huge, new: X8664Huge, cpu: Cpu) -> Bool:
    """A CPU that has unlinked a PTE page frees it before it does anything else."""
    done = ~ioremap_huge_64.idle(old, cpu) & ioremap_huge_64.idle(new, cpu)
    return done.implies(~new.in_use[old.free_pte.table[cpu]])


@sometimes
def an_unlinked_table_waits_to_be_freed(s: X8664Huge, cpu: Cpu) -> Bool:
    """A PTE page has been unlinked for a large leaf and is not free yet."""
    return ~ioremap_huge_64.idle(s, cpu)
