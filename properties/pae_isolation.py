"""The vmalloc area and LDTs in one PMD page, on 32-bit PAE.

What it checks: the PTE page of an LDT has no page of the vmalloc area.
Why it matters: the user tables lead to it; what is mapped there, ring 3 can use Meltdown on.
Kernel precedent: map_ldt_struct_to_user() in arch/x86/kernel/ldt.c, which copies the PMD entry on PAE.
Smallest counterexample: none of the designs here breaks this.
Not covered: the pages of the LDT in it (ldt has them).
"""

from __future__ import annotations

from mapproof.model.language import Bool, always, some, sometimes
from mapproof.model.machine.sorts import Cpu, Mm, PmdSlot, Pte, PteSlot
from mapproof.model.operations.pae_isolation import IsolatedPae


@always
def ldt_tables_have_no_vmalloc_page(s: IsolatedPae, m: Mm, t: Pte, j: PteSlot) -> Bool:
    """No page of the vmalloc area is mapped by the PTE page of an LDT."""
    return s.pte.present[t, j].implies(s.ldt[m] != some(t))


@sometimes
def a_range_is_purged_beside_an_ldt(s: IsolatedPae, cpu: Cpu, m: Mm, i: PmdSlot) -> Bool:
    """A purge has been to a process that has an LDT."""
    visited = s.purge.visited[cpu, m] & (s.purge.slot[cpu] == i) & s.vmap_purge_lock.now
    return s.on_list[m] & s.ldt[m].is_some & visited & s.is_vmalloc(i)
